"""MicroK8s on the host, as far as a host's words decide it: what was there before, and its user's kubeconfig."""

import re
import subprocess
import sys

import pytest
import stand_in

from helpers.components.kubernetes import microk8s
from helpers.core.shell import script

LISTED = """Name      Version   Rev   Tracking       Publisher   Notes
microk8s  v1.20.13  2695  {}  canonical✓  classic
"""


@pytest.fixture
def snapd(program, bash):
    """Run a probe on a host whose `snap` is this shell script: (exit code, what it printed)."""

    def run(probe, text):
        program("snap", "#!/bin/bash\n" + text)
        return bash(probe, "exit 1")

    return run


@pytest.mark.parametrize(
    "tracking, says",
    [
        ("1.20/stable", ""),
        ("1.20/candidate", ""),
        ("1.28/stable", "MicroK8s is installed from 1.28/stable, not from track 1.20"),
        ("latest/stable", "MicroK8s is installed from latest/stable, not from track 1.20"),
        ("-", "MicroK8s is installed from -, not from track 1.20"),
    ],
)
def test_a_microk8s_of_another_track_is_somebody_elses(snapd, tracking, says):
    for channel in ("1.20/stable", "1.20"):
        said = snapd(microk8s.track_is_ours(channel), f"cat <<'END'\n{LISTED.format(tracking)}END")
        assert said == (int(bool(says)), says)


def test_without_microk8s_nothing_is_in_the_way_and_a_silent_snapd_is(snapd):
    none = "echo error: no matching snaps installed >&2; exit 1"
    assert snapd(microk8s.track_is_ours("1.20/stable"), none) == (0, "")
    code, said = snapd(microk8s.track_is_ours("1.20/stable"), "echo cannot communicate with server >&2; exit 1")
    assert code and "cannot tell whether MicroK8s is installed" in said


def test_a_user_has_left_a_group_when_the_user_database_says_so(bash):
    left = script(microk8s._SCRIPTS / "not_in_group.sh", "ubuntu", "microk8s")
    for says, code, said in (
        ("return 2", 0, ""),
        ("echo microk8s:x:999:", 0, ""),
        ("echo microk8s:x:999:ann,myubuntu", 0, ""),
        ("echo microk8s:x:999:ann,ubuntu,bob", 1, "ubuntu is still in the group microk8s"),
        ("return 1", 1, "cannot tell who is in the group microk8s: getent ended with 1"),
    ):
        assert bash(f"getent() {{ {says}; }}\n{left}", "exit 1") == (code, said)


def test_an_alias_is_gone_when_snapd_says_so(snapd):
    there, gone = (script(microk8s._SCRIPTS / "snap_alias.sh", word) for word in ("there", "gone"))
    none, ours = "echo No aliases are currently defined. >&2", "echo 'microk8s.kubectl  kubectl  manual'"
    assert snapd(gone, none) == snapd(there, ours) == (0, "")
    assert snapd(gone, ours) == (1, "the alias kubectl is there") and snapd(there, none)[0] == 1
    silent = "echo error: cannot communicate with server >&2; exit 1"
    for probe in (gone, there):
        code, said = snapd(probe, silent)
        assert code == 1 and said == "cannot tell which aliases there are: error: cannot communicate with server"


# -- ports ----------------------------------------------------------------------------------------


@pytest.fixture
def listener():
    """A program of its own that listens: (port, process id)."""
    code = (
        "import socket, time; s = socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); time.sleep(60)"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    yield int(running.stdout.readline()), running.pid
    running.kill()


def ports(*numbers):
    return script(microk8s._SCRIPTS / "ports_are_ours.sh", *numbers)


def test_who_has_a_port_is_named_for_each(bash, listener):
    port, pid = listener
    code, said = bash(ports(1, port), "exit 1")
    assert code == 1 and said.startswith(f"taken: {port} by python") and f"(process {pid}" in said
    assert bash(ports(1, 2), "exit 1") == (0, "")


def test_another_kubernetes_has_the_same_programs_and_is_not_ours(bash, tmp_path):
    """k3s, kubeadm: kubelet on 10250. Ours runs from the snap, or in a unit of it."""
    code = (
        "import socket, sys; s = socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    (tmp_path / "kubelet").symlink_to(sys.executable)
    with subprocess.Popen(
        [tmp_path / "kubelet", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert bash(ports(int(running.stdout.readline())), "exit 1")[0] == 1
        running.stdin.close()


def test_the_ports_are_those_of_all_its_programs():
    """With its metrics' port taken, containerd does not start (1.3.7, cmd/containerd/command/main.go)."""
    programs = (16443, 10250, 10251, 10252, 10257, 10259, 19001, 25000, 1338)
    assert all(re.search(rf" {port}\b", microk8s.PORTS_ARE_OURS) for port in programs)


# -- the host's name ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, fits",
    [("host-1", 1), ("Host", 1), ("a.b-c.example", 1), ("my_host", 0), ("-a", 0), ("a-.b", 0), ("höst", 0)],
)
def test_a_node_is_named_as_rfc_1123_says(bash, program, name, fits):
    program("hostname", f"echo {name}")
    code, said = bash(microk8s.NODE_NAME, "exit 1")
    assert code == 1 - fits and (fits or f"it is {name}" in said)


# -- the alias ------------------------------------------------------------------------------------

NONE = "echo 'error: no matching snaps installed' >&2; exit 1"
SNAP = """#!/bin/sh
if [ $1 = list ]; then {}; fi
printf 'Command  Alias  Notes\\n{}'
"""


@pytest.mark.parametrize(
    "snap, whose",
    [
        (SNAP.format(NONE, "microk8s.kubectl  kubectl  manual\\n"), None),
        (SNAP.format(NONE, ""), None),
        ("#!/bin/sh\nexit 1\n", None),
        (SNAP.format("printf 'Name  Version\\nkubectl  1.29.3\\n'; exit", ""), "the snap kubectl has"),
        (SNAP.format(NONE, "other.ctl  kubectl  manual\\n"), "the snap other.ctl has"),
    ],
)
@pytest.mark.usefixtures("own_home")
def test_the_name_kubectl_may_be_another_snaps(monkeypatch, bash, program, snap, whose):
    program("snap", snap)

    def answer(text, stdin):
        return "ubuntu" if text == "id -un" else (*bash(text, "exit 1"), "")

    said = microk8s.MicroK8s(stand_in.chapter(monkeypatch, "kubernetes", answer)).why_no_alias()
    assert said is None if whose is None else said.startswith(whose)
