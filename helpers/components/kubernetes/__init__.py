"""Chapter 03: the cluster, and what others do with it: kubectl, Helm, images."""
