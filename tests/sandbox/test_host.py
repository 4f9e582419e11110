"""Host against a real SSH server: what it runs, moves and forwards, and what it says when that fails."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import until

from helpers.core import host as host_module
from helpers.core import host_lock, ssh
from helpers.core.errors import BadInput, CommandFailed, ConnectionLost, RunbookError
from helpers.core.host import Host
from helpers.core.host_lock import HostLock, held
from helpers.core.paths import REPO
from helpers.core.secrets import MASK, Masker
from helpers.core.ssh import free_port

SECRET = "S3cret/with+signs"


@pytest.fixture
def ssh_log(tmp_path, monkeypatch):
    """Notes every ssh that is started, one line each; the real one does the work."""
    log, real = tmp_path / "ssh.log", shutil.which("ssh")
    _program(tmp_path / "bin", "ssh", f'echo "$*" | tr "\\n" " " >> {log}; echo >> {log}; exec {real} "$@"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + os.pathsep + os.environ["PATH"])
    log.write_text("")
    return log


def _program(folder, name, script):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + script + "\n")
    path.chmod(0o755)


def quiet(*_):
    pass


# -- commands -------------------------------------------------------------------------------------


def test_run_as_root_with_stdin_and_as_the_user(host):
    done = host.run("id -un; cat; echo careful >&2", stdin="one\ntwo\n")
    assert (done.code, done.out, done.err) == (0, "root\none\ntwo\n", "careful\n")
    assert host.run("id -un", sudo=False).out == "ubuntu\n"
    assert host.run("wc -c", stdin=bytes(range(256)) * 1000).out == "256000\n"
    assert host.run("cat", stdin="ä ✓").out == "ä ✓"


def test_a_script_stops_at_its_first_error_also_inside_a_pipe(host):
    done = host.run("echo before; false | cat; echo after", check=False)
    assert (done.code, done.out) == (1, "before\n")
    assert host.run("echo $unset_name", check=False).code != 0


@pytest.mark.parametrize("code", [1, 77, 255])
def test_exit_codes_come_back(host, code):
    with pytest.raises(CommandFailed) as e:
        host.run(f"echo why >&2; exit {code}", what="try it")
    assert e.value.code == code and "why" in e.value.saw and e.value.what == "try it" and e.value.do


def test_a_command_that_takes_too_long_is_given_up(host):
    start = time.monotonic()
    with pytest.raises(RunbookError) as e:
        host.run("echo begun; sleep 120", timeout=5)
    assert time.monotonic() - start < 60 and "not finished after 5 s" in str(e.value)
    assert host.run("echo still here").out == "still here\n"


#: a command that counts as long as it lives, as those of a remove do; apart: it does not hear that it should end
COUNTS = "{apart}for i in $(seq 3000); do echo $i > /tmp/counted; sleep 0.1; done"


def counts_on(host):
    """Does the count of the command go on?"""
    first = host.run("cat /tmp/counted").out
    time.sleep(0.5)
    return host.run("cat /tmp/counted").out != first


@pytest.mark.parametrize("apart", ["", "trap '' TERM HUP; "])
@pytest.mark.parametrize("sudo", [True, False])
def test_a_command_that_takes_too_long_is_ended_on_the_host(host, apart, sudo):
    host.run("rm -f /tmp/counted")
    with pytest.raises(RunbookError) as e:
        host.run("( " + COUNTS.format(apart=apart) + " )", timeout=5, sudo=sudo)
    assert "not finished after 5 s; ended" in str(e.value) and not counts_on(host)


def test_ctrl_c_ends_the_command_on_the_host(host, target):
    host.run("rm -f /tmp/counted")
    program = f"from helpers.core.host import Host\nHost({target!r}).run({COUNTS.format(apart='')!r})"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPO, stderr=subprocess.DEVNULL)
    until("it to begin", lambda: host.ask("[ -s /tmp/counted ]").ok)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert not counts_on(host)


def test_nothing_else_is_ended(host):
    with pytest.raises(RunbookError):
        host.run("( setsid -f sleep 311 ); sleep 120", timeout=5)
    assert host.run("pgrep -cx -f 'sleep 311'; pkill -x -f 'sleep 311'").out == "1\n"


def test_lines_come_while_the_command_runs(host):
    came = []
    host.run(
        "echo first; sleep 4; echo second >&2",
        on_line=lambda stream, text: came.append((stream, text, time.monotonic())),
    )
    assert [c[:2] for c in came] == [("out", "first"), ("err", "second")]
    assert came[1][2] - came[0][2] > 1


def test_bytes_that_are_no_utf8_do_not_end_it(host):
    assert "\ufffd" in host.run(r"printf 'a\377b\n'").out


def test_a_secret_is_masked_in_lines_results_and_errors(host):
    host.masker, lines = Masker([SECRET]), []
    script = 'read -r s; echo "plain $s"; echo -n "$s" | base64; echo "u:$s" >&2; exit ${code}'
    with pytest.raises(CommandFailed) as e:
        host.run("code=3; " + script, stdin=SECRET + "\n", on_line=lambda _, text: lines.append(text))
    done = host.run("code=0; " + script, stdin=SECRET + "\n", on_line=quiet)
    for text in lines + [str(e.value), e.value.out, e.value.err, done.out, done.err]:
        assert SECRET not in text and "UzNjcmV0L3dpdGgrc2lnbnM" not in text
    assert lines.count("plain " + MASK) == 1 and MASK in done.err
    assert MASK in host.probe({1: "echo " + "S3cret'/'with+signs"})[1].out


def test_a_secret_in_a_command_is_refused_before_anything_starts(host, ssh_log):
    host.masker = Masker([SECRET])
    for form in (SECRET, "UzNjcmV0L3dpdGgrc2lnbnM=", "S3cret%2Fwith%2Bsigns"):
        with pytest.raises(ValueError) as e:
            host.run(f"curl -u me:{form} localhost")
        assert SECRET not in str(e.value)
    assert ssh_log.read_text() == ""


def test_many_probes_take_one_round_trip(host, ssh_log):
    host.connect()
    ssh_log.write_text("")
    asked = {n: f"echo {n}; exit {n % 2}" for n in range(30)}
    asked["syntax"] = "if then ("
    asked["no newline"] = "printf here"
    asked["greedy"] = "cat; echo read nothing"
    asked["apart"] = "cd /tmp; x=1; exit 0"
    asked["apart too"] = 'pwd; [ -z "${x:-}" ]'
    asked["both"] = "echo out; echo err >&2"
    found = host.probe(asked)
    assert len(ssh_log.read_text().splitlines()) == 1
    assert list(found) == list(asked)
    assert all(found[n] == (n % 2 == 0, str(n)) for n in range(30))
    assert not found["syntax"].ok and "syntax error" in found["syntax"].out
    assert found["no newline"] == (True, "here") and found["greedy"] == (True, "read nothing")
    assert found["apart too"] == (True, found["apart too"].out) and found["apart too"].out != "/tmp"
    assert found["both"].out == "out\nerr"
    assert host.probe({}) == {}


def test_one_connection_serves_threads_and_processes(box, target, ssh_log):
    Host(target).connect().close()
    ssh_log.write_text("")
    script = f"from helpers.core.host import Host; print(Host({target!r}).run('echo $SSH_CONNECTION', sudo=False).out)"
    others = [
        subprocess.Popen([sys.executable, "-c", script], cwd=str(REPO), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    host = Host(target)
    with ThreadPoolExecutor(8) as pool:
        ports = set(pool.map(lambda _: host.run("echo $SSH_CONNECTION", sudo=False).out.strip(), range(16)))
    for other in others:
        assert other.wait(60) == 0
        ports.add(other.stdout.read().strip())
        other.stdout.close()
    masters = [line for line in ssh_log.read_text().splitlines() if " -M " in f" {line}"]
    host.close()
    assert len(masters) == 1, masters
    assert len(ports) == 1, ports


def test_the_command_for_a_person_works(host):
    host.connect()
    done = subprocess.run(host.ssh_command() + ["echo", "hello"], stdout=subprocess.PIPE, text=True, timeout=30)
    assert done.stdout == "hello\n"


def test_the_machine_itself_is_a_target_too(tmp_path):
    local = Host("local")
    assert local.run("echo $0; cat", stdin="in", sudo=False).out.endswith("in")
    assert local.probe({"a": "true", "b": "false"}) == {"a": (True, ""), "b": (False, "")}
    mark = str(tmp_path / "late")
    with pytest.raises(RunbookError):
        local.run("sleep 2; touch " + mark, timeout=0.5, sudo=False)
    time.sleep(2)
    assert not os.path.exists(mark), "what was given up has ended"
    local.put("text\n", str(tmp_path / "a file"), mode="0640")
    assert (tmp_path / "a file").stat().st_mode & 0o777 == 0o640 and local.get(str(tmp_path / "a file")) == b"text\n"


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(host):
    path = host.run("mktemp -d /var/tmp/host-test.XXXXXX").out.strip()
    yield path
    host.run("rm -rf " + path)


def test_put_and_get_any_bytes(host, folder):
    data = bytes(range(256)) * 4096 + b"no newline"
    for path in (folder + "/new/deep/file.bin", folder + "/with space and 'quote'", folder + "/empty"):
        content = b"" if path.endswith("empty") else data
        host.put(content, path, mode="0640", owner="ubuntu:adm")
        assert host.get(path) == content
    assert host.run(f"stat -c '%a %U:%G' {folder}/new/deep/file.bin").out == "640 ubuntu:adm\n"
    host.put("ä\n", folder + "/empty")
    assert host.get(folder + "/empty") == "ä\n".encode() and host.run(f"stat -c %a {folder}/empty").out == "644\n"


def test_put_never_slips_into_a_directory_of_that_name(host, folder):
    with pytest.raises(CommandFailed):
        host.put("x", folder)
    assert host.run("ls -A " + folder).out == ""


def test_get_of_nothing_names_the_file(host):
    with pytest.raises(CommandFailed) as e:
        host.get("/no/such/file")
    assert "/no/such/file" in e.value.what and "No such file" in e.value.saw


@pytest.fixture
def slow_ssh(tmp_path, monkeypatch):
    """An ssh whose upload stops after 64 KiB and hangs for some seconds: the middle of a put."""

    def slow(seconds):
        _program(
            tmp_path / "slow",
            "ssh",
            'case "$*" in *part=*) ;; *) exec {0} "$@";; esac\n(head -c 65536; sleep {1}) | {0} "$@"'.format(
                shutil.which("ssh"), seconds
            ),
        )
        monkeypatch.setenv("PATH", str(tmp_path / "slow") + os.pathsep + os.environ["PATH"])

    return slow


def test_an_upload_that_ends_in_the_middle_leaves_the_old_file(host, folder, slow_ssh):
    host.put("old", folder + "/file")
    slow_ssh(0.5)
    with pytest.raises(CommandFailed):
        host.put(b"x" * 1000000, folder + "/file")
    assert host.get(folder + "/file") == b"old" and host.run("ls -A " + folder).out == "file\n"


def test_a_connection_cut_in_the_middle_of_an_upload_leaves_the_old_file(host, folder, slow_ssh):
    host.put("old", folder + "/file")
    slow_ssh(4)
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(host.put, b"x" * 1000000, folder + "/file")
        until("a part", lambda: host.run("ls -A " + folder).out.count("part"))
        cut(host)
        with pytest.raises(ConnectionLost):
            upload.result()
    assert host.get(folder + "/file") == b"old"
    until("the part to be gone", lambda: host.run("ls -A " + folder).out == "file\n")


def test_a_full_disk_is_named(host, folder):
    host.run(f"mkdir {folder}/tiny && mount -t tmpfs -o size=64k tmpfs {folder}/tiny && echo old > {folder}/tiny/file")
    try:
        with pytest.raises(CommandFailed) as e:
            host.put(b"x" * 500000, folder + "/tiny/file")
        assert "No space left on device" in e.value.saw and "df -h" in e.value.do
        assert host.get(folder + "/tiny/file") == b"old\n" and host.run(f"ls {folder}/tiny").out == "file\n"
    finally:
        host.run(f"umount {folder}/tiny")


def cut(host, how=signal.SIGKILL):
    """Kill the shared connection's process."""
    argv = host.ssh_command()
    said = subprocess.run(
        argv[:1] + ["-O", "check"] + argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout
    os.kill(int(re.search(r"pid=(\d+)", said).group(1)), how)


# -- ports ----------------------------------------------------------------------------------------


def banner(port):
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.settimeout(5)
        return s.recv(4)


def closed(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()
        return False
    return True


def test_a_forwarded_port_leads_to_the_host_until_it_is_closed(host):
    with host.forward(22) as port:
        assert banner(port) == b"SSH-"
        with host.forward(22, host.address) as other:
            assert other != port and banner(other) == b"SSH-"
        with pytest.raises(OSError):
            banner(other)
    with pytest.raises(OSError):
        banner(port)


def test_a_forward_to_a_closed_port_ends_at_once(host):
    with host.forward(1) as port, contextlib.suppress(ConnectionResetError):
        assert banner(port) == b""


def test_the_proxy_starts_its_connections_on_the_host(host):
    with host.socks() as port, socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"\x05\x01\x00")
        assert s.recv(2) == b"\x05\x00"
        s.sendall(b"\x05\x01\x00\x03" + bytes([9]) + b"localhost" + (22).to_bytes(2, "big"))
        assert s.recv(10)[1] == 0 and s.recv(4) == b"SSH-"


def test_a_proxy_port_that_is_taken_is_named(host):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunbookError) as e, host.socks(port):
            pass
        assert str(port) in str(e.value) and "ss -ltn" in e.value.do


# -- a connection that goes away -------------------------------------------------------------------

SUICIDE = (
    "p=$$; while [ $(cat /proc/$p/comm) != sshd ]; do p=$(awk '{print $4}' /proc/$p/stat); done; kill -9 $p; sleep 20"
)


def begun(pool, host, script):
    """This script after an echo of `begun`, which runs by now: the future of its Result."""
    heard = threading.Event()
    running = pool.submit(host.run, "echo begun; " + script, on_line=lambda *_: heard.set())
    until("it to begin", heard.is_set, lambda: running.done() and f"it ended: {running.exception()}")
    return running


def test_a_session_killed_on_the_host_is_told_apart_from_a_failed_command(host):
    with pytest.raises(ConnectionLost) as e:
        host.run("echo begun; " + SUICIDE, what="install something")
    assert e.value.what == "install something" and "lost in the middle" in e.value.saw and "Run again" in e.value.do
    assert host.run("echo back").out == "back\n"


def test_the_connection_killed_here_is_told_the_same_way(host):
    host.connect()
    with ThreadPoolExecutor(1) as pool:
        running = begun(pool, host, "sleep 120")
        cut(host)
        with pytest.raises(ConnectionLost):
            running.result(60)
    assert host.run("echo back").out == "back\n"


def test_a_command_whose_connection_was_lost_is_ended_on_the_host(host):
    host.run("rm -f /tmp/counted")
    with ThreadPoolExecutor(1) as pool:
        running = begun(pool, host, COUNTS.format(apart="trap '' HUP PIPE; "))
        cut(host)
        with pytest.raises(ConnectionLost):
            running.result(60)
    assert not counts_on(host)


def test_closing_leaves_the_commands_of_others_alone(host, target):
    other = Host(target)
    with ThreadPoolExecutor(1) as pool:
        running = begun(pool, other, "sleep 10; echo done")
        host.connect().close()
        assert running.result(60).out == "begun\ndone\n"
    assert other.run("echo again").out == "again\n"
    other.close()


def lock_is_free(host):
    return host.ask(f"flock -w 2 {host_lock.PATH} true").ok


def test_the_lock_of_a_host_is_the_same_by_whatever_name_and_ends_with_its_process(host, target):
    program = (
        "import time; from helpers.core.host import Host; from helpers.core.host_lock import HostLock\n"
        f"HostLock(Host({target!r}), 'up of ann').take(); print('has it', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "has it\n"
    assert not lock_is_free(host)
    with pytest.raises(BadInput) as e:
        HostLock(host, "up").take()
    assert "up of ann" in e.value.saw and str(process.pid) in e.value.saw
    process.kill()
    process.communicate()
    assert lock_is_free(host)


def test_the_lock_of_a_host_is_had_back_after_a_lost_connection(host):
    with held(host, what="up"):
        first = host.run("head -n 1 " + host_lock.PATH).out
        cut(host)
        until("the lock", lambda: host.run("head -n 1 " + host_lock.PATH).out not in ("", first))
        assert not lock_is_free(host)
    assert lock_is_free(host)


def test_an_idle_connection_that_died_is_opened_again(host):
    host.connect()
    cut(host)
    assert host.run("echo back").out == "back\n"


@pytest.mark.parametrize(
    "how, next_thing",
    [(signal.SIGTERM, lambda host: host.run("true")), (signal.SIGKILL, Host.hold_ports)],
    ids=["it ended, and a command follows", "it was killed, and a check follows"],
)
def test_forwarded_ports_come_back_when_their_connection_died(host, how, next_thing):
    with host.forward(22) as one, host.forward(22, host.address) as other, host.socks() as proxy:
        cut(host, how)
        until("its port to close", lambda: closed(one))
        with pytest.raises(OSError):
            banner(one)
        next_thing(host)
        assert banner(one) == banner(other) == b"SSH-"
        socket.create_connection(("127.0.0.1", proxy), 5).close()
    for port in (one, other, proxy):
        with pytest.raises(OSError):
            banner(port)


def test_a_connection_that_was_told_to_stop_keeps_its_ports_while_a_command_runs(host, target):
    with host.forward(22) as port, ThreadPoolExecutor(1) as pool:
        running = begun(pool, Host(target), "sleep 20")
        Host(target).connect().close()
        host.run("true")
        assert banner(port) == b"SSH-"
        running.result(60)
        until("its port to close", lambda: closed(port))
        host.hold_ports()
        assert banner(port) == b"SSH-"


# -- hosts that cannot be used ---------------------------------------------------------------------

USERS = {
    "nosudo": "",
    "asks": "echo 'asks ALL=(ALL) ALL' > /etc/sudoers.d/test-asks; chmod 0440 /etc/sudoers.d/test-asks",
    "noisy": "echo 'echo Welcome to Machine' > ~noisy/.bashrc",
    "silent": "",
    "dies": "",
    "mac": "mkdir ~mac/bin; printf '#!/bin/sh\\necho Darwin\\n' > ~mac/bin/uname; chmod 755 ~mac/bin/uname",
    "bare": "mkdir ~bare/bin; for p in sh id uname; do ln -s $(command -v $p) ~bare/bin; done",
    "sudoless": "mkdir ~sudoless/bin; for p in sh bash id uname; do ln -s $(command -v $p) ~sudoless/bin; done",
    "closed": "",
    "narrow": "",
}
# What their key may not: as AllowTcpForwarding no, and as PermitOpen, which allows one port.
LIMITS = {"closed": "no-port-forwarding ", "narrow": 'permitopen="127.0.0.1:22" '}
# What sshd starts in place of the user's command: a login that is not like others.
FORCED = {
    "mac": "PATH=$HOME/bin:$PATH; export PATH",
    "bare": "PATH=$HOME/bin; export PATH",
    "sudoless": "PATH=$HOME/bin; export PATH",
    "silent": "/bin/sleep 5",
    "dies": "kill -9 $PPID; sleep 5",
}


@pytest.fixture(scope="module")
def logins(box, target, tmp_path_factory):
    """Users on the host who log in with the sandbox's key, and an SSH config that knows the host as `machine`."""
    host, folder = Host(target), tmp_path_factory.mktemp("ssh")
    key = (box.key.parent / "id.pub").read_text().strip()
    for name, more in USERS.items():
        forced = ""
        if name in FORCED:
            host.put(
                f'#!/bin/sh\n{FORCED[name]}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n',
                "/usr/local/lib/test-" + name,
                "0755",
            )
            forced = f'command="/usr/local/lib/test-{name}" '
        host.run(f"useradd -m -s /bin/bash -p '*' {name}\n{more}\ninstall -d -o {name} ~{name}/.ssh")
        host.put(LIMITS.get(name, forced) + key + "\n", f"/home/{name}/.ssh/authorized_keys", "0600", name + ":" + name)
    yield Config(box, folder)
    # A login of theirs may still be ending.
    for name in USERS:
        host.run(
            f"loginctl terminate-user {name} 2>/dev/null || true; "
            f"for n in 1 2 3 4 5; do userdel -r {name} 2>/dev/null && break; sleep 1; done\n"
            f"! id {name} 2>/dev/null; rm -f /etc/sudoers.d/test-{name} /usr/local/lib/test-{name}"
        )
    host.close()


class Config:
    """An SSH configuration file; `known` is the known_hosts file, `more` are lines for the host."""

    def __init__(self, box, folder):
        self.box, self.folder, self.count = box, folder, 0

    def write(self, known=None, key=None, more=""):
        self.count += 1
        path = self.folder / f"config-{self.count}"
        path.write_text(
            f"Host machine\n HostName {self.box.address}\n HostKeyAlias {self.box.address}\n"
            f" IdentityFile {key or self.box.key}\n IdentitiesOnly yes\n IdentityAgent none\n"
            f" UserKnownHostsFile {known or self.box.known_hosts}\n GlobalKnownHostsFile /dev/null\n{more}\n"
        )
        return str(path)


@pytest.fixture
def refused(logins, monkeypatch):
    """Connect as a user and ask for root; returns the error that must come."""

    def refused(target, kind=RunbookError, **config):
        monkeypatch.setenv("RUNBOOK_SSH_CONFIG", logins.write(**config))
        host = Host(target)
        with pytest.raises(kind) as e:
            host.require_root()
        host.close()
        assert e.value.host == target and e.value.saw and e.value.do
        assert len(str(e.value).splitlines()) < 20
        return e.value

    return refused


def test_an_alias_of_the_persons_configuration_is_a_target(logins, box, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", logins.write())
    host = Host("ssh://ubuntu@machine")
    assert host.run("id -un").out == "root\n" and host.address == box.address
    host.close()


def test_settings_of_a_session_to_sit_in_are_in_nobodys_way(logins, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = f" LocalForward {taken.getsockname()[1]} localhost:22\n RequestTTY force\n RemoteCommand tmux attach\n"
        monkeypatch.setenv(
            "RUNBOOK_SSH_CONFIG", logins.write(more=more + "Match originalhost machine\n Compression yes")
        )
        host = Host("ssh://ubuntu@machine")
        assert host.run("cat", stdin="one\n", sudo=False).out == "one\n"
        with host.forward(22) as port, socket.create_connection(("127.0.0.1", port), 5) as s:
            assert s.recv(4) == b"SSH-"
        host.close()


def test_no_such_host(refused):
    e = refused("ssh://ubuntu@no-such-host.invalid")
    assert "no such host" in e.saw and "getent hosts no-such-host.invalid" in e.do


def test_refused_port(refused, box):
    e = refused("ssh://ubuntu@machine:1")
    assert "nothing listens on port 1" in e.saw and "systemctl status ssh" in e.do


def test_not_an_ssh_server(refused):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        def answer():
            for _ in range(1):
                link, _ = server.accept()
                link.close()

        thread = threading.Thread(target=answer)
        thread.start()
        e = refused(f"ssh://ubuntu@127.0.0.1:{port}")
        thread.join()
    assert "no SSH server" in e.saw and str(port) in e.saw


def test_a_host_that_never_answers(refused, monkeypatch):
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT", 1)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        e = refused(f"ssh://ubuntu@127.0.0.1:{server.getsockname()[1]}")
    assert "no answer within" in e.saw and "firewall" in e.do


def test_wrong_key(refused, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    e = refused("ssh://ubuntu@machine", key=tmp_path / "other")
    assert "refused the key" in e.saw and "ssh ubuntu@machine must work without a password" in e.do


def test_no_such_user_reads_like_a_wrong_key(refused):
    assert "or the user name" in refused("ssh://nobody-of-that-name@machine").saw


@pytest.mark.parametrize("more", ["", " StrictHostKeyChecking accept-new", " StrictHostKeyChecking no"])
def test_an_unknown_host_key_is_never_accepted_silently(refused, tmp_path, more):
    known = tmp_path / "known_hosts"
    known.write_text("")
    e = refused("ssh://ubuntu@machine", known=known, more=more)
    assert "not known yet" in e.saw and "compare the fingerprint" in e.do and "ssh ubuntu@machine" in e.do
    assert known.read_text() == ""


def test_a_changed_host_key_is_an_alarm(refused, box, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "imposter")], check=True)
    known = tmp_path / "known_hosts"
    known.write_text(box.address + " " + (tmp_path / "imposter.pub").read_text())
    before = known.read_text()
    e = refused("ssh://ubuntu@machine", known=known)
    assert "not the one known" in e.saw and "ssh-keygen -R" in e.do and known.read_text() == before


@pytest.mark.parametrize(
    "user, do",
    [
        ("nosudo", "nosudo ALL=(ALL) NOPASSWD:ALL"),
        ("asks", "asks ALL=(ALL) NOPASSWD:ALL"),
        ("sudoless", "Install sudo"),
    ],
)
def test_no_way_to_become_root(refused, user, do):
    e = refused(f"ssh://{user}@machine")
    assert "sudo" in e.saw and do in e.do


def test_what_needs_no_root_works_without_sudo(logins, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", logins.write())
    host = Host("ssh://nosudo@machine")
    assert host.run("id -un", sudo=False).out == "nosudo\n"
    host.close()


def test_a_host_that_is_not_linux(refused):
    e = refused("ssh://mac@machine", kind=BadInput)
    assert "Darwin" in e.saw and "Linux" in e.do


def test_a_host_without_bash(refused):
    assert "no bash" in refused("ssh://bare@machine").saw


def test_a_login_shell_that_talks(refused):
    e = refused("ssh://noisy@machine")
    assert "Welcome to Machine" in e.saw and ".bashrc" in e.do


def test_a_login_shell_that_never_gets_to_it(refused, monkeypatch):
    monkeypatch.setattr(host_module, "LOGIN_TIMEOUT", 1)
    e = refused("ssh://silent@machine")
    assert "no answer from its login shell" in e.saw


def test_a_connection_that_ends_at_its_login_is_no_fault_of_the_shell(refused):
    e = refused("ssh://dies@machine", kind=ConnectionLost)
    assert "lost in the middle" in e.saw and "bashrc" not in e.do


def test_a_server_that_forwards_nothing_is_told_before_anything_is_asked_through_it(logins, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", logins.write())
    host = Host("ssh://closed@machine")
    for means in (lambda: host.forward(22), host.socks):
        with pytest.raises(RunbookError) as e, means():
            pass
        assert "forbids it" in e.value.saw and "allowtcpforwarding" in e.value.do and e.value.host == host.name
    host.close()


def test_a_server_that_forwards_to_one_port_is_used_for_it(logins, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", logins.write())
    host = Host("ssh://narrow@machine")
    with host.forward(22) as port:
        assert banner(port) == b"SSH-"
    host.close()


def test_a_sandbox_that_is_not_there():
    with pytest.raises(RunbookError) as e:
        Host("sandbox:nothere").connect()
    assert e.value.do == "./runbook sandbox up --name nothere"


def test_a_free_port_is_free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", free_port()))


def test_no_outgoing_connection_gets_a_free_port():
    first = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
    assert max(free_port() for _ in range(50)) < int(first)


def test_a_port_that_is_taken_is_no_free_port(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("helpers.core.ssh.random.sample", lambda *_: [port, port])
        with pytest.raises(OSError, match="taken"):
            free_port()
