"""Chapter 12: GitLab's runner in the cluster, and the variables that its jobs get."""
