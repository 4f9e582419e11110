"""Chapter 07: Pachyderm."""
