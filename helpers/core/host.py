"""Host: runs, probes, puts, gets and forwards on one target, over one multiplexed SSH connection."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import Any, Callable, Generator, Mapping

from helpers.core import batch, shell
from helpers.core.batch import Probe
from helpers.core.errors import BadInput, CommandFailed, ConnectionLost, RunbookError, TimedOut
from helpers.core.process import Result, execute
from helpers.core.secrets import Masker
from helpers.core.ssh import Connection, free_port, tail
from helpers.core.target import Target

#: seconds that a login shell may take to answer, and that a command may take to end when it is told to
LOGIN_TIMEOUT, _END_TIMEOUT = 60, 8
_SCRIPTS = Path(__file__).with_name("scripts")
#: as the system says it, Go's programs, and curl
_FULL_DISK = re.compile(r"[Nn]o space left on device|curl: \(23\)")

# Every script runs so: stop at the first error, messages in English, no questions from apt. Root has root's home: sudo
# of Ubuntu 18.04 keeps the user's, and kubectl would leave files of root there.
# The mark by which they are found, the first argument, is nothing to a script.
_PRELUDE = (
    "shift\nexport LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin:/snap/bin\n"
    "[ $EUID != 0 ] || export HOME=/root\n"
)

_MARK = "@@runbook"
_WHO = (
    f'echo "{_MARK} $(id -un) $(id -u) $(uname -s) '
    '$(command -v bash >/dev/null && echo bash || echo none) $HOME"; [ "$(id -u)" = 0 ] || sudo -n true'
)


class Host:
    """One machine that commands run on.

    An ssh:// target uses the person's own OpenSSH settings: ~/.ssh/config, or the file that the variable
    RUNBOOK_SSH_CONFIG names (as `ssh -F`). Whatever they say, a host key that is not known yet is refused.
    on_line(stream, text): called with every line of output, masked; stream is "out" or "err".
    """

    #: is this process in a pod of the target's cluster? See core/in_cluster.py
    in_cluster = False

    def __init__(
        self,
        target: str | Target,
        masker: Masker | None = None,
        on_line: Callable[[str, str], None] | None = None,
    ):
        self.target: Target = Target.parse(target) if isinstance(target, str) else target
        self.masker = masker or Masker()
        self.on_line = on_line
        self.sudo: list[str] = []  # what makes a command root: found by connect()
        self.home = ""  # the user's home directory on the host
        self._connection = None if self.target.kind in ("local", "incluster") else Connection(self.target)
        self._connected, self._user, self._sudo_refusal = False, "", ""

    # -- the connection ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self.target)

    @property
    def address(self) -> str:
        """The address at which this machine reaches the host directly (an alias of ~/.ssh/config is looked up)."""
        if self._connection is None:
            return "127.0.0.1"
        options, where = self._connection.endpoint()
        for line in execute(["ssh", "-G", *options, where], timeout=10).out.splitlines():
            if line.startswith("hostname "):
                return line.split()[1]
        return where.split("@")[-1]

    def endpoint(self) -> tuple[list[str], str]:
        """(ssh options, destination); empty ones for this machine itself."""
        return self._connection.endpoint() if self._connection else ([], "")

    def ssh_command(self) -> list[str]:
        """The argv of `ssh` to this host up to and with the destination, as a person could use it."""
        if self._connection is None:
            raise RunbookError("name the way to the host", self.name, "the target is this machine")
        return self._connection.command()

    def connect(self) -> Host:
        """Open the connection, or join the open one, and learn what the user may do. RunbookError when it cannot."""
        if not (self._connected and (self._connection is None or self._connection.exists())):
            if self._connection:
                self._connection.open()
            self._connected = True
            self._ask_who_we_are()
        if self._connection:
            self._connection.renew_forwardings()
        return self

    def hold_ports(self) -> None:
        """Forwarded ports lead to the host again when their connection died. RunbookError when there is no new one."""
        if self._connection and self._connection.forwards_died:
            self._connected = False
            self.connect()

    def _ask_who_we_are(self) -> None:
        try:
            code, out, err, _ = execute(self._wrap("sh -c " + shell.quoted(_WHO)), timeout=LOGIN_TIMEOUT)
        except TimeoutError:
            code, out, err = 1, "", f"no answer from its login shell within {LOGIN_TIMEOUT} s"
        before, marked, answer = out.partition(_MARK + " ")
        if code == 255 and not marked:
            self._lost_if_dead("ask the host who we are", err)
        if before or not marked:
            self.close()
            do = "The login shell must print nothing and ask nothing by itself: check ~/.bashrc on the host."
            raise RunbookError("ask the host who we are", self.name, tail(before + err, 6) or "nothing", do)
        self._user, uid, system, bash, self.home = answer.splitlines()[0].split(" ", 4)
        if system != "Linux":
            do = "A target is a Linux host with systemd. Use ssh://user@host of one, or sandbox."
            raise BadInput("use this host as a target", self.name, f"its system is {system}", do)
        if bash == "none":
            raise RunbookError("find bash on the host", self.name, "no bash", "Install bash on the host.")
        self.sudo = [] if uid == "0" else ["sudo", "-n", "--"]
        refused = code and uid != "0"
        self._sudo_refusal = (err.strip() or f"sudo ended with exit code {code}") if refused else ""

    def require_root(self) -> None:
        """RunbookError unless commands can run as root without a question."""
        self.connect()
        if not self._sudo_refusal:
            return
        if "not found" in self._sudo_refusal:
            do = "Install sudo on the host, or connect as root."
        else:
            # sudo says "a password is required" also to those who may not use it at all.
            do = (
                "Let this user use sudo without a password. On the host, as one who can become root:\n"
                f"  echo '{self._user} ALL=(ALL) NOPASSWD:ALL' | sudo tee /etc/sudoers.d/90-runbook\n"
                "Or connect as root."
            )
        raise RunbookError("become root with sudo", self.name, self._sudo_refusal, do)

    def close(self) -> None:
        """Give up the shared connection. Commands of others that run on it end in peace."""
        if self._connection and self._connected:
            self._connection.close()
        self._connected = False

    # -- commands ------------------------------------------------------------------------------

    def _wrap(self, command: str) -> list[str]:
        if self._connection is None:
            return ["sh", "-c", command]
        return [*self._connection.command("-o", "ControlMaster=no"), command]

    def run(  # noqa: PLR0913 - its keywords are its interface
        self,
        script: str,
        *,
        sudo: bool = True,
        stdin: str | bytes | None = None,
        timeout: float = 600,
        check: bool = True,
        quiet: bool = False,
        on_line: Callable[[str, str], None] | None = None,
        what: str | None = None,
        raw: bool = False,
        keep: int | None = None,
    ) -> Result:
        """Run a bash script on the host; Result(code, out, err, seconds), texts masked.

        sudo: as root (the default).  stdin: text or bytes for it; secrets travel here and only here.
        timeout: seconds.  check: CommandFailed when the exit code is not 0.  what: the sentence for the error.
        quiet: its output is streamed nowhere.  raw: quiet, and the output as it is, for a caller that reads a
        secret from it.  keep: how many last lines of output are returned (None: all; they are streamed all the same).
        ConnectionLost when the host goes away in the middle.
        """
        if self.masker.holds_secret(script):
            raise ValueError("a secret in a command line: send it on stdin")
        self.connect()
        if sudo:
            self.require_root()
        mark = "runbook-" + os.urandom(8).hex()
        command = _command(self.sudo if sudo else [], script, mark)
        what = what or "run: " + _short(script)
        told = None if quiet or raw else self._masked(on_line or self.on_line)
        with self._ended_when_given_up(mark, what, timeout):
            done = execute(self._wrap(command), stdin, timeout, told, keep)
            out = done.out if raw else self.masker.mask(done.out)
            return self._checked(Result(done.code, out, self.masker.mask(done.err), done.seconds), what, check)

    @contextlib.contextmanager
    def _ended_when_given_up(self, mark: str, what: str, timeout: float) -> Generator[None, None, None]:
        try:
            yield
        except TimeoutError:
            ended = "ended" if self._end(mark) else "it may go on there: the host does not answer"
            do = "See on the host why (journalctl -e), then run again: finished steps are kept."
            raise TimedOut(what, self.name, f"not finished after {timeout} s; {ended}", do) from None
        except CommandFailed:
            raise
        except BaseException:  # Ctrl-C, a lost connection: it would go on by itself, since ssh ends here alone
            self._end(mark)
            raise

    def _end(self, mark: str) -> bool:
        """End what runs on the host with this mark, and what it started; False when the host does not answer."""
        shell_words = [*self.sudo, "bash", "--norc", "-c", shell.quoted(shell.script(_SCRIPTS / "end.sh"))]
        try:
            return execute(self._wrap(" ".join(shell_words)), mark + "\n", _END_TIMEOUT).code == 0
        except TimeoutError:
            return False

    def root_command(self, script: str) -> list[str]:
        """The argv that runs a bash script as root on the host, for one who keeps its process."""
        self.require_root()
        return self._wrap(_command(self.sudo, script, "runbook-held"))

    def _masked(self, on_line: Callable[[str, str], None] | None) -> Callable[[str, str], None] | None:
        return (lambda stream, text: on_line(stream, self.masker.mask(text))) if on_line else None

    def _checked(self, done: Result, what: str, check: bool) -> Result:
        if done.code == 255:
            self._lost_if_dead(what, done.err)
        if check and done.code != 0:
            do = "Run it by hand on the host to see more."
            if _FULL_DISK.search(done.err + done.out):
                do = "The disk is full. On the host: df -h; du -xh / | sort -h | tail"
            saw = f"exit code {done.code}\n{tail(done.err or done.out, 12)}"
            raise CommandFailed(what, self.name, saw, do, code=done.code, out=done.out, err=done.err)
        return done

    def _lost_if_dead(self, what: str, err: str) -> None:
        if self._connection and not self._alive(err):
            self._connected = False
            saw = "the connection was lost in the middle: " + (tail(err, 2) or "no word from ssh")
            do = "Run again when the host is back: finished steps are kept, a half-done one is completed."
            raise ConnectionLost(what, self.name, saw, do)

    def _alive(self, err: str) -> bool:
        if "mux_client" in err or "closed by remote host" in err or "Broken pipe" in err:
            return False
        return self._connection is not None and self._connection.alive()

    def ask(self, script: str, timeout: float = 300) -> Probe:
        """One probe; see probe()."""
        return self.probe({0: script}, timeout)[0]

    def probe(self, scripts: Mapping[Any, str], timeout: float = 300) -> dict[Any, Probe]:
        """Ask many things in one round trip: {key: script} -> {key: Probe(ok, out)}. A probe changes nothing.

        Each script runs as root in a shell of its own; ok is exit code 0, out its output (both streams, masked).
        """
        keys = list(scripts)
        if not keys:
            return {}
        mark, what = batch.new_mark(), f"probe {len(keys)} things in one round trip"
        done = self.run(batch.script(scripts, mark), timeout=timeout, quiet=True, what=what)
        found = batch.answers(done.out, keys, mark)
        if len(found) != len(keys):
            do = "Run again; the log has what the host printed."
            raise RunbookError(what, self.name, f"{len(found)} answers came back", do)
        return found

    def put(self, content: str | bytes, path: str, mode: str = "0644", owner: str = "root:root") -> None:
        """Write a file on the host, whole or not at all. It travels on stdin."""
        data = content.encode() if isinstance(content, str) else content
        # The checksum: when the connection ends, cat sees an end of file and would leave a half.
        sha256 = hashlib.sha256(data).hexdigest()
        script = shell.script(_SCRIPTS / "put.sh", path, sha256, owner, mode)
        self.run(script, stdin=data, what=f"write {path} on the host")

    def get(self, path: str) -> bytes:
        """The content of a file on the host, secrets in it too."""
        # As it is: masked, the base64 of a file with a secret in it would be none any more.
        done = self.run("base64 < " + shlex.quote(path), raw=True, what=f"read {path} from the host")
        return base64.b64decode(done.out)

    # -- ports ---------------------------------------------------------------------------------

    def why_no_forwarding(self) -> str | None:
        """None when ports of the host can be reached through SSH, else why not."""
        try:
            self.connect()
            if self._connection:
                self._connection.require_forwarding()
        except RunbookError as e:
            return e.saw or e.what
        return None

    @contextlib.contextmanager
    def forward(self, port: int, address: str = "127.0.0.1") -> Generator[int, None, None]:
        """A local port that leads to address:port as seen from the host; yields its number."""
        if self._connection is None:
            yield port
            return
        self.connect()
        self._connection.require_forwarding(address, port)
        local = free_port()
        with self._connection.forwarding("-L", f"127.0.0.1:{local}:{address}:{port}"):
            yield local

    @contextlib.contextmanager
    def way(self, port: int, address: str = "127.0.0.1") -> Generator[tuple[str, int], None, None]:
        """(address, port) by which this machine reaches address:port as seen from the host."""
        with self.forward(port, address) as local:
            yield ("127.0.0.1", local) if self._connection else (address, port)

    @contextlib.contextmanager
    def socks(self, port: int = 0) -> Generator[int, None, None]:
        """A SOCKS5 proxy on a local port (0: a free one) whose connections start on the host; yields the port."""
        if self._connection is None:
            do = "No proxy is needed here."
            raise RunbookError("open a SOCKS proxy", self.name, "the target is this machine", do)
        self.connect()
        self._connection.require_forwarding()
        local = port or free_port()
        with self._connection.forwarding("-D", f"127.0.0.1:{local}"):
            yield local


def _command(sudo: list[str], script: str, mark: str) -> str:
    return " ".join([*sudo, "bash --norc -euo pipefail -c", shell.quoted(_PRELUDE + script), "bash", mark])


def _short(script: str, width: int = 100) -> str:
    line = " ".join(script.split())
    return line if len(line) <= width else line[: width - 3] + "..."
