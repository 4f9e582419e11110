"""Chapter 04: MicroK8s' add-ons."""
