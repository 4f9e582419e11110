"""One multiplexed connection of the system's OpenSSH: opened once, joined by every command, explained when it fails."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import random
import socket
import stat
import tempfile
import threading
from pathlib import Path
from typing import Generator

from helpers.core import files
from helpers.core.errors import RunbookError
from helpers.core.paths import home
from helpers.core.process import Result, execute
from helpers.core.target import Target

#: seconds that the connection may take to open, and that an idle one stays open
#: (a person reads a chapter's next cell while its forwarded ports wait)
CONNECT_TIMEOUT, IDLE = 10, 1800

# A person's settings for a host may be those of a session to sit in: ports that a second session cannot have, a command
# of its own, a terminal, a command here. Ours has none of these.
_PLAIN = ("ClearAllForwardings=yes", "RemoteCommand=none", "RequestTTY=no", "PermitLocalCommand=no", "LogLevel=INFO")
#: the same, for what OpenSSH has since 8.7
_PLAIN_SINCE_8_7 = ("SessionType=default", "StdinNull=no", "ForkAfterAuthentication=no")

_ERRORS = [  # what OpenSSH writes, what it means, what to do
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host's key is not the one known from before",
        "If the host was rebuilt: ssh-keygen -R {address}, then connect once by hand and compare the fingerprint.\n"
        "If it was not, somebody may stand in between: stop here.",
    ),
    (
        "Host key verification failed",
        "the host's key is not known yet, and it is never accepted unseen",
        "Connect once by hand, compare the fingerprint with the host's console, answer yes: ssh {where}",
    ),
    (
        "Could not resolve hostname",
        "no such host",
        "Check the name, the VPN, and ~/.ssh/config. getent hosts {address} should print an address.",
    ),
    (
        "Connection refused",
        "the host answers, but nothing listens on port {port}",
        "Check the port; on the host's console: sudo systemctl status ssh",
    ),
    (
        "timed out",
        f"no answer within {CONNECT_TIMEOUT} s",
        "Check the VPN, the firewall, and that the VM runs.",
    ),
    ("No route to host", "no route to the host", "Check the VPN and the address."),
    ("Network is unreachable", "no network to the host", "Check the VPN and the address."),
    (
        "kex_exchange_identification",
        "what listens on port {port} is no SSH server, or it turned us away",
        "Check the port; on the host's console: sudo journalctl -u ssh -n 20",
    ),
    (
        "Permission denied",
        "the host refused the key (or the user name)",
        "ssh {where} must work without a password. Offer the right key: IdentityFile in ~/.ssh/config, or ssh-add.",
    ),
    (
        "Too many authentication failures",
        "too many keys were offered before the right one",
        "Name the key: IdentityFile and IdentitiesOnly yes in ~/.ssh/config.",
    ),
]
#: those of _ERRORS that no patience mends: the key, and whose host it is
_REFUSALS = (
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Host key verification failed",
    "Permission denied",
    "Too many authentication failures",
)


class Connection:
    """The shared connection to one target (not `local`). Processes that name the same target share it."""

    def __init__(self, target: Target):
        self.target, self._forwards = target, False
        self._held: list[tuple[str, ...]] = []  # forwardings of this process, and the connection that they are on
        self._held_by: tuple[int, int] | None = None
        self._renewing = threading.Lock()

    def endpoint(self) -> tuple[list[str], str]:
        """(ssh options, destination) of this target."""
        t = self.target
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT}"]
        options += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6", "-o", "ExitOnForwardFailure=yes"]
        user, address, port = t.user, t.address, t.port
        if t.kind == "sandbox":
            box = t.endpoint()
            user, address, port = box.user, box.address, box.port
            options += ["-F", "/dev/null", "-i", str(box.key), "-o", "IdentitiesOnly=yes"]
            options += ["-o", f"UserKnownHostsFile={box.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        else:
            # A person's configuration may say accept-new or no; nobody would see it here.
            options += ["-o", "StrictHostKeyChecking=yes", *_plain_session()]
            if os.environ.get("RUNBOOK_SSH_CONFIG"):
                options += ["-F", os.environ["RUNBOOK_SSH_CONFIG"]]
        if port != 22:
            options += ["-p", str(port)]
        return options, f"{user}@{address}" if user else str(address)

    @property
    def socket(self) -> str:
        """Path of the multiplexing socket; short, since a socket's path has 104 characters at most."""
        options, where = self.endpoint()
        tag = hashlib.sha256(" ".join([*options, where]).encode()).hexdigest()[:10]
        path = str(home("ssh") / tag)
        if len(path) > 75:
            path = str(_short_folder() / tag)
        return path

    def command(self, *more: str) -> list[str]:
        """The argv of `ssh` to this host; more: options before the destination."""
        options, where = self.endpoint()
        return ["ssh", *options, "-o", "ControlPath=" + self.socket, *more, where]

    def _control(self, *words: str) -> Result:
        """Tell the open connection something; without the person's settings, whose forwardings would be asked for."""
        where = self.endpoint()[1]
        return _ssh(["ssh", "-F", "/dev/null", "-o", "ControlPath=" + self.socket, "-O", *words, where])

    def exists(self) -> bool:
        return os.path.exists(self.socket)

    def open(self) -> None:
        """Open the connection, or join the one that is open. RunbookError, in words for a person, when it cannot."""
        control = self.socket
        with files.lock(control + ".lock"):
            if os.path.exists(control):
                if self.alive():
                    return
                os.unlink(control)
            log = control + ".log"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(log)
            # -E: a connection that goes to the background would otherwise hold our stderr open.
            persist = ["-M", "-f", "-E", log, "-o", f"ControlPersist={IDLE}"]
            # -N comes first: after a SessionType it is an error.
            done = _ssh(["ssh", "-N", *self.command(*persist)[1:]], CONNECT_TIMEOUT * 3)
            if done.code == 0:
                return
            said = (Path(log).read_text() if os.path.exists(log) else "") + done.err
        raise self._explained(said)

    def _explained(self, said: str) -> RunbookError:
        t = self.target
        where = "{}{}{}".format(t.user + "@" if t.user else "", t.address, f" -p {t.port}" if t.port != 22 else "")
        fill = {"address": t.address, "port": t.port, "where": where}
        for mark, meaning, do in _ERRORS:
            if mark in said:
                saw = meaning.format(**fill) + "\n" + tail(said, 3)
                error = RunbookError("connect by SSH", str(t), saw, do.format(**fill))
                error.final = mark in _REFUSALS
                return error
        saw = tail(said, 6) or "ssh ended without a word"
        return RunbookError("connect by SSH", str(t), saw, f"Try it by hand: ssh -v {where}")

    def alive(self) -> bool:
        return self._control("check").code == 0

    def close(self) -> None:
        """Give it up. Commands of others that run on it end in peace; their next ones open a new one."""
        if self.exists():
            self._control("stop")

    def require_forwarding(self, address: str = "127.0.0.1", port: int = 1) -> None:
        """RunbookError when the server forbids it. Asked once, of a port that nobody has; else a program would be."""
        if self._forwards:
            return
        said = self._refusal("127.0.0.1:1") and self._refusal(f"{address}:{port}")  # PermitOpen may allow this one
        if said:
            do = (
                "On the host: sudo sshd -T | grep -E 'allowtcpforwarding|permitopen|disableforwarding' must allow it.\n"
            )
            do += "It may be said for this user or key alone: see Match in sshd_config, and ~/.ssh/authorized_keys."
            saw = "the SSH server forbids it: " + said
            raise RunbookError("reach ports of the host through SSH", str(self.target), saw, do)
        self._forwards = True

    def _refusal(self, where: str) -> str:
        """The server's word when it does not forward to where; "" when the port itself answers, or is closed."""
        log = Path(self.socket + ".log")  # the shared connection's: it alone hears why
        before = log.stat().st_size if log.exists() else 0
        done = _ssh(self.command("-W", where))
        said = log.read_bytes()[before:].decode("utf-8", "replace") if done.code and log.exists() else ""
        return "administratively prohibited" if "administratively prohibited" in said else ""

    @contextlib.contextmanager
    def forwarding(self, *spec: str) -> Generator[None, None, None]:
        """A forwarding (-L or -D and what belongs to it) over this connection, as long as the `with` lasts."""
        self.renew_forwardings()
        self._forward(spec)
        self._held.append(spec)
        self._held_by = self._which()
        try:
            yield
        finally:
            self._held.remove(spec)
            self._control("cancel", *spec)

    def _forward(self, spec: tuple[str, ...]) -> None:
        done = self._control("forward", *spec)
        if done.code != 0:
            do = "Is the local port in use? ss -ltn shows who listens."
            raise RunbookError("forward " + " ".join(spec), str(self.target), tail(done.err, 3), do)

    @property
    def forwards_died(self) -> bool:
        """Are there forwardings whose connection is no more?"""
        return bool(self._held) and (self._which() != self._held_by or not self.alive())

    def renew_forwardings(self) -> None:
        """Put those of a connection that died on the one that is open now, the local ports as they were."""
        with self._renewing:
            now = self._which()
            if not self._held or now == self._held_by:
                return
            for spec in self._held:
                try:
                    self._forward(spec)
                except RunbookError:
                    if _listens(spec):  # one that was told to stop lives on until its last command ends
                        return
                    raise
            self._held_by = now

    def _which(self) -> tuple[int, int] | None:
        """What tells one shared connection from the next; None without one."""
        try:
            found = os.stat(self.socket)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def free_port() -> int:
    """A TCP port on loopback that nothing has at this moment, and that no outgoing connection gets.

    Linux gives those 32768 and above (net.ipv4.ip_local_port_range), other systems 49152 and above.  OSError for none.
    """
    for port in random.sample(range(20000, 30000), 100):
        with contextlib.closing(socket.socket()) as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise OSError(errno.EADDRINUSE, "a hundred ports from 20000 to 29999 are taken")


def _listens(spec: tuple[str, ...]) -> bool:
    """Does somebody listen on the local port of a forwarding?"""
    address, port = spec[1].split(":")[:2]
    with contextlib.closing(socket.socket()) as s:
        return s.connect_ex((address, int(port))) == 0


@functools.lru_cache(maxsize=None)
def _plain_session() -> tuple[str, ...]:
    """Options for a session that runs a command, whatever the person's settings say of this host."""
    newer = _options(_PLAIN_SINCE_8_7)
    known = _ssh(["ssh", "-G", "-F", "/dev/null", *newer, "localhost"]).code == 0
    return _options(_PLAIN) + (newer if known else ())


def _options(settings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for setting in settings for word in ("-o", setting))


def _short_folder() -> Path:
    """A folder for sockets whose path is short. Where others may write, anybody may have made one of that name."""
    folder = Path(tempfile.gettempdir()) / f"runbook-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.geteuid()
    return folder if private else _folder_of_this_process()


@functools.lru_cache(maxsize=None)
def _folder_of_this_process() -> Path:
    return Path(tempfile.mkdtemp(prefix="runbook-"))


def _ssh(argv: list[str], timeout: float = 20) -> Result:
    try:
        return execute(argv, timeout=timeout)
    except TimeoutError:
        return Result(255, "", f"ssh timed out after {timeout} s", timeout)


def tail(text: str, lines: int) -> str:
    """The last lines of a text."""
    return "\n".join(text.strip().splitlines()[-lines:])
