"""Host: runs, probes, puts, gets and forwards on one target, over one multiplexed SSH connection."""

from __future__ import annotations

import base64
import collections
import contextlib
import fcntl
import hashlib
import os
import shlex
import socket
import tempfile
import threading
import time
from pathlib import Path

import sh

from helpers.core.errors import BadInput, CommandFailed, ConnectionLost, RunbookError
from helpers.core.paths import home
from helpers.core.secrets import Masker
from helpers.core.target import Target

Result = collections.namedtuple("Result", "code out err seconds")
Probe = collections.namedtuple("Probe", "ok out")

#: seconds that the SSH connection may take to open, a login shell to answer, and that an idle connection stays open
# (a person reads a chapter's next cell while its forwarded ports wait)
CONNECT_TIMEOUT, LOGIN_TIMEOUT, IDLE = 10, 30, 1800

# Every script runs so: stop at the first error, messages in English, no questions from apt.
_PRELUDE = "export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin:/snap/bin\n"

_SSH_ERRORS = [  # what OpenSSH writes, what it means, what to do
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
        "no answer within " + str(CONNECT_TIMEOUT) + " s",
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


class Host:
    """One machine that commands run on.

    An ssh:// target uses the person's own OpenSSH settings: ~/.ssh/config, or the file that the variable
    RUNBOOK_SSH_CONFIG names (as `ssh -F`). Whatever they say, a host key that is not known yet is refused.
    on_line(stream, text): called with every line of output, masked; stream is "out" or "err".
    """

    def __init__(self, target, masker=None, on_line=None):
        self.target = Target.parse(target) if isinstance(target, str) else target
        self.masker = masker or Masker()
        self.on_line = on_line
        self.sudo = []  # what makes a command root: found by connect()
        self.home = None  # the user's home directory on the host
        self._connected = False

    # -- the connection ------------------------------------------------------------------------

    @property
    def name(self):
        return str(self.target)

    @property
    def address(self):
        """The address at which the operator's machine reaches the host directly (an alias of ~/.ssh/config is looked up)."""
        options, where = self.endpoint() if self.target.kind != "local" else ([], "")
        if not where:
            return "127.0.0.1"
        for line in self._execute(["ssh", "-G"] + options + [where], None, 10, None).out.splitlines():
            if line.startswith("hostname "):
                return line.split()[1]
        return where.split("@")[-1]

    def endpoint(self):
        """(ssh options, destination) of this target."""
        t = self.target
        options = [
            "-o",
            "BatchMode=yes",
            "-o",
            f"ConnectTimeout={CONNECT_TIMEOUT}",
            "-o",
            "ServerAliveInterval=5",
            "-o",
            "ServerAliveCountMax=6",
            "-o",
            "ExitOnForwardFailure=yes",
        ]
        user, address, port = t.user, t.address, t.port
        if t.kind == "sandbox":
            box = t.endpoint()
            user, address, port = box.user, box.address, box.port
            options += [
                "-F",
                "/dev/null",
                "-i",
                box.key,
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                f"UserKnownHostsFile={box.known_hosts}",
                "-o",
                "StrictHostKeyChecking=yes",
            ]
        else:
            # A person's configuration may say accept-new or no; nobody would see it here.
            options += ["-o", "StrictHostKeyChecking=yes"]
            if os.environ.get("RUNBOOK_SSH_CONFIG"):
                options += ["-F", os.environ["RUNBOOK_SSH_CONFIG"]]
        if port != 22:
            options += ["-p", str(port)]
        return options, f"{user}@{address}" if user else address

    @property
    def _control(self):
        """Path of the multiplexing socket; short, since a socket's path has 104 characters at most."""
        options, where = self.endpoint()
        tag = hashlib.sha256(" ".join(options + [where]).encode()).hexdigest()[:10]
        path = str(home("ssh") / tag)
        if len(path) > 75:
            folder = Path(tempfile.gettempdir()) / f"runbook-{os.getuid()}"
            folder.mkdir(mode=0o700, exist_ok=True)
            path = str(folder / tag)
        return path

    def ssh_command(self):
        """The argv of `ssh` to this host up to and with the destination, as a person could use it."""
        options, where = self.endpoint()
        return ["ssh"] + options + ["-o", "ControlPath=" + self._control, where]

    def connect(self):
        """Open the connection (or join the one that is open) and learn what the user may do. RunbookError when it cannot."""
        if self._connected and (self.target.kind == "local" or os.path.exists(self._control)):
            return self
        if self.target.kind != "local":
            self._open_master()
        self._connected = True
        mark = "@@runbook"
        script = (
            f'echo "{mark} $(id -un) $(id -u) $(uname -s) $(command -v bash >/dev/null && echo bash || echo none) $HOME"; '
            '[ "$(id -u)" = 0 ] || sudo -n true'
        )
        try:
            code, out, err, _ = self._execute(self._wrap("sh -c " + shlex.quote(script)), None, LOGIN_TIMEOUT, None)
        except TimeoutError:
            code, out, err = 1, "", f"no answer from its login shell within {LOGIN_TIMEOUT} s"
        before, marked, answer = out.partition(mark + " ")
        if before or not marked:
            self.close()
            raise RunbookError(
                "ask the host who we are",
                self.name,
                _tail(before + err, 6) or "nothing",
                "The login shell must print nothing and ask nothing by itself: check ~/.bashrc on the host.",
            )
        self._user, uid, system, bash, self.home = answer.splitlines()[0].split(" ", 4)
        if system != "Linux":
            raise BadInput(
                "use this host as a target",
                self.name,
                f"its system is {system}",
                "A target is a Linux host with systemd. Use ssh://user@host of one, or sandbox.",
            )
        if bash == "none":
            raise RunbookError("find bash on the host", self.name, "no bash", "Install bash on the host.")
        self.sudo = [] if uid == "0" else ["sudo", "-n", "--"]
        self._sudo_refusal = (err.strip() or f"sudo ended with exit code {code}") if code and uid != "0" else ""
        return self

    def require_root(self):
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

    def _open_master(self):
        options, where = self.endpoint()
        control = self._control
        with open(control + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(control):
                if self._ssh("-O", "check", "-o", "ControlPath=" + control, *options, where).code == 0:
                    return
                os.unlink(control)
            log = control + ".log"
            if os.path.exists(log):
                os.unlink(log)
            # -E: a connection that goes to the background would otherwise hold our stderr open.
            done = self._ssh(
                "-M",
                "-N",
                "-f",
                "-E",
                log,
                "-o",
                "ControlPath=" + control,
                "-o",
                f"ControlPersist={IDLE}",
                *options,
                where,
                timeout=CONNECT_TIMEOUT * 3,
            )
            if done.code == 0:
                return
            said = (Path(log).read_text() if os.path.exists(log) else "") + done.err
        self._explain_ssh(said)

    def _explain_ssh(self, said):
        t = self.target
        where = "{}{}{}".format(t.user + "@" if t.user else "", t.address, f" -p {t.port}" if t.port != 22 else "")
        for mark, meaning, do in _SSH_ERRORS:
            if mark in said:
                fill = {"address": t.address, "port": t.port, "where": where}
                raise RunbookError(
                    "connect by SSH", self.name, meaning.format(**fill) + "\n" + _tail(said, 3), do.format(**fill)
                )
        raise RunbookError(
            "connect by SSH", self.name, _tail(said, 6) or "ssh ended without a word", f"Try it by hand: ssh -v {where}"
        )

    def _ssh(self, *args, **kw):
        timeout = kw.get("timeout", 20)
        try:
            return self._execute(["ssh"] + list(args), None, timeout, None)
        except TimeoutError:
            return Result(255, "", f"ssh timed out after {timeout} s", timeout)

    def close(self):
        """Give up the shared connection. Commands of others that run on it end in peace; their next ones open a new one."""
        if self.target.kind != "local" and self._connected and os.path.exists(self._control):
            options, where = self.endpoint()
            self._ssh("-O", "stop", "-o", "ControlPath=" + self._control, *options, where)
        self._connected = False

    # -- commands ------------------------------------------------------------------------------

    def _wrap(self, command):
        if self.target.kind == "local":
            return ["sh", "-c", command]
        options, where = self.endpoint()
        return ["ssh"] + options + ["-o", "ControlPath=" + self._control, "-o", "ControlMaster=no", where, command]

    def _execute(self, argv, stdin, timeout, on_line):
        """Run argv here. Returns Result, or raises TimeoutError after `timeout` seconds."""
        out, err = [], []

        def collect(into, stream):
            def line(text):
                into.append(text)
                if on_line:
                    on_line(stream, self.masker.mask(text.rstrip("\n")))

            return line

        start = time.monotonic()
        running = sh.Command(argv[0])(
            *argv[1:],
            _in=stdin if stdin is not None else "",
            _out=collect(out, "out"),
            _err=collect(err, "err"),
            _bg=True,
            _bg_exc=False,
            _tty_out=False,
            _tty_in=False,
            _ok_code=list(range(-64, 256)),
            _encoding="utf-8",
            _decode_errors="replace",
            _new_session=True,
        )
        # sh's own _timeout polls, which adds 0.1 s to every command.
        late = threading.Event()
        timer = threading.Timer(timeout, lambda: (late.set(), _kill(running)))
        timer.daemon = True
        timer.start()
        code = None
        try:
            running.wait()
        except sh.ErrorReturnCode as e:  # sh 1.14 (Python 3.7): raised for an end by a signal, whatever _ok_code says
            code = e.exit_code
        except BaseException:  # Ctrl-C: nothing of ours goes on here
            _kill(running)
            raise
        finally:
            timer.cancel()
        if late.is_set():
            raise TimeoutError()
        return Result(running.exit_code if code is None else code, "".join(out), "".join(err), time.monotonic() - start)

    def run(self, script, sudo=True, stdin=None, timeout=600, check=True, on_line=None, what=None, raw=False):
        """Run a bash script on the host; Result(code, out, err, seconds), texts masked.

        sudo: as root (the default).  stdin: text or bytes for it; secrets travel here and only here.
        timeout: seconds.  check: CommandFailed when the exit code is not 0.  what: the sentence for the error.
        raw: the output as it is, for a caller that reads a secret from it; it is streamed nowhere.
        ConnectionLost when the host goes away in the middle.
        """
        if self.masker.holds_secret(script):
            raise ValueError("a secret in a command line: send it on stdin")
        self.connect()
        if sudo:
            self.require_root()
        command = " ".join(
            (self.sudo if sudo else []) + ["bash", "--norc", "-euo", "pipefail", "-c", shlex.quote(_PRELUDE + script)]
        )
        what = what or "run: " + _short(script)
        try:
            done = self._execute(self._wrap(command), stdin, timeout, None if raw else on_line or self.on_line)
        except TimeoutError:
            raise RunbookError(
                what,
                self.name,
                f"not finished after {timeout} s; stopped waiting",
                "See on the host what it does (ps, journalctl -e), then run again: finished steps are kept.",
            )
        done = done._replace(out=done.out if raw else self.masker.mask(done.out), err=self.masker.mask(done.err))
        if done.code == 255 and self.target.kind != "local" and not self._alive(done.err):
            self._connected = False
            raise ConnectionLost(
                what,
                self.name,
                "the connection was lost in the middle: " + (_tail(done.err, 2) or "no word from ssh"),
                "Run again when the host is back: finished steps are kept, a half-done one is completed.",
            )
        if check and done.code != 0:
            do = "Run it by hand on the host to see more."
            if "No space left on device" in done.err + done.out:
                do = "The disk is full. On the host: df -h; du -xh / | sort -h | tail"
            raise CommandFailed(
                what,
                self.name,
                f"exit code {done.code}\n{_tail(done.err or done.out, 12)}",
                do,
                code=done.code,
                out=done.out,
                err=done.err,
            )
        return done

    def _alive(self, err):
        if "mux_client" in err or "closed by remote host" in err or "Broken pipe" in err:
            return False
        options, where = self.endpoint()
        return self._ssh("-O", "check", "-o", "ControlPath=" + self._control, *options, where).code == 0

    def probe(self, scripts, timeout=60):
        """Ask many things in one round trip: {key: script} -> {key: Probe(ok, out)}. A probe changes nothing.

        Each script runs as root in a shell of its own; ok is exit code 0, out its output (both streams, masked).
        """
        keys = list(scripts)
        if not keys:
            return {}
        mark = "@@" + os.urandom(8).hex()  # no probe prints that by chance
        script = "set +e\n" + "".join(
            f'( set -euo pipefail; eval {shlex.quote(scripts[key])} ) 2>&1 </dev/null; echo "{mark} $?"\n'
            for key in keys
        )
        done = self.run(
            script, timeout=timeout, on_line=lambda *_: None, what=f"probe {len(keys)} things in one round trip"
        )
        found, text = {}, []
        for line in done.out.splitlines():
            before, marked, code = line.rpartition(mark + " ")
            if not marked:
                text.append(line)
                continue
            found[keys[len(found)]] = Probe(code == "0", "\n".join(text + [before]).strip())
            text = []
        if len(found) != len(keys):
            raise RunbookError(
                f"probe {len(keys)} things in one round trip",
                self.name,
                f"{len(found)} answers came back",
                "Run again; the log has what the host printed.",
            )
        return found

    def put(self, content, path, mode="0644", owner="root:root"):
        """Write a file on the host, whole or not at all. content: str or bytes; it travels on stdin."""
        data = content.encode() if isinstance(content, str) else content
        q = shlex.quote(path)
        # The checksum: when the connection ends, cat sees an end of file and would leave a half.
        self.run(
            (
                f'umask 077; part={q}.part.$$; trap \'rm -f "$part"\' EXIT; mkdir -p "$(dirname {q})"; cat > "$part"\n'
                f'echo "{hashlib.sha256(data).hexdigest()}  $part" | sha256sum -c --quiet -; chown {shlex.quote(owner)} "$part"; chmod {shlex.quote(mode)} "$part"; mv -fT "$part" {q}'
            ),
            stdin=data,
            what=f"write {path} on the host",
        )

    def get(self, path):
        """The content of a file on the host, as bytes."""
        done = self.run("base64 < " + shlex.quote(path), on_line=lambda *_: None, what=f"read {path} from the host")
        return base64.b64decode(done.out)

    # -- ports ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def forward(self, port, address="127.0.0.1"):
        """A local port that leads to address:port as seen from the host; yields its number."""
        if self.target.kind == "local":
            yield port
            return
        self.connect()
        local = free_port()
        spec = ["-L", f"127.0.0.1:{local}:{address}:{port}"]
        self._mux("forward", spec)
        try:
            yield local
        finally:
            self._mux("cancel", spec, check=False)

    @contextlib.contextmanager
    def socks(self, port=0):
        """A SOCKS5 proxy on a local port (0: a free one) whose connections start on the host; yields the port."""
        if self.target.kind == "local":
            raise RunbookError(
                "open a SOCKS proxy", self.name, "the target is this machine", "No proxy is needed here."
            )
        self.connect()
        local = port or free_port()
        spec = ["-D", f"127.0.0.1:{local}"]
        self._mux("forward", spec)
        try:
            yield local
        finally:
            self._mux("cancel", spec, check=False)

    def _mux(self, verb, spec, check=True):
        options, where = self.endpoint()
        done = self._ssh("-O", verb, *spec, "-o", "ControlPath=" + self._control, *options, where)
        if check and done.code != 0:
            raise RunbookError(
                "{} {}".format(verb, " ".join(spec)),
                self.name,
                _tail(done.err, 3),
                "Is the local port in use? ss -ltn shows who listens.",
            )


def _kill(running):
    with contextlib.suppress(OSError):
        running.kill_group()  # of its own session: what it started ends too


def free_port():
    """A TCP port on loopback that nothing listens on at this moment."""
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _tail(text, lines):
    return "\n".join(text.strip().splitlines()[-lines:])


def _short(script, width=100):
    line = " ".join(script.split())
    return line if len(line) <= width else line[: width - 3] + "..."
