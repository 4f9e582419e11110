"""Chapter 02: the operator's way to the host, by SSH and a SOCKS proxy."""
