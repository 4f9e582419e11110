"""The shared connection: where its socket lies, and a person's settings that must not reach it."""

import os
import stat
import subprocess
import tempfile

import pytest

from helpers.core.host import Host
from helpers.core.ssh import Connection
from helpers.core.target import Target


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that the fallback would take, in a temporary folder of this test's own; not made yet."""
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / ("long" * 20)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"runbook-{os.getuid()}"


def sockets_folder():
    path = os.path.dirname(Connection(Target.parse("ssh://somewhere")).socket)
    found = os.lstat(path)
    assert stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.geteuid()
    return path


def test_it_is_made_once_and_private(folder):
    assert sockets_folder() == sockets_folder() == str(folder)


def linked(folder):
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)


def open_to_all(folder):
    folder.mkdir()
    folder.chmod(0o777)


def a_strangers(folder):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    folder.mkdir(mode=0o700)
    os.chown(str(folder), 65534, 65534)


@pytest.mark.parametrize("taken", (linked, open_to_all, a_strangers, os.mknod))
def test_a_folder_that_others_may_have_made_is_not_used(folder, taken):
    taken(folder)
    assert sockets_folder() == sockets_folder() != str(folder), "one for all of this process's connections"


# -- a person's settings, as OpenSSH itself understands them --------------------------------------

SETTINGS = """Host desk
  HostName 192.0.2.7
  Port 2222
  ProxyJump bastion
  LocalForward 5432 localhost:5432
  RemoteForward 9001 localhost:9001
  DynamicForward 9999
  RequestTTY force
  RemoteCommand tmux attach
Match host 192.0.2.7
  User me
  SessionType none
  StdinNull yes
  ForkAfterAuthentication yes
  PermitLocalCommand yes
  LocalCommand echo hello
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    (tmp_path / "settings").write_text(SETTINGS)
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", str(tmp_path / "settings"))
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    return Connection(Target.parse("ssh://desk"))


def understood(argv):
    """{setting: value} of an ssh command, by ssh itself."""
    done = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_a_session_to_sit_in_is_none_for_a_command(desk):
    said = understood(desk.command())
    assert not {"localforward", "remoteforward", "dynamicforward"} & set(said), "their ports may be taken"
    assert said.get("remotecommand", "none") == "none" and said["requesttty"] == "false"
    assert said["permitlocalcommand"] == "no" and said["clearallforwardings"] == "yes"
    newer = {"sessiontype": "default", "stdinnull": "no", "forkafterauthentication": "no"}
    assert {key: said[key] for key in newer if key in said} == {key: newer[key] for key in newer if key in said}


def test_what_leads_to_the_host_is_the_persons(desk):
    said = understood(desk.command())
    assert [said[key] for key in ("hostname", "port", "user", "proxyjump")] == ["192.0.2.7", "2222", "me", "bastion"]


def test_a_forwarding_asks_for_itself_alone(desk, program, tmp_path):
    """-O forward sends all that the settings name, and a taken port among them would be an error of ours."""
    log = tmp_path / "log"
    program("ssh", f'echo "$*" >> {log}')
    with desk.forwarding("-L", "127.0.0.1:1:127.0.0.1:2"):
        pass
    told = [line for line in log.read_text().splitlines() if " -O " in line]
    assert [line.split(" -O ")[1].split()[0] for line in told] == ["forward", "cancel"]
    assert all("-F /dev/null" in line for line in told)


#: an ssh whose shared connection is a file, and whose forwardings are lines of another that end with it
SHARED = """#!/bin/sh
cd {folder}
for word; do
  case $before in -O) what=$word ;; esac
  case $word in ControlPath=*) socket=${{word#*=}} ;; esac
  before=$word
done
case "$what $*" in
  "check "*) [ -e "$socket" ] ;;
  "forward "*) echo "$*" | grep -o -e '-[LD] [^ ]*' >> forwarded ;;
  *" -M "*) echo > "$socket.new" && mv "$socket.new" "$socket"; : > forwarded ;;
  *"uname -s"*) echo "@@runbook me 0 Linux bash /root" ;;
esac
"""


def test_ports_of_a_connection_that_died_are_put_on_the_next_one(desk, program, tmp_path):
    program("ssh", SHARED.format(folder=tmp_path))
    host = Host("ssh://desk")
    with host.forward(9000) as one, host.socks(9999):
        there = f"-L 127.0.0.1:{one}:127.0.0.1:9000\n-D 127.0.0.1:9999\n"
        assert (tmp_path / "forwarded").read_text() == there
        host.hold_ports()
        assert (tmp_path / "forwarded").read_text() == there, "nothing is done for a connection that lives"
        os.unlink(host._connection.socket)
        host.hold_ports()
        assert (tmp_path / "forwarded").read_text() == there, "the same local ports, once"
        desk.open()  # another process was the first to see that it died
        os.unlink(desk.socket)
        desk.open()
        host.connect()
        assert (tmp_path / "forwarded").read_text() == there


@pytest.mark.parametrize(
    "said, final",
    [
        ("ann@h: Permission denied (publickey).", True),
        ("Host key verification failed.", True),
        ("ssh: connect to host h port 22: Connection refused", False),
        ("ssh: connect to host h port 22: Connection timed out", False),
        ("kex_exchange_identification: Connection closed by remote host", False),
    ],
)
def test_a_refusal_is_for_good_and_a_host_that_does_not_answer_may_come_back(said, final):
    assert Connection(Target.parse("ssh://ann@h"))._explained(said).final is final
