"""Chapter 09: Seldon Core."""
