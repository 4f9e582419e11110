"""What of the cluster answers from outside, and the arguments that shut it: real bash on files, real sockets."""

import shlex
import socket
import subprocess
from types import SimpleNamespace

import pytest
import stand_in

from helpers.components.kubernetes import outside
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.microk8s import NODE_PORTS_ARE_OPEN, MicroK8s, _argument
from helpers.components.kubernetes.outside import Outside
from helpers.core import listening, notebooks
from helpers.core.errors import BadInput, CommandFailed, Unmet

SHUT = _argument("kube-proxy", "--nodeport-addresses", "127.0.0.0/8", "proxy")
OPEN = _argument("kube-proxy", "--nodeport-addresses", "", "proxy")


@pytest.fixture
def args(tmp_path):
    """kube-proxy's arguments, and a function that runs a script on them, with a systemctl that notes its calls."""
    file = tmp_path / "args/kube-proxy"
    file.parent.mkdir()
    file.write_text("--kubeconfig=${SNAP_DATA}/credentials/proxy.config\n--cluster-cidr=10.1.0.0/16\n")

    def run(script):
        text = script.replace("/var/snap/microk8s/current", str(tmp_path))
        told = f'systemctl() {{ echo "$@ with $(tail -n 1 {file})" >> {tmp_path}/told; }}\n'
        return subprocess.run(["bash", "-euo", "pipefail", "-c", told + text], capture_output=True, text=True)

    return SimpleNamespace(file=file, run=run, told=tmp_path / "told")


def test_an_argument_is_set_once_and_taken_out_again(args):
    before = args.file.read_text()
    assert args.run(SHUT.probe).returncode == 1 and "(none), not 127.0.0.0/8" in args.run(SHUT.probe).stdout
    assert args.run(SHUT.apply).returncode == 0 and args.run(SHUT.apply).returncode == 0
    assert args.file.read_text() == before + "--nodeport-addresses=127.0.0.0/8\n"
    assert args.run(SHUT.probe).returncode == 0 and args.run(NODE_PORTS_ARE_OPEN).returncode == 1
    assert args.run(OPEN.apply).returncode == 0 and args.file.read_text() == before
    assert args.run(NODE_PORTS_ARE_OPEN).returncode == 0


def test_the_service_never_runs_beside_a_file_that_it_did_not_read(args):
    args.run(SHUT.apply)
    assert args.told.read_text().splitlines() == [
        "stop snap.microk8s.daemon-proxy with --cluster-cidr=10.1.0.0/16",
        "start snap.microk8s.daemon-proxy with --nodeport-addresses=127.0.0.0/8",
    ]


def test_a_last_line_without_its_end_stays_a_line(args):
    args.file.write_text("--v=2\n--cluster-cidr=10.1.0.0/16")
    args.run(SHUT.apply)
    assert args.file.read_text() == "--v=2\n--cluster-cidr=10.1.0.0/16\n--nodeport-addresses=127.0.0.0/8\n"


def test_another_value_in_either_way_of_writing_it_is_replaced(args):
    args.file.write_text("--nodeport-addresses 10.0.0.0/8\n--v=2\n")
    assert "10.0.0.0/8, not 127.0.0.0/8" in args.run(SHUT.probe).stdout
    args.run(SHUT.apply)
    assert args.file.read_text() == "--v=2\n--nodeport-addresses=127.0.0.0/8\n"


def test_arguments_that_cannot_be_read_are_no_yes(args):
    args.file.unlink()
    assert args.run(NODE_PORTS_ARE_OPEN).returncode != 0 and args.run(SHUT.apply).returncode != 0
    assert not args.file.exists() and list(args.file.parent.iterdir()) == []


def test_the_kubelets_open_port_is_shut_whatever_is_asked_of_node_ports(monkeypatch, own_home):
    microk8s = MicroK8s(stand_in.chapter(monkeypatch, "kubernetes", lambda script, stdin: "somebody"))
    asked = [[a.shown[0] for a in microk8s.ports(choice)] for choice in ("loopback", "network")]
    assert [shown[0] for shown in asked] == ["--read-only-port=0 in args/kubelet"] * 2
    assert "127.0.0.0/8" in asked[0][1] and asked[1][1].startswith("no --nodeport-addresses")


@pytest.fixture
def kube(monkeypatch, own_home):
    """kube(address, ...): a cluster whose Service has this NodePort, on a host at this address."""

    def at(address, node_port=0, by_choice=False):
        def answer(script, stdin):
            return (int(not by_choice), "", "") if script == NODE_PORTS_ARE_OPEN else f"{node_port} 0 {node_port}"

        return Kube(stand_in.chapter(monkeypatch, "kubernetes", answer, target=f"ssh://{address}"))

    return at


def test_a_node_port_that_answers_is_named(kube, elsewhere):
    with socket.create_server((elsewhere, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Unmet) as e:
            Outside(kube(elsewhere, port), []).nothing_answers()
        assert e.value.saw == f"open: {port}"
        assert "node_ports_on = network" in Outside(kube(elsewhere, port, by_choice=True), []).nothing_answers()
    assert Outside(kube(elsewhere, port), []).nothing_answers() == "none answers at the host's address"


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "six"])
def test_a_host_that_is_this_machine_is_not_asked_at_its_loopback_where_node_ports_are_open(
    kube, address, tmp_path, monkeypatch
):
    (tmp_path / "ssh").write_text("Host six\n  HostName ::1\n")
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", str(tmp_path / "ssh"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = Outside(kube(address, server.getsockname()[1]), []).nothing_answers()
    assert said.startswith(f"left out: {address.replace('six', '::1')} is this machine's own way")


def test_silence_is_no_proof(kube, monkeypatch):
    """A listener whose queue is full drops what comes, as a firewall does; a name that nobody knows leads nowhere."""
    monkeypatch.setattr(listening, "PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        port = server.getsockname()[1]
        said = outside._none_of(listening.from_here("127.0.0.1", [port]), "127.0.0.1")
    assert "is silent from here" in said
    assert "is silent from here" in Outside(kube("host.invalid", 32000), []).nothing_answers()


#: what ss says of a host: SSH on both families, what is shut, and a kernel's port without a program
LISTENING = """\
LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=1,fd=3))
LISTEN 0      128             [::]:22            [::]:*    users:(("sshd",pid=1,fd=4))
LISTEN 0      5                  *:9000             *:*    users:(("minio",pid=2,fd=4))
LISTEN 0      5    127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=4,fd=4))
LISTEN 0      5             [::1]:631           [::]:*    users:(("cupsd",pid=5,fd=4))
LISTEN 0      5  [::ffff:127.0.0.1]:7000           *:*    users:(("java",pid=5,fd=4))
LISTEN 0      64         0.0.0.0:2049       0.0.0.0:*
"""


class ThisHost:
    """What a host does that has its notes in a folder, and of which ss says this; scripts run in a real bash."""

    def __init__(self, folder):
        self.folder, self.said = folder, LISTENING

    def answer(self, script, stdin):
        text = script.replace(outside.STATE, str(self.folder / "state"))
        ss = f"ss() {{ printf %s {shlex.quote(self.said)}; }}\n"
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", ss + text], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def installs(self, chapter, *ports):
        """The chapter has a note here, with these ports (PORT/PROGRAM)."""
        lines = ",\n".join(f'{{"kind": "port", "name": "{port}", "before": "away"}}' for port in ports)
        (self.folder / f"state/{chapter}.json").write_text(f'{{"chapter": "{chapter}", "things": [\n{lines}\n]}}\n')

    def opens(self, port, program):
        self.said += f'LISTEN 0      5            0.0.0.0:{port}      0.0.0.0:*    users:(("{program}",pid=7,fd=3))\n'


@pytest.fixture
def ch(tmp_path, elsewhere, monkeypatch, own_home):
    """The chapter on such a host, its `.there`, at this machine's address."""
    there = ThisHost(tmp_path)
    ch = stand_in.chapter(monkeypatch, "kubernetes", there.answer, target=f"ssh://{elsewhere}")
    ch.there = there
    return ch


@pytest.fixture
def before(ch):
    """The same, and what listened before is noted."""
    ch.run(outside.before_us().apply)
    return ch


def test_what_listens_beyond_the_loopback_is_noted_once_and_the_note_goes(before):
    note, action = before.there.folder / "state/ports", outside.before_us()
    assert note.read_text() == "22 sshd\n2049 -\n9000 minio\n" and note.stat().st_mode & 0o777 == 0o600
    before.run(action.probe)
    before.run(action.undo)
    before.run(action.absent)
    assert not note.parent.exists()
    with pytest.raises(CommandFailed):
        before.run(action.probe)


def test_the_note_goes_and_what_others_noted_stays(before):
    other = before.there.folder / "state/minio.json"
    other.write_text("{}")
    before.run(outside.before_us().undo)
    assert list(other.parent.iterdir()) == [other]


def test_a_port_that_was_opened_by_hand_is_named_with_its_program(before):
    before.there.installs("minio", "9000/minio")
    with socket.create_server((before.host.address, 0)) as server:
        port = server.getsockname()[1]
        assert Outside(Kube(before), []).only_meant_answers() == "the host's own were there before: 22 sshd, 2049 -"
        before.there.opens(port, "python3")
        with pytest.raises(Unmet) as e:
            Outside(Kube(before), []).only_meant_answers()
        assert e.value.saw == f"open: {port} python3"
        assert "were there before" in Outside(Kube(before), [port]).only_meant_answers()
    assert "were there before" in Outside(Kube(before), []).only_meant_answers(), "it answers no more"


def test_a_program_of_a_chapter_has_the_port_that_it_was_given_and_no_other(before):
    with socket.create_server((before.host.address, 0)) as server:
        port = server.getsockname()[1]
        before.there.opens(port, "label-studio")
        before.there.installs("label_studio", f"{port}/label-studio")
        assert "were there before" in Outside(Kube(before), []).only_meant_answers()
        for ports in ((f"{port + 1}/label-studio",), (f"{port}/another",)):
            before.there.installs("label_studio", *ports)
            with pytest.raises(Unmet) as e:
                Outside(Kube(before), []).only_meant_answers()
            assert e.value.saw == f"open: {port} label-studio"


@pytest.mark.parametrize(
    "chapter, noted, port, program, meant",
    [
        ("minio", "9010/minio", 9010, "minio", True),
        ("minio", "9010/minio", 9001, "minio", True),  # its console's, in its table
        ("minio", "9010/minio", 9010, "nc", False),
        ("minio", "9000/minio", 9000, "nc", False),
        ("minio", "9000/minio", 9100, "minio", False),
        ("minio", "", 9100, "minio", True),  # an older runbook noted no port
        ("minio", "", 9000, "nc", False),
        ("minio", "9000/minio", 5432, "postgres", False),  # chapter 06 is not on this host
        ("postgres", "5432/postgres", 5433, "postgres", False),
        ("kubernetes", "", 80, "python3", False),  # GitLab's, on another host
        ("kubernetes", "", 443, "nginx", False),
        ("gitlab", "8929/nginx", 8060, "nginx", False),  # on loopback
        ("kubernetes", "", 25000, "gunicorn3", True),  # MicroK8s has more programs than the chapter names
        ("kubernetes", "", 30880, "kube-proxy", True),
        ("nobodys", "1/x", 1, "x", False),
    ],
)
def test_what_is_meant_is_a_port_with_its_program_of_a_chapter_on_this_host(chapter, noted, port, program, meant):
    assert outside.OpenByUs(notebooks.load_all(), f"{chapter} {noted}\n").has(port, program) is meant


def test_the_chapters_that_open_a_port_of_their_own_note_it():
    for chapter in ("minio", "postgres", "label_studio", "gitlab"):
        text = notebooks.find(chapter).path.read_text().replace("\\", "")
        program = notebooks.find(chapter).processes[0]
        assert f'port}}/{program}"' in text.replace("port_of(url)}", "port}"), chapter


@pytest.mark.parametrize("first, now, was", [(40001, 51234, True), (9100, 9101, False), (9100, 40001, True)])
def test_a_port_that_the_system_chose_is_another_after_a_boot(first, now, was):
    assert outside._was({first: "rpc.statd"}, now, "rpc.statd") == was
    assert not outside._was({first: "rpc.statd"}, now, "python3")


def test_both_questions_are_asked_at_the_first(before, monkeypatch):
    """Where a firewall is silent each takes ten seconds."""
    asked, kube = [], Kube(before)
    monkeypatch.setattr(kube, "kubectl", lambda words: "32000 0")
    monkeypatch.setattr(outside, "asked", lambda address, ports: asked.append([*ports]) or dict)
    before.there.opens(9100, "python3")
    Outside(kube, []).nothing_answers()
    assert asked == [[outside.READ_ONLY, 32000], [9100]]


def test_without_a_note_nothing_is_held_against_the_host(ch):
    assert "is not noted" in Outside(Kube(ch), []).only_meant_answers()


def test_a_host_that_is_this_machine_is_not_asked_for_its_listeners(tmp_path, monkeypatch, own_home):
    ch = stand_in.chapter(monkeypatch, "kubernetes", ThisHost(tmp_path).answer)
    assert "left out" in Outside(Kube(ch), []).only_meant_answers()


def test_what_chapters_open_is_what_their_pages_say():
    known = notebooks.load_all()
    ports = {port for port, _ in outside.OpenByUs(known, "\n".join(known)).pairs if port}
    assert ports == {16443, 10250, 10257, 10259, 25000, 7472, 7946, 9000, 9001, 5432, 80, 443}


def test_a_port_that_is_no_number_is_told():
    with pytest.raises(BadInput, match="1 to 65535"):
        notebooks.find("kubernetes").check({"open_ports": ["http"]})
