"""What of chapter 12 lies in GitLab before it is installed: ours when the runner's namespace is."""

from __future__ import annotations

from helpers.components.gitlab_runner.layout import NAME
from helpers.components.gitlab_runner.project import PATH


class Ours:
    """runner: the Runner; project, variables, integration: what has things in GitLab."""

    def __init__(self, runner, project, variables, integration):
        self.runner, self.project, self.variables, self.integration = runner, project, variables, integration
        self._was = None

    def is_so(self):
        """Was the runner's namespace ours when this run began?"""
        if self._was is None:
            self._was = self.runner.is_ours()
        return self._was

    def why_others(self):
        """None when nothing in GitLab that the chapter would change is somebody's, else what is."""
        if self.is_so():
            return None
        found = sorted(self.variables.there())
        found += ["the project " + PATH] if self.project.found() else []
        found += ["the cluster " + NAME] if self.integration.record() else []
        return "there already: " + ", ".join(found) if found else None
