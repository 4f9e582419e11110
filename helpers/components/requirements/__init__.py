"""Chapter 01: what a host and the operator's machine have, against what the platform needs."""
