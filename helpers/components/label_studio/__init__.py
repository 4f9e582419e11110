"""Chapter 10: Label Studio."""
