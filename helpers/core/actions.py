"""What a step does: a probe that says whether it is so, and the ways to make it so and to undo it."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Optional, Sequence, Union

from helpers.core import notes, probes, shell
from helpers.core.catalogue import FETCH, Artifact
from helpers.core.errors import NotYet

if TYPE_CHECKING:
    from helpers.core.host import Host

#: a bash probe (exit 0: it is so), or a callable that returns None when it is so and says why not otherwise
Probe = Union[str, Callable[[], Optional[str]]]
#: a bash script, or a callable
Work = Union[str, Callable[[], object]]

SCRIPTS = Path(__file__).with_name("scripts")


class Action:
    """One thing that a step makes true.

    shown: lines for a reader, the commands.  probe: a bash probe (exit 0: it is so) or a callable that returns
    None when it is so and says why not otherwise.  apply, undo: a bash script or a callable; undo None: nothing
    to undo.  absent: a probe that holds after undo; when not given, what it makes is proved to be away.  An undo with
    neither is a ValueError: a probe that fails, of a server that is stopped, say, proves no absence.
    after_changes: applied again whenever an action before it in the same step was (a service after its settings).
    makes: the things that it makes or changes on the host, as ownership.py names them.
    """

    def __init__(  # noqa: PLR0913 - its fields, which are told above
        self,
        shown: str | Iterable[str],
        probe: Probe,
        apply: Work,
        undo: Work | None = None,
        absent: Probe | None = None,
        after_changes: bool = False,
        makes: Iterable[str] = (),
    ):
        self.makes = list(makes)
        self.shown = [shown] if isinstance(shown, str) else list(shown)
        self.probe, self.apply, self.undo, self.after_changes = probe, apply, undo, after_changes
        self.absent: Probe | None = absent or (notes.gone(self.makes) if self.makes else None)
        if undo is not None and self.absent is None:
            raise ValueError(f"{self.shown[0]}: an undo needs absent or makes, by which it is known to be done")

    def but(self, **fields: Any) -> Action:
        """The same action with some fields changed."""
        names = ("shown", "probe", "apply", "undo", "absent", "after_changes", "makes")
        return Action(**dict({n: getattr(self, n) for n in names}, **fields))


def commands(lines: str | Iterable[str], probe: Probe, undo: Work | None = None, makes: Iterable[str] = ()) -> Action:
    """Plain commands with a probe of their own."""
    lines = [lines] if isinstance(lines, str) else list(lines)
    return Action(lines, probe, "\n".join(lines), undo, makes=makes)


def system_user(name: str, home: str) -> Action:
    """A user for a service, who cannot log in. home: its folder, which is not made here."""
    line = f"useradd --system --user-group --home-dir {home} --no-create-home --shell /usr/sbin/nologin {name}"
    return commands(line, f"id -u {name} >/dev/null", f"userdel {name}", [f"user {name}"])


def folder_of(user: str, path: str) -> Action:
    """The folder is this user's, and shut to all but its group."""
    line, probe = f"install -d -m 0750 -o {user} -g {user} {path}", probes.belongs_to(path, f"{user}:{user}", "750")
    return commands(line, probe, remove_directory(path), [f"folder {path}"])


def remove_directory(path: str | Path) -> str:
    """A script: the directory goes; of a disk that is mounted there, what is on it, and the mount point is root's."""
    return _script("directory_goes", str(path).rstrip("/"))


def _is_away(path: str) -> str:
    """A probe: there is no such path, or only an empty disk that is mounted there."""
    q = shlex.quote(path)
    return f'[ ! -e {q} ] || {{ mountpoint -q {q} && [ -z "$(ls -A {q} | grep -vx lost+found)" ]; }}'


class File(Action):
    """A file on the host with exactly this content, owner and mode. Secrets in it are written as f"{secret}"."""

    def __init__(  # noqa: PLR0913 - a file, and the host's two means
        self,
        content: str,
        path: str,
        mode: str,
        owner: str,
        fill: Callable[[str], str],
        put: Callable[[bytes, str, str, str], None],
    ):
        data = fill(content).encode()
        access = "{} {}".format(mode.lstrip("0") or "0", owner)
        q = shlex.quote(path)
        Action.__init__(
            self,
            f"write {path} ({mode} {owner})",
            _script("file_is", path, hashlib.sha256(data).hexdigest(), access),
            lambda: put(data, path, mode, owner),
            f"rm -f {q}",
            f"[ ! -e {q} ]",
            makes=[f"file {path}"],
        )
        self.path, self.data = path, data


def packages(  # noqa: PLR0913 - what a purge leaves, each kind by its name
    names: Sequence[str],
    purge: Sequence[str] | None = None,
    paths: Sequence[str] = (),
    users: Sequence[str] = (),
    groups: Sequence[str] = (),
    chapter: str = "",
) -> Action:
    """Debian packages, from the host's own apt sources. chapter: whose note has what came with them.

    For remove, where an older runbook kept no note: purge, package names or apt patterns (the names themselves when
    None).  paths, users: that the packages made and a purge leaves behind; those that were there before stay.
    groups: the same, of packages of their names.
    """
    apt, note = _script("apt"), notes.path(chapter)
    go = {f"place {p}": remove_directory(p) for p in paths}
    no_user = "code=0; getent passwd {0} >/dev/null || code=$?; [ $code = 2 ]"
    go.update({f"user {u}": f"{no_user.format(u)} || userdel {u}" for u in users})
    gone = {f"place {p}": _is_away(p) for p in paths}
    gone.update({f"user {u}": no_user.format(u) for u in users})
    undo = [apt, _script("packages_go", note, *(purge or names)), _but_theirs(note, go), *_groups(note, groups)]
    absent = [_script("packages_are", "gone", *names), _but_theirs(note, gone), *_groups(note, groups, "gone")]
    return Action(
        "apt-get install " + _words(names),
        _script("packages_are", "there", *names),
        f"{apt}\nupdate\n{notes.brings(chapter, names)}apt --no-install-recommends install {_words(names)}",
        "\n".join(undo),
        "\n".join(absent),
        makes=[*(f"package {name}" for name in names), *go],
    )


def _groups(note: str, groups: Sequence[str], verb: str = "go") -> list[str]:
    return [_script("group_goes", verb, note, group) for group in groups]


def _but_theirs(note: str, work: Mapping[str, str]) -> str:
    """A script: each of these for its thing, but for what the note has as there before."""
    lines: list[str] = []
    for thing, does in work.items():
        kind, name = thing.split(" ")
        line = shlex.quote(f'"kind": "{kind}", "name": "{name}", "before": "there"')
        lines.append(f"grep -qsF {line} {note} || {{ {does}; }}")
    return "\n".join(lines)


def snap(name: str, channel: str) -> Action:
    """A classic snap from this channel.

    A change that is under way (an install that was cut off) is waited for, up to 5 minutes.
    """
    listed = f"snap list {name} 2>/dev/null | grep >/dev/null ' {channel} '"
    return Action(
        f"snap install {name} --classic --channel={channel}",
        f"{listed} || {{ snap list {name} 2>&1 | tail -1; exit 1; }}",
        _script("snap_install", name, channel),
        f"snap remove --purge {name}",
        makes=[f"snap {name}"],
    )


def artifact_file(artifact: Artifact, path: str, settled: bool = False) -> Action:
    """A single-file artifact at a path, mode 0755, checked against its checksum while it is still a temporary file.

    settled: it is not installed any more; where its checksum is not known, no more is looked at than that it is there.
    """
    q, sha256 = shlex.quote(path), artifact.sha256
    known = re.fullmatch("[0-9a-f]{64}", sha256)
    if not known and not settled:
        raise ValueError(f"no checksum is known for {artifact.name}: refuse to install it")
    is_there = f"[ -x {q} ] || {{ echo {q} is missing; exit 1; }}"
    return Action(
        [f"fetch {artifact.path}", f"sha256sum -c, install {path} (0755 root:root)"],
        f"echo '{sha256}  '{q} | sha256sum -c --quiet -" if known else is_there,
        FETCH + _script("fetch_program", artifact.url, sha256, path),
        f"rm -f {q} {q}.part.*",
        f"[ ! -e {q} ]",
        makes=[f"file {path}"],
    )


def running(unit: str, after: Iterable[str | File], enabled_by: str) -> Action:
    """A unit that a package brought, restarted when one of the files `after` has changed since its start."""
    return Action(
        f"systemctl enable {enabled_by}; systemctl restart {unit}",
        _runs(unit, enabled_by, after),
        _start(unit, f"systemctl enable -q {shlex.quote(enabled_by)}; systemctl restart {shlex.quote(unit)}", after),
        after_changes=True,
        makes=[f"unit {unit}.service"] + [f"boot {enabled_by}.service"] * (enabled_by != unit),
    )


def _runs(unit: str, enabled_by: str, watched: Iterable[str | File]) -> str:
    """A probe: the unit is active, starts at boot, and was started after the last change of the watched files."""
    return _script("unit_runs", unit, enabled_by, *_paths(watched))


def _start(unit: str, how: str, watched: Iterable[str | File]) -> str:
    """A script: `how` starts the unit, and what the watched files held then is noted for the probe of _runs."""
    return _script("unit_start", unit, how, *_paths(watched))


def _paths(files: Iterable[str | File]) -> list[str]:
    return [f if isinstance(f, str) else f.path for f in files]


def _script(name: str, *arguments: object) -> str:
    return shell.script(SCRIPTS / (name + ".sh"), *arguments)


def _words(texts: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, texts))


class Service(Action):
    """A systemd service: its unit as written here, enabled, and started after the last change of its files."""

    def __init__(self, name: str, unit: str, after: Iterable[str | File], host: Host):
        q, path = shlex.quote(name), f"/etc/systemd/system/{name}.service"
        file = File(unit, path, "0644", "root:root", lambda text: text, host.put)
        forget = f"systemctl daemon-reload; systemctl reset-failed {q} 2>/dev/null || true"
        watched = [path, *_paths(after)]

        def apply() -> None:
            host.put(unit, path)
            start = f"{forget}; systemctl enable -q {q}; systemctl restart {q}"
            host.run(_start(name, start, watched), what=f"start {name}")

        Action.__init__(
            self,
            [*file.shown, f"systemctl daemon-reload; systemctl enable --now {name}"],
            f"{file.probe}\n{_runs(name, name, watched)}",
            apply,
            f"systemctl disable -q --now {q} 2>/dev/null || true; rm -f {path} /run/mlops-runbook/{q}; {forget}",
            f"[ ! -e {path} ] && case $(systemctl is-active {q}) in inactive | failed | unknown) ;; *) exit 1 ;; esac",
            after_changes=True,
            makes=[f"file {path}", f"unit {name}.service"],
        )


def waits(  # noqa: PLR0913 - its keywords are its interface
    ch: Any,  # a Chapter: to import its type would close a circle
    shown: str,
    what: str,
    why_not: Probe,
    *,
    failed: Callable[[], str | None] | None = None,
    timeout: float = 300,
    do: str | None = None,
) -> Action:
    """Action: wait until `why_not` says that it is so. what: what is waited for.

    failed, timeout (seconds), do: as for wait.
    """

    def ready() -> bool:
        why = why_not_so(ch.host, why_not) if isinstance(why_not, str) else why_not()
        if why is not None:
            raise NotYet(why)
        return True

    return Action(shown, why_not, lambda: ch.wait(what, ready, failed=failed, timeout=timeout, do=do))


def why_not_so(host: Host, probe: str) -> str | None:
    """None when a bash probe holds on the host, else what it printed."""
    ok, seen = host.ask(probe)
    return None if ok else seen or "the probe says no"


def restart(host: Host, unit: str) -> None:
    """Restart a unit, for a check with changes=True."""
    host.run("systemctl restart " + shlex.quote(unit), quiet=True)


def why_unit_failed(host: Host, unit: str) -> str | None:
    """Why a systemd unit has failed, with its last log lines; None while it has not. For wait(failed=...)."""
    failed, text = host.ask(shell.script(SCRIPTS / "unit_failed.sh", unit))
    return text if failed else None
