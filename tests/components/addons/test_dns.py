"""The add-on dns: which name servers pods can ask, and what becomes of a Corefile. No cluster here."""

import json
import re

import pytest
import stand_in

from helpers.components.addons import addons, dns
from helpers.core.shell import script

STUB = "# by systemd-resolved\nnameserver 127.0.0.53\noptions edns0\n"


@pytest.fixture
def host(bash, tmp_path):
    """Run a script on a host with these resolver files: (exit code, what it printed)."""

    def run(script, microk8s="", **files):
        for name in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"):
            path = tmp_path / name.strip("/").replace("/", "-")
            text = files.get(name.split("/")[2].split(".")[0])
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            script = script.replace(name, str(path))
        code, said = bash(script, microk8s)
        return code, said.replace(str(tmp_path / "etc-resolv.conf"), "/etc/resolv.conf")

    return run


@pytest.mark.parametrize(
    "files, asked",
    [
        ({"resolv": "nameserver 10.0.0.2\nnameserver 1.1.1.1\n"}, "/etc/resolv.conf"),
        ({"resolv": STUB, "systemd": "nameserver 10.0.0.2\nnameserver 1.1.1.1\n"}, "10.0.0.2 1.1.1.1"),
        ({"resolv": STUB, "systemd": "nameserver fd00::2\nnameserver 10.0.0.2\nnameserver 10.0.0.2\n"}, "10.0.0.2"),
        ({"resolv": "nameserver 127.0.1.1\n", "NetworkManager": "nameserver 10.0.0.3\n"}, "10.0.0.3"),
        ({"resolv": "nameserver 127.0.0.1\nnameserver 10.0.0.4\n"}, "10.0.0.4"),
        ({"resolv": "search example\n", "systemd": "nameserver 10.0.0.6\n"}, "10.0.0.6"),
        ({"resolv": "nameserver fe80::1%eth0\nnameserver 10.0.0.5\n", "systemd": "nameserver 9.9.9.9\n"}, "10.0.0.5"),
    ],
)
def test_the_hosts_servers_are_those_that_a_pod_reaches(host, files, asked):
    assert host(dns.name_servers([]) + '\necho "$asked"', **files) == (0, asked)


@pytest.mark.parametrize(
    "servers, files, named",
    [
        ([], {"resolv": STUB}, "127.0.0.53"),
        ([], {"resolv": STUB, "systemd": "nameserver 127.0.0.1\nnameserver ::1\n"}, "127.0.0.53"),
        ([], {"resolv": "nameserver fd00::1\nnameserver ::1\n"}, "fd00::1, ::1"),
        (["8.8.8.8", "127.0.0.53"], {}, "127.0.0.53"),
        (["fd00::1", "8.8.8.8", "dns.example"], {}, "fd00::1, dns.example"),
    ],
)
def test_servers_that_no_pod_reaches_are_refused_in_words(host, servers, files, named):
    code, said = host(dns.name_servers(servers), **files)
    assert code == 1 and said.startswith(f"pods cannot ask the name server {named}: ")


def test_a_host_without_name_servers_is_refused_in_words(host):
    for resolv in ("search example\n", None):
        said = host(dns.name_servers([]), resolv=resolv)
        assert said == (1, "the host names no name server (/etc/resolv.conf)")


def corefile(servers):
    return dns.corefile("", servers)


def test_the_corefile_is_the_one_that_enable_writes():
    text = corefile("8.8.8.8 8.8.4.4")
    assert text.startswith(".:53 {\n    errors\n") and text.endswith("    loadbalance\n}\n")
    assert "\n    forward . 8.8.8.8 8.8.4.4\n    cache 30\n    loop\n    reload\n" in text


@pytest.mark.parametrize(
    "servers, says",
    [
        (["8.8.8.8", "8.8.4.4"], ""),
        (["8.8.8.8"], "CoreDNS forwards elsewhere, not to 8.8.8.8"),
        (["8.818.8", "8.8.4.4"], "pods cannot ask the name server 8.818.8: "),
        ([], "CoreDNS forwards elsewhere, not to 1.1.1.1"),
    ],
)
# The blank at the end of the line is enable.dns.sh's own.
@pytest.mark.parametrize("end", ["", " ", " {\n        prefer_udp\n    }"])
def test_coredns_asks_exactly_the_servers_that_we_say(host, tmp_path, servers, says, end):
    (tmp_path / "Corefile").write_text(corefile("8.8.8.8 8.8.4.4" + end))
    says_it = f"cat {tmp_path / 'Corefile'}"
    code, said = host(dns.forwards_to(servers), says_it, resolv=STUB, systemd="nameserver 1.1.1.1\n")
    assert code == bool(says) and said.startswith(says), said


@pytest.mark.parametrize("lost", ["cache 30", "loop", "reload", "loadbalance"])
def test_a_corefile_that_lost_a_line_is_not_so_and_gets_it_back(host, tmp_path, lost):
    whole = corefile("8.8.8.8")
    (tmp_path / "Corefile").write_text(whole.replace(f"    {lost}\n", ""))
    code, said = host(dns.forwards_to(["8.8.8.8"]), f"cat {tmp_path / 'Corefile'}")
    assert code and said == f'CoreDNS\' configuration has lost its line "{lost.split()[0]}"'
    mended = dns.corefile((tmp_path / "Corefile").read_text().strip(), "8.8.8.8")
    assert sorted(mended.splitlines()) == sorted(whole.splitlines())


def test_other_servers_change_their_own_line_only():
    stub = "example:53 {\n    forward . 10.9.9.9\n}\n"
    now = stub + corefile("8.8.8.8 8.8.4.4 ").strip()
    assert dns.corefile(now, "10.0.0.2") == stub + corefile("10.0.0.2")
    block = corefile("8.8.8.8 {\n        prefer_udp\n    }")
    assert dns.corefile(block.strip(), "10.0.0.2") == block.replace("8.8.8.8", "10.0.0.2")


def test_what_an_earlier_runbook_broke_is_written_anew():
    """Its sed over YAML ate the end of the text: see the line that it left."""
    broken = re.sub(r"forward.*", "forward . /etc/resolv.conf    loadbalance }", corefile("8.8.8.8"), flags=re.S)
    assert dns.corefile(broken, "/etc/resolv.conf") == corefile("/etc/resolv.conf")
    half = "".join(line for line in corefile("8.8.8.8").splitlines(True) if line.split()[0] not in ("loop", "cache"))
    assert sorted(dns.corefile(half.strip(), "8.8.8.8").split()) == sorted(corefile("8.8.8.8").split())


def applied(monkeypatch, now, servers):
    """What installing tells a host that has this Corefile: [(script, its standard input)]."""
    told = []

    def answer(script, stdin):
        told.append((script, stdin))
        if "get configmap coredns" in script:
            return now
        if "microk8s enable dns" in script:
            return "DNS is enabled\n"
        return " ".join(servers) if 'echo "$asked"' in script else ""

    kube = addons.Addons(stand_in.chapter(monkeypatch, "addons", answer)).kube
    dns.enabled(kube, servers).apply()
    return told


def test_the_corefile_is_changed_as_json_and_coredns_starts_anew(monkeypatch, own_home):
    told = applied(monkeypatch, corefile("8.8.8.8 ").strip(), ["10.0.0.2", "10.0.0.3"])
    (patch,) = [(s, i) for s, i in told if "patch configmap" in s]
    assert json.loads(patch[1]) == {"data": {"Corefile": corefile("10.0.0.2 10.0.0.3")}}
    assert any("delete pods" in s for s, _ in told)
    assert any("microk8s enable dns:10.0.0.2,10.0.0.3" in s for s, _ in told)


@pytest.mark.parametrize("there", [True, False])
def test_pods_are_made_anew_and_the_deployment_stays_as_it_is(bash, tmp_path, there):
    """`kubectl rollout restart` left its mark in somebody's deployment, after remove too."""
    log = tmp_path / "log"
    labels = 'printf "a=b,k8s-app=kube-dns,"' if there else ":"
    microk8s = f'echo "$*" >> {log}\ncase "$*" in *"get deployment coredns -n kube-system"*template*) {labels} ;; esac'
    assert bash(script(dns._SCRIPTS / "pods_again.sh", "kube-system", "coredns"), microk8s) == (0, "")
    asked = [line for line in log.read_text().splitlines() if " get " not in f" {line} "]
    assert asked == ["kubectl delete pods -n kube-system -l a=b,k8s-app=kube-dns"] * there


@pytest.mark.parametrize("available, looks", [(1, 4), (0, 1)])
def test_a_deployment_that_still_counts_the_pod_that_is_gone_is_waited_for(bash, tmp_path, available, looks):
    """On a busy host it was found ready at once, and not so a moment later. With none to count it stays."""
    log = tmp_path / "log"
    microk8s = f"""
case "$*" in
  *go-template*) printf "k8s-app=kube-dns," ;;
  *resourceVersion*)
    echo look >> {log}
    [ $(wc -l < {log}) -ge 4 ] && version=8 || version=7
    case "$*" in *availableReplicas*) echo "$version {available}" ;; *) echo $version ;; esac ;;
esac"""
    assert bash(script(dns._SCRIPTS / "pods_again.sh", "kube-system", "coredns"), microk8s) == (0, "")
    assert log.read_text().count("look") == looks


def test_a_reader_sees_whose_servers_they_are(monkeypatch, own_home):
    kube = addons.Addons(stand_in.chapter(monkeypatch, "addons", None)).kube
    assert dns.enabled(kube, []).shown == ["microk8s enable dns:<the host's name servers>"]
    assert dns.enabled(kube, ["9.9.9.9", "1.1.1.1"]).shown == ["microk8s enable dns:9.9.9.9,1.1.1.1"]


def test_a_corefile_that_is_right_stays_and_a_missing_one_is_enables(monkeypatch, own_home):
    for now in (corefile("10.0.0.2").strip(), ""):
        told = applied(monkeypatch, now, ["10.0.0.2"])
        assert not [s for s, _ in told if "patch" in s or "delete pods" in s]
