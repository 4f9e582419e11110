"""What the cluster takes of the host's networks, against what the host needs there. Lines as `ip` prints them."""

import re
import subprocess

import pytest
import stand_in

from helpers.components.kubernetes import networks
from helpers.core.shell import script

PLAIN = """
client 192.168.7.20
server 127.0.0.53
server 192.168.7.1
address 127.0.0.1/8 lo\\
address 192.168.7.5/24 eth0\\
route default via 192.168.7.1 dev eth0 proto dhcp metric 100
route 192.168.7.0/24 dev eth0 proto kernel scope link src 192.168.7.5
route 172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 linkdown
"""
#: a cluster of ours that runs: Calico's links and routes, and host-access
RUNS = """
address 10.0.1.1/32 lo:microk8s\\
address 10.1.64.0/32 vxlan.calico\\
route blackhole 10.1.64.0/26 proto 80
route 10.1.64.7 dev cali0123456789a scope link
"""


def found(*more):
    return networks.read("\n".join(text.strip() for text in (PLAIN, *more)))


def test_the_servers_behind_each_resolver_are_the_hosts(tmp_path):
    """A dnsmasq of NetworkManager's at 127.0.1.1: the server that it asks was free for the pods' network."""
    files = {"/etc/resolv.conf": "127.0.1.1", "/run/NetworkManager/no-stub-resolv.conf": "10.1.0.2"}
    text = script(networks._SCRIPT)
    for name in (*files, "/run/systemd/resolve/resolv.conf"):
        assert name in text
        mine = tmp_path / name.replace("/", "_")
        text = text.replace(name, str(mine))
        if name in files:
            mine.write_text(f"nameserver {files[name]}\n")
    ip = "ip() { :; }\n"  # this machine's own network is not asked
    said = subprocess.run(["bash", "-c", ip + text], capture_output=True, text=True, check=True).stdout
    assert [line for line in said.splitlines() if line.startswith("server ")] == ["server 127.0.1.1", "server 10.1.0.2"]


def test_a_plain_host_has_all_of_it_free():
    assert networks.why_any_taken(found()) is None
    assert networks.why_no_address(found(), "10.0.1.1") is None


@pytest.mark.parametrize(
    "line, says",
    [
        (
            "client 10.1.5.6",
            "10.1.5.6, the machine that you are connected from, lies in 10.1.0.0/16, the pods' network",
        ),
        ("server 10.1.0.2", "10.1.0.2, a name server, lies in 10.1.0.0/16, the pods' network"),
        ("route default via 10.1.0.1 dev eth1", "10.1.0.1, a gateway, lies in 10.1.0.0/16, the pods' network"),
        ("route \tnexthop via 10.1.0.1 dev eth1 weight 1", "10.1.0.1, a gateway, lies in"),
        ("address 10.1.2.3/8 eth1\\", "10.1.2.3, the host's own address on eth1, lies in 10.1.0.0/16"),
        ("route 10.1.8.0/21 dev wg0 table 51820 scope link", "10.1.8.0/21, which wg0 leads to, lies in 10.1.0.0/16"),
        (
            "route 10.152.183.0/24 via 192.168.7.9 dev eth0",
            "10.152.183.0/24, which eth0 leads to, lies in 10.152.183.0/24",
        ),
    ],
)
def test_what_the_cluster_would_cut_off_is_named(line, says):
    assert networks.why_any_taken(found(line)).startswith(says)
    # The cluster runs, and whoever asks was not cut off: a host that was installed is healed, not refused.
    assert networks.why_any_taken(found(line, RUNS)) is None


@pytest.mark.parametrize(
    "line",
    [
        "route 10.0.0.0/8 via 192.168.7.9 dev eth0",  # the pods' routes are longer
        "route 0.0.0.0/1 via 10.8.0.1 dev tun0",  # a VPN's default route
        "route unreachable 10.2.0.0/16",
        "server fd00::1",
        "client UNKNOWN",
        "client fe80::1%eth0",
        "route default via inet6 fe80::1 dev eth0",
    ],
)
def test_what_is_wider_or_elsewhere_is_left_alone(line):
    assert networks.why_any_taken(found(line)) is None


@pytest.mark.parametrize(
    "line, says",
    [
        ("server 10.0.1.1", "10.0.1.1 is a name server"),
        ("client 10.0.1.1", "10.0.1.1 is the machine that you are connected from"),
        ("route default via 10.0.1.1 dev eth1", "10.0.1.1 is a gateway"),
        ("address 10.0.1.1/24 eth1\\", "10.0.1.1 is the host's own address on eth1"),
        ("route 10.0.0.0/16 dev eth1 scope link", "10.0.0.0/16 leads to eth1: 10.0.1.1 may be somebody there"),
        ("route 10.0.0.0/8 dev tun0", "10.0.0.0/8 leads to tun0: 10.0.1.1 may be somebody there"),
        ("answers 10.0.1.1", "somebody answers at 10.0.1.1"),
        ("route 0.0.0.0/1 via 10.8.0.1 dev tun0", None),
    ],
)
def test_an_address_for_pods_is_nobodys(line, says):
    assert networks.why_no_address(found(line), "10.0.1.1") == says


def test_an_address_that_pods_have_already_is_healed_whatever_the_routes_are():
    route = "route 10.0.0.0/8 dev tun0"
    assert networks.why_no_address(found(RUNS, route), "10.0.1.1") is None
    assert networks.why_no_address(found(RUNS, route, "server 10.0.1.1"), "10.0.1.1") == "10.0.1.1 is a name server"


@pytest.mark.parametrize(
    "text", ["", "10.0.1", "fd00::1", "host", "127.0.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"]
)
def test_what_is_no_address_for_pods_is_refused_before_the_host_is_asked(text):
    assert networks.why_bad(text)
    assert text in networks.why_not_free(None, text) if text else True


@pytest.mark.parametrize("text", ["10.1.0.1", "10.152.183.9"])
def test_an_address_for_pods_is_none_of_the_clusters(text):
    assert f"{text} lies in the" in networks.why_bad(text)


def test_a_host_is_asked_once_and_not_as_root(monkeypatch, own_home):
    asked = []
    ch = stand_in.chapter(monkeypatch, "addons", lambda script, stdin: asked.append(script) or PLAIN.strip())
    assert networks.why_not_free(ch, "10.0.1.1") is None and networks.why_not_free(ch) is None
    assert len([script for script in asked if "host_networks" in script or "SSH_CONNECTION" in script]) == 2


def test_this_machine_says_its_own():
    script = networks.script(networks._SCRIPT, "")
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SSH_CONNECTION": "203.0.113.9 1 203.0.113.1 22"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = networks.read(done.stdout)
    assert str(next(iter(said.needed))) == "203.0.113.9"
    addresses = subprocess.run(["ip", "-4", "-o", "addr"], env=env, capture_output=True, text=True).stdout
    mine = {str(address) for address, who in said.needed.items() if "own address" in who}
    assert "127.0.0.1" in mine and mine <= set(re.findall(r"inet ([\d.]+)", addresses))
