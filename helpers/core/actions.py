"""What a step does: a probe that says whether it is so, and the ways to make it so and to undo it."""
from __future__ import annotations

import hashlib
import re
import shlex

from helpers.core.catalogue import FETCH


class Action:
    """One thing that a step makes true.

    shown: lines for a reader, the commands.  done: a bash probe (exit 0: it is so) or a callable that returns
    None when it is so and says why not otherwise.  apply, undo: a bash script or a callable; undo None: nothing
    to undo.  gone: a probe that holds after undo (the opposite of done when not given).
    follows: applied again whenever an action before it in the same step was (a service after its settings).
    """

    def __init__(self, shown, done, apply, undo=None, gone=None, follows=False):
        self.shown = [shown] if isinstance(shown, str) else list(shown)
        self.done, self.apply, self.undo, self.follows = done, apply, undo, follows
        self.gone = gone or ("! bash -euo pipefail -c " + shlex.quote(done) if isinstance(done, str) else None)


def commands(lines, done, undo=None):
    """Plain commands with a probe of their own."""
    lines = [lines] if isinstance(lines, str) else list(lines)
    return Action(lines, done, "\n".join(lines), undo)


class File(Action):
    """A file on the host with exactly this content, owner and mode. Secrets in it are written as f"{secret}"."""

    def __init__(self, content, path, mode, owner, fill, put):
        data = fill(content).encode()
        q = shlex.quote(path)
        done = ("set -- $(sha256sum {0}); [ \"$1\" = {1} ] || {{ echo \"{2}: content differs from what we write\"; exit 1; }}\n"
                "[ \"$(stat -c '%a %U:%G' {0})\" = '{3} {4}' ] || {{ stat -c '%n: %a %U:%G instead of {3} {4}' {0}; exit 1; }}").format(
                    q, hashlib.sha256(data).hexdigest(), path, mode.lstrip("0") or "0", owner)
        Action.__init__(self, "write {} ({} {})".format(path, mode, owner), done, lambda: put(data, path, mode, owner),
                        "rm -f {}".format(q), "[ ! -e {} ]".format(q))
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
        "for p in {}; do {} || {{ echo \"$p is not installed\"; exit 1; }}; done".format(words(names), installed),
        APT + "flock /run/lock/runbook-apt apt-get -qy update\napt --no-install-recommends install " + words(names),
        APT + "apt purge {}\napt autoremove --purge\nrm -rf --one-file-system {}\nfor u in {}; do ! id $u >/dev/null 2>&1 || userdel $u; done".format(
            words(purge or names), words(paths), words(users)),
        "for p in {}; do ! {} || {{ echo \"$p is installed\"; exit 1; }}; done\nfor f in {}; do [ ! -e $f ]; done\nfor u in {}; do ! id $u >/dev/null 2>&1; done".format(
            words(names), installed, words(paths), words(users)))


def snap(name, channel, then="true"):
    """A classic snap from this channel; `then`: a script after its removal. A change that is under way (an install that was cut off) is waited for, up to 5 minutes."""
    install = "snap install {} --classic --channel={}".format(name, channel)
    return Action(
        install,
        "snap list {0} 2>/dev/null | grep >/dev/null ' {1} ' || {{ snap list {0} 2>&1 | tail -1; exit 1; }}".format(name, channel),
        """for n in $(seq 100); do
  if snap list {0} >/dev/null 2>&1; then said=$(snap refresh {0} --classic --channel={1} 2>&1) && break; else said=$({2} 2>&1) && break; fi
  case $said in *"change in progress"*) sleep 3;; *) echo "$said" >&2; exit 1;; esac
done
echo "$said" """.format(name, channel, install),
        "snap remove --purge {}\n{}".format(name, then),
        "! snap list {} >/dev/null 2>&1".format(name))


def artifact_file(artifact, path):
    """A single-file artifact at a path, mode 0755, checked against its checksum while it is still a temporary file."""
    q, sha = shlex.quote(path), artifact.sha256
    if re.fullmatch("[0-9a-f]{64}", sha):
        done = "echo '{}  '{} | sha256sum -c --quiet -".format(sha, q)
        check = "echo \"{}  $part\" | sha256sum -c --quiet -\n".format(sha)
    else:
        raise ValueError("no checksum is known for {}: refuse to install it".format(artifact.name))
    return Action(
        ["fetch {}".format(artifact.path), "sha256sum -c, install {} (0755 root:root)".format(path)], done,
        FETCH + "part={0}.part.$$; trap 'rm -f $part' EXIT\nfetch {1} > $part\n{2}chmod 0755 $part\nmv -f $part {0}".format(
            q, shlex.quote(artifact.url), check),
        "rm -f {0} {0}.part.*".format(q), "[ ! -e {} ]".format(q))


def _runs(unit, enabled_by, watched):
    """A probe: the unit is active, starts at boot, and was started after the last change of the watched files."""
    return """state=$(systemctl is-active {q} || true); [ "$state" = active ] || {{ echo "{unit} is $state"; exit 1; }}
systemctl is-enabled -q {enabled} || {{ echo "{unit} does not start at boot"; exit 1; }}
since=$(date -d "$(systemctl show -p ActiveEnterTimestamp {q} | cut -d= -f2-)" +%s)
for f in {watched}; do [ "$(stat -c %Y "$f")" -le "$since" ] || {{ echo "{unit} runs with settings older than $f"; exit 1; }}; done""".format(
        q=shlex.quote(unit), unit=unit, enabled=shlex.quote(enabled_by),
        watched=" ".join(shlex.quote(f if isinstance(f, str) else f.path) for f in watched))


def running(unit, after, enabled_by):
    """A unit that a package brought, restarted when one of the files `after` is newer than its start."""
    return Action("systemctl enable {1}; systemctl restart {0}".format(unit, enabled_by), _runs(unit, enabled_by, after),
                  "systemctl enable -q {1}; systemctl restart {0}".format(shlex.quote(unit), shlex.quote(enabled_by)), follows=True)


class Service(Action):
    """A systemd service: its unit as written here, enabled, and started after the last change of its files."""

    def __init__(self, name, unit, after, put):
        q, path = shlex.quote(name), "/etc/systemd/system/{}.service".format(name)
        file = File(unit, path, "0644", "root:root", lambda text: text, put)

        def apply(run):
            file.apply()
            run("systemctl daemon-reload; systemctl reset-failed {0} 2>/dev/null || true; systemctl enable -q {0}; systemctl restart {0}".format(q))
        Action.__init__(self, file.shown + ["systemctl daemon-reload; systemctl enable --now {}".format(name)],
                        file.done + "\n" + _runs(name, name, [path] + list(after)), apply,
                        "systemctl disable -q --now {0} 2>/dev/null || true; rm -f {1}; systemctl daemon-reload; systemctl reset-failed {0} 2>/dev/null || true".format(q, path),
                        "[ ! -e {} ] && ! systemctl is-active -q {}".format(path, q), follows=True)
