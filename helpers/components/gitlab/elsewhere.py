"""GitLab's host as a chapter on another host has it: its own target, and the secrets of that."""

from __future__ import annotations

from helpers.core import in_cluster
from helpers.core.errors import RunbookError
from helpers.core.secrets import SecretStore
from helpers.core.target import Target


class Elsewhere:
    """A chapter for the client of a component on another target. Remove forgets none of that target's secrets."""

    def __init__(self, ch, target):
        self._ch, self.target = ch, Target.parse(target)
        self.secrets = SecretStore(self.target.slug)
        for value in self.secrets.values():
            ch.masker.add(value)
        self.host = ch.host if self.target.slug == ch.host.target.slug else self._connected()

    def _connected(self):
        host = in_cluster.host(self.target, self._ch.masker, _nowhere)
        host.connect()
        self._ch.cleanup(host.close)
        return host

    def __getattr__(self, name):
        return getattr(self._ch, name)

    def secret(self, name, mine=True, guarded=True):
        """A secret of that target; nothing is made up for one that is not known."""
        return self.secrets.find(name) or _Unknown(name, self.target)

    def forgets(self, name):
        """Nothing: it is not this chapter's."""

    def forward(self, port, address="127.0.0.1"):
        """A local port that leads to a port of that host until the verdict."""
        return self._ch.until_the_verdict(self.host.forward(port, address))

    def run(self, script, quiet=True, **how):
        """Run a command there; returns its output."""
        return self.host.run(script, quiet=quiet, **how).out


class _Unknown:
    """A secret that this machine does not have."""

    def __init__(self, name, target):
        self.name, self.target = name, target

    def reveal(self):
        do = f"Run the chapter that makes it: ./runbook up --target gitlab={self.target} --only gitlab"
        raise RunbookError(f"use the secret {self.name}", str(self.target), "this machine has none for this target", do)


def _nowhere(stream, text):
    """Lines of that host are no part of this chapter's cells."""
