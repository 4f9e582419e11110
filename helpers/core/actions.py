"""What a step does: a probe that says whether it is so, and the ways to make it so and to undo it."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

from helpers.core import shell
from helpers.core.catalogue import FETCH
from helpers.core.errors import NotYet


class Action:
    """One thing that a step makes true.

    shown: lines for a reader, the commands.  probe: a bash probe (exit 0: it is so) or a callable that returns
    None when it is so and says why not otherwise.  apply, undo: a bash script or a callable; undo None: nothing
    to undo.  absent: a probe that holds after undo (the opposite of probe when not given).
    after_changes: applied again whenever an action before it in the same step was (a service after its settings).
    """

    def __init__(self, shown, probe, apply, undo=None, absent=None, after_changes=False):
        self.shown = [shown] if isinstance(shown, str) else list(shown)
        self.probe, self.apply, self.undo, self.after_changes = probe, apply, undo, after_changes
        self.absent = absent or ("! bash -euo pipefail -c " + shlex.quote(probe) if isinstance(probe, str) else None)

    def but(self, **fields):
        """The same action with other fields, named as in Action()."""
        changed = Action(self.shown, self.probe, self.apply, self.undo, self.absent, self.after_changes)
        for field, value in fields.items():
            if not hasattr(changed, field):
                raise TypeError("an action has no " + field)
            setattr(changed, field, [value] if field == "shown" and isinstance(value, str) else value)
        return changed


def commands(lines, probe, undo=None):
    """Plain commands with a probe of their own."""
    lines = [lines] if isinstance(lines, str) else list(lines)
    return Action(lines, probe, "\n".join(lines), undo)


class File(Action):
    """A file on the host with exactly this content, owner and mode. Secrets in it are written as f"{secret}"."""

    def __init__(self, content, path, mode, owner, fill, put):
        data = fill(content).encode()
        q = shlex.quote(path)
        done = (
            'set -- $(sha256sum {0}); [ "$1" = {1} ] || {{ echo "{2}: content differs from what we write"; exit 1; }}\n'
            "[ \"$(stat -c '%a %U:%G' {0})\" = '{3} {4}' ] || {{ stat -c '%n: %a %U:%G instead of {3} {4}' {0}; exit 1; }}"
        ).format(q, hashlib.sha256(data).hexdigest(), path, mode.lstrip("0") or "0", owner)
        Action.__init__(
            self,
            f"write {path} ({mode} {owner})",
            done,
            lambda: put(data, path, mode, owner),
            f"rm -f {q}",
            f"[ ! -e {q} ]",
        )
        self.path = path


# apt waits for its lock when told to, dpkg does not; and an install that was cut off leaves packages half-configured.
APT = r"""apt() { apt-get -qy -o DPkg::Lock::Timeout=300 "$@"; }
settle() { for n in $(seq 100); do said=$(dpkg --configure -a 2>&1) && return 0; case $said in *lock*) sleep 3;; *) break;; esac; done; echo "$said" >&2; return 1; }
settle
"""


def packages(names, purge=None, paths=(), users=()):
    """Debian packages, from the host's own apt sources.

    For remove: purge, package names or apt patterns (the names themselves when None), and the paths and users
    that the packages made and a purge leaves behind.
    """

    def words(texts):
        return " ".join(shlex.quote(t) for t in texts)

    installed = "dpkg-query -W -f '${db:Status-Abbrev}\\n' $p 2>/dev/null | grep >/dev/null '^ii'"
    return Action(
        "apt-get install " + words(names),
        f'for p in {words(names)}; do {installed} || {{ echo "$p is not installed"; exit 1; }}; done',
        APT + "flock /run/lock/runbook-apt apt-get -qy update\napt --no-install-recommends install " + words(names),
        APT
        + f"apt purge {words(purge or names)}\napt autoremove --purge\nrm -rf --one-file-system {words(paths)}\nfor u in {words(users)}; do ! id $u >/dev/null 2>&1 || userdel $u; done",
        f'for p in {words(names)}; do ! {installed} || {{ echo "$p is installed"; exit 1; }}; done\nfor f in {words(paths)}; do [ ! -e $f ]; done\nfor u in {words(users)}; do ! id $u >/dev/null 2>&1; done',
    )


def snap(name, channel, then="true"):
    """A classic snap from this channel; `then`: a script after its removal. A change that is under way (an install that was cut off) is waited for, up to 5 minutes."""
    install = f"snap install {name} --classic --channel={channel}"
    return Action(
        install,
        f"snap list {name} 2>/dev/null | grep >/dev/null ' {channel} ' || {{ snap list {name} 2>&1 | tail -1; exit 1; }}",
        f"""for n in $(seq 100); do
  if snap list {name} >/dev/null 2>&1; then said=$(snap refresh {name} --classic --channel={channel} 2>&1) && break; else said=$({install} 2>&1) && break; fi
  case $said in *"change in progress"*) sleep 3;; *) echo "$said" >&2; exit 1;; esac
done
echo "$said" """,
        f"snap remove --purge {name}\n{then}",
        f"! snap list {name} >/dev/null 2>&1",
    )


def artifact_file(artifact, path):
    """A single-file artifact at a path, mode 0755, checked against its checksum while it is still a temporary file."""
    q, sha = shlex.quote(path), artifact.sha256
    if re.fullmatch("[0-9a-f]{64}", sha):
        done = f"echo '{sha}  '{q} | sha256sum -c --quiet -"
        check = f'echo "{sha}  $part" | sha256sum -c --quiet -\n'
    else:
        raise ValueError(f"no checksum is known for {artifact.name}: refuse to install it")
    return Action(
        [f"fetch {artifact.path}", f"sha256sum -c, install {path} (0755 root:root)"],
        done,
        FETCH
        + f"part={q}.part.$$; trap 'rm -f $part' EXIT\nfetch {shlex.quote(artifact.url)} > $part\n{check}chmod 0755 $part\nmv -f $part {q}",
        f"rm -f {q} {q}.part.*",
        f"[ ! -e {q} ]",
    )


def _runs(unit, enabled_by, watched):
    """A probe: the unit is active, starts at boot, and was started after the last change of the watched files."""
    return """state=$(systemctl is-active {q} || true); [ "$state" = active ] || {{ echo "{unit} is $state"; exit 1; }}
systemctl is-enabled -q {enabled} || {{ echo "{unit} does not start at boot"; exit 1; }}
since=$(date -d "$(systemctl show -p ActiveEnterTimestamp {q} | cut -d= -f2-)" +%s)
for f in {watched}; do [ "$(stat -c %Y "$f")" -le "$since" ] || {{ echo "{unit} runs with settings older than $f"; exit 1; }}; done""".format(
        q=shlex.quote(unit),
        unit=unit,
        enabled=shlex.quote(enabled_by),
        watched=" ".join(shlex.quote(f if isinstance(f, str) else f.path) for f in watched),
    )


def running(unit, after, enabled_by):
    """A unit that a package brought, restarted when one of the files `after` is newer than its start."""
    return Action(
        f"systemctl enable {enabled_by}; systemctl restart {unit}",
        _runs(unit, enabled_by, after),
        f"systemctl enable -q {shlex.quote(enabled_by)}; systemctl restart {shlex.quote(unit)}",
        after_changes=True,
    )


class Service(Action):
    """A systemd service: its unit as written here, enabled, and started after the last change of its files."""

    def __init__(self, name, unit, after, host):
        q, path = shlex.quote(name), f"/etc/systemd/system/{name}.service"
        file = File(unit, path, "0644", "root:root", lambda text: text, host.put)
        forget = f"systemctl daemon-reload; systemctl reset-failed {q} 2>/dev/null || true"

        def apply():
            file.apply()
            host.run(f"{forget}; systemctl enable -q {q}; systemctl restart {q}", what=f"start {name}")

        Action.__init__(
            self,
            [*file.shown, f"systemctl daemon-reload; systemctl enable --now {name}"],
            file.probe + "\n" + _runs(name, name, [path, *after]),
            apply,
            f"systemctl disable -q --now {q} 2>/dev/null || true; rm -f {path}; {forget}",
            f"[ ! -e {path} ] && ! systemctl is-active -q {q}",
            after_changes=True,
        )


def waits(ch, shown, what, why_not, *, failed=None, timeout=60, do=None):  # noqa: PLR0913 - its keywords are its interface
    """Action: wait until it is so. what: what is waited for. why_not: a callable that returns None when it is so
    and says why not otherwise, or a bash probe. failed, timeout (seconds), do: as for wait."""
    asked = why_not if callable(why_not) else lambda: why_not_so(ch.host, why_not)

    def ready():
        why = asked()
        if why is not None:
            raise NotYet(why)
        return True

    return Action(shown, why_not, lambda: ch.wait(what, ready, failed=failed, timeout=timeout, do=do))


def why_not_so(host, probe):
    """None when a bash probe holds on the host, else what it printed."""
    ok, seen = host.ask(probe)
    return None if ok else seen or "the probe says no"


def restart(host, unit):
    """Restart a unit, for a check with changes=True."""
    host.run("systemctl restart " + shlex.quote(unit), quiet=True)


def why_unit_failed(host, unit):
    """Why a systemd unit has failed, with its last log lines; None while it has not. For wait(failed=...)."""
    failed, text = host.ask(shell.script(Path(__file__).with_name("unit_failed.sh"), unit))
    return text if failed else None
