"""What other chapters installed, as this one uses it: their secrets are looked up, and never forgotten at remove."""

from __future__ import annotations

from helpers.components.label_studio.program import host_python
from helpers.core import catalogue, in_cluster
from helpers.core.errors import RunbookError
from helpers.core.secrets import SecretStore
from helpers.core.target import Target


def label_studio_version(ch, python):
    """The version of Label Studio that chapter 10 has installed for a Python of the host's."""
    name = "label-studio" if host_python(ch, python) >= (3, 10) else "label-studio-2021"
    return catalogue.load()[name].version


class Lent:
    """A chapter for the client of another one's component. own: names of secrets that are this chapter's."""

    def __init__(self, ch, own=()):
        self._ch, self._own = ch, own

    def __getattr__(self, name):
        return getattr(self._ch, name)

    def secret(self, name, mine=True, guarded=True):
        return self._ch.secret(name, mine=name in self._own, guarded=guarded)

    def forgets(self, name):
        """Nothing: it is not this chapter's."""


class Elsewhere(Lent):
    """The same for a component on another target: its host, and the secrets of that target."""

    def __init__(self, ch, target):
        super().__init__(ch)
        self.target = Target.parse(target)
        self.host = in_cluster.host(self.target, ch.masker, _nowhere)
        self.secrets = SecretStore(self.target.slug)
        for value in self.secrets.values():
            ch.masker.add(value)
        self.host.connect()
        ch.cleanup(self.host.close)

    def secret(self, name, mine=True, guarded=True):
        """A secret of that target; nothing is made up for one that is not known."""
        return self.secrets.find(name) or _Unknown(name, self.target)

    def forward(self, port, address="127.0.0.1"):
        return self._ch.until_the_verdict(self.host.forward(port, address))

    def run(self, script, quiet=True, **how):
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
