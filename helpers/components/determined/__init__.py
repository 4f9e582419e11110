"""Chapter 08: Determined."""
