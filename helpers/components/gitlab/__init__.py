"""Chapter 11: GitLab."""
