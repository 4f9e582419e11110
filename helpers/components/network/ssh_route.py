"""The SSH entry that leads to the host, and the one line that makes plain ssh find it: in files of this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from helpers.core import ssh_entries
from helpers.core.actions import Action
from helpers.core.files import write_whole

#: what `ssh -G` calls the settings that lead to a host, and what a configuration file does
_WRITTEN = {
    name.lower(): name
    for name in (
        "HostName",
        "User",
        "Port",
        "IdentityFile",
        "IdentitiesOnly",
        "IdentityAgent",
        "CertificateFile",
        "ProxyJump",
        "ProxyCommand",
        "UserKnownHostsFile",
        "GlobalKnownHostsFile",
        "HostKeyAlias",
        "StrictHostKeyChecking",
    )
}


class SshRoute:
    """The way from this machine to the chapter's target. alias: in the SSH file; port: of the SOCKS proxy here."""

    def __init__(self, ch, alias, port):
        self.ch, self.alias, self.port = ch, alias, port
        self.file = ssh_entries.place()
        self.mine = Path.home() / ".ssh" / "config"

    def entry(self):
        """Action: the runbook's SSH file has the entry of this alias. Other aliases in it stay."""
        return Action(
            ["write ~/.mlops-runbook/ssh/config (0600)", *self._text().splitlines()],
            self._why_no_entry,
            lambda: ssh_entries.write([*self._others(), self._text().strip()]),
            lambda: ssh_entries.write(self._others()),
            absent=lambda: None if self._others() == ssh_entries.entries() else "the entry is still there",
        )

    def _text(self):
        lines = ["Host " + self.alias, *self._settings(), f"    DynamicForward 127.0.0.1:{self.port}"]
        return "\n".join(lines) + "\n"

    def _settings(self):
        if self.ch.host.target.kind == "local":
            return ["    HostName 127.0.0.1"]
        # The entry stands alone, so all that the person's own settings say of the target (an alias, a jump host)
        # goes into it.
        options, where = self.ch.host.endpoint()
        ours, plain = _settings([*options, where]), _settings(["-F", "/dev/null", where.rpartition("@")[2]])
        return [
            "    " + _written(key, value)
            for key, value in ours
            if key in _WRITTEN and (key == "hostname" or (key, value) not in plain)
        ]

    def _others(self):
        return [part for part in ssh_entries.entries() if part.splitlines()[0] != "Host " + self.alias]

    def _why_no_entry(self):
        there = self._text().strip() in ssh_entries.entries()
        return None if there else f"no entry, or another one, for {self.alias} in {self.file}"

    def included(self):
        """Action: ~/.ssh/config starts with an Include of the runbook's file. The rest of it stays as it is."""
        line = f'Include "{self.file}"\n'
        return Action(
            "add to the top of ~/.ssh/config: " + line.strip(),
            lambda: None if line in self._my_text() else "no Include line",
            lambda: self._write_mine(line + self._my_text()),
            lambda: self._write_mine(self._my_text().replace(line, "")),
            absent=lambda: None if line not in self._my_text() else "the Include line is still there",
        )

    def _my_text(self):
        return self.mine.read_text() if self.mine.exists() else ""

    def _write_mine(self, text):
        self.mine.parent.mkdir(mode=0o700, exist_ok=True)
        there = self.mine.stat() if self.mine.exists() else None
        # resolve: in many homes it is a link into a folder of settings, and stays one
        write_whole(self.mine.resolve(), text, there.st_mode & 0o777 if there else 0o600, owner=there)


def _written(key, value):
    """A setting that `ssh -G` tells, as a configuration file has it."""
    if key == "proxyjump":
        # ssh would look for the jump host in the entry's own file. It is the person's settings that know it.
        mine = os.environ.get("RUNBOOK_SSH_CONFIG")
        settings = f"-F {shlex.quote(os.path.abspath(mine))} " if mine else ""
        before, _, last = value.rpartition(",")
        jump = f"-J {before} " if before else ""
        return f"ProxyCommand ssh {settings}{jump}-W [%h]:%p {last if ':' not in last else 'ssh://' + last}"
    if " " in value and key in ("identityfile", "certificatefile", "identityagent"):
        value = f'"{value}"'
    return f"{_WRITTEN[key]} {value}"


def _settings(arguments):
    """OpenSSH's settings for a destination, as (name, value) pairs in ssh's order."""
    done = subprocess.run(["ssh", "-G", *arguments], capture_output=True, text=True, timeout=20)
    return [tuple(line.split(" ", 1)) for line in done.stdout.splitlines() if " " in line]
