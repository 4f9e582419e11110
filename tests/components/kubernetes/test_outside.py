"""What of the cluster answers from outside, and the arguments that shut it: real bash on files, real sockets."""

import socket
import subprocess
from types import SimpleNamespace

import pytest

from helpers.components.kubernetes import outside
from helpers.components.kubernetes.microk8s import NODE_PORTS_ARE_OPEN, MicroK8s, _argument
from helpers.core.errors import Unmet

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


def test_the_kubelets_open_port_is_shut_whatever_is_asked_of_node_ports():
    asked = [[a.shown[0] for a in MicroK8s.ports(None, choice)] for choice in ("loopback", "network")]
    assert [shown[0] for shown in asked] == ["--read-only-port=0 in args/kubelet"] * 2
    assert "127.0.0.0/8" in asked[0][1] and asked[1][1].startswith("no --nodeport-addresses")


def kube(address, node_port=0, by_choice=False):
    """A cluster whose Service has this NodePort, on a host at this address."""
    host = SimpleNamespace(address=address, ask=lambda probe: (by_choice, ""))
    return SimpleNamespace(ch=SimpleNamespace(host=host), kubectl=lambda arguments: f"{node_port} 0 {node_port}")


@pytest.fixture(scope="module")
def elsewhere():
    """An address of this machine that is not its loopback's, as another machine sees it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has the loopback alone")
        return s.getsockname()[0]


def test_a_node_port_that_answers_is_named(elsewhere):
    with socket.create_server((elsewhere, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Unmet) as e:
            outside.nothing_answers(kube(elsewhere, port))
        assert e.value.saw == f"open: {port}"
        assert "node_ports_on = network" in outside.nothing_answers(kube(elsewhere, port, by_choice=True))
    assert outside.nothing_answers(kube(elsewhere, port)) == "none answers at the host's address"


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_a_host_that_is_this_machine_is_not_asked_at_its_loopback_where_node_ports_are_open(address):
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "left out" in outside.nothing_answers(kube(address, server.getsockname()[1]))


def test_silence_is_no_proof():
    """A listener whose queue is full drops what comes, as a firewall does; a name that nobody knows leads nowhere."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        assert "is silent from here" in outside._none_answers("127.0.0.1", [server.getsockname()[1]])
    assert "is silent from here" in outside.nothing_answers(kube("host.invalid", 32000))
