"""What a host has against what the platform needs: each row's verdict, and the entry that it names."""

import re
import time
from pathlib import Path

import pytest
import stand_in

from helpers.components.kubernetes import networks
from helpers.components.requirements import judge, look
from helpers.core import notebooks
from helpers.core.errors import Unmet

GOOD = {
    "cpus": "32",
    "memory_kib": str(128 * 2**20),
    "disk_kib": str(500 * 2**20),
    "release": "Ubuntu 18.04",
    "kernel": "4.15.0",
    "machine": "x86_64",
    "init": "systemd",
    "cgroup": "v1",
    "gpu": "Tesla T4, 440.33",
    "name_ok": "yes",
    "dns_ok": "yes",
    "skew": 0.2,
}
HERE = {"system": "Linux x86_64", "python": "3.11", "helm": "3.5.4", "kubectl": "1.17.17", "ssh": "9.2"}


def state(rows, title):
    (row,) = [row for row in rows if row.title == title]
    return row.state, row.problem


def machine(**changed):
    return judge.judge_machine(dict(GOOD, **changed), 4, 8, 20)


def test_a_machine_of_64_gib_is_one_though_the_kernel_keeps_some():
    assert state(machine(memory_kib="65504044"), "memory")[0] == "ok"
    assert state(machine(memory_kib=str(60 * 2**20)), "memory")[0] == "warn"


def test_the_recommended_host_has_nothing_to_say():
    assert {row.state for row in machine()} == {"ok"} and not [row for row in machine() if row.prove()]


@pytest.mark.parametrize(
    "changed, title, wanted",
    [
        ({"cpus": "3"}, "processors", ("failed", "3: fewer than the 4 that this run asks for")),
        ({"cpus": "4"}, "processors", ("warn", "enough for MinIO and PostgreSQL, not for the whole platform")),
        ({"memory_kib": str(7 * 2**20)}, "memory", ("failed", "7 GiB: fewer than the 8 that this run asks for")),
        ({"release": "Fedora Linux 34"}, "release", ("failed", "Fedora Linux 34")),
        ({"machine": "aarch64"}, "architecture", ("failed", "aarch64")),
        ({"init": "init"}, "init", ("failed", "init")),
        ({"cgroup": "v2"}, "cgroups", ("warn", "Kubernetes 1.20 needs v1: switch before chapter 03")),
        ({"name_ok": "no"}, "own name", ("failed", "no")),
        ({"skew": 61.0}, "clock", ("failed", "it differs from this machine's by 61 s")),
        ({"skew": 2.0}, "clock", ("warn", "it differs from this machine's by 2 s")),
    ],
)
def test_what_is_wrong_is_said(changed, title, wanted):
    assert state(machine(**changed), title) == wanted


@pytest.mark.parametrize("gpu", ["", "a card, but no driver"])
def test_a_gpu_without_a_driver_is_a_warning(gpu):
    assert state(machine(gpu=gpu), "GPU")[0] == "warn"


def test_another_ubuntu_is_a_warning_and_a_failed_row_fails_its_check():
    other, failed = state(machine(release="Ubuntu 20.04"), "release"), machine(init="init")
    assert other[0] == "warn" and "other versions" in other[1]
    with pytest.raises(Unmet) as e:
        next(row for row in failed if row.title == "init").prove()
    assert (e.value.expected, e.value.saw) == ("systemd", "init")


def test_networks_that_the_cluster_takes_are_a_warning_as_a_port_is():
    free = "address 192.168.7.5/24 eth0\\\nroute default via 192.168.7.1 dev eth0"
    rows = judge.judge_networks(networks.read(free), "10.0.1.1")
    assert [row.title for row in rows] == [
        "the pods' network 10.1.0.0/16",
        "the services' network 10.152.183.0/24",
        "address for pods 10.0.1.1",
    ]
    assert {row.state for row in rows} == {"ok"} and not [row for row in rows if row.prove()]
    taken = networks.read(free + "\nserver 10.1.0.2\nroute 10.0.0.0/16 dev eth1")
    pods, services, address = judge.judge_networks(taken, "10.0.1.1")
    assert pods.prove() == "10.1.0.2, a name server, lies in 10.1.0.0/16, the pods' network"
    assert services.state == "ok" and address.state == "warn" and "leads to eth1" in address.prove()
    assert "no IPv4 address" in judge.judge_networks(taken, "host")[2].prove()


def test_a_ufw_that_shuts_pods_out_is_a_warning():
    off, shut = judge.judge_firewall(""), judge.judge_firewall("on\npolicy INPUT DROP\n")
    assert (off.state, off.found, off.prove()) == ("ok", "none, or off", None)
    assert (shut.state, shut.found) == ("warn", "on") and "sudo ufw allow from 10.1.0.0/16" in shut.prove()
    lets = judge.judge_firewall("on\npolicy INPUT ACCEPT\npolicy FORWARD ACCEPT\n")
    assert (lets.state, lets.found) == ("ok", "on")


def test_a_port_is_free_or_ours_or_somebodys():
    rows = judge.judge_ports({"ports": {80: "apache2", 9000: "minio", 443: ""}}, [80, 9000, 443, 5432])
    assert [(row.state, str(row.found)) for row in rows] == [
        ("warn", "‹apache2›"),
        ("ok", "‹minio›"),
        ("warn", "‹somebody›"),
        ("ok", "‹free›"),
    ]
    assert rows[0].problem == "taken by apache2" and rows[2].problem == "taken by somebody"


@pytest.mark.parametrize(
    "changed, title, wanted",
    [
        ({}, "helm", "ok"),
        ({"helm": "3.4.1"}, "helm", "warn"),
        ({"helm": ""}, "helm", "warn"),
        ({"kubectl": "1.28.0"}, "kubectl", "warn"),
        ({"python": "3.6"}, "python", "failed"),
        ({"ssh": ""}, "ssh", "failed"),
        ({"system": "Windows AMD64"}, "this machine", "failed"),
    ],
)
def test_tools_that_only_later_chapters_need_warn(changed, title, wanted):
    rows = judge.judge_tools(dict(HERE, **changed))
    assert state(rows, title)[0] == wanted and all(row.problem or row.state == "ok" for row in rows)


def test_every_entry_that_a_row_names_is_in_the_chapter():
    named = set(re.findall(r'"(req-[a-z]+)"', Path(judge.__file__).read_text("utf-8")))
    assert named and named <= set(notebooks.find("requirements").entries)


def test_a_host_is_looked_at_in_one_round_trip(monkeypatch, own_home):
    said = f"cpus=2\nrelease=Debian 12\nclock={time.time() + 100}\nport=80 nginx\nport=22 \n"
    asked = []
    ch = stand_in.chapter(monkeypatch, "requirements", lambda script, stdin: asked.append(script) or said)
    facts = look.look_at_host(ch)
    assert facts["cpus"] == "2" and facts["ports"] == {80: "nginx", 22: ""} and len(asked) == 1
    assert 90 < facts["skew"] <= 100


def test_the_script_tells_all_that_is_judged(bash):
    code, said = bash(look.script(look._HOST), "exit 1")
    facts = dict(line.split("=", 1) for line in said.splitlines() if not line.startswith("port="))
    assert code == 0 and set(GOOD) - {"skew"} <= set(facts)


# nvidia-smi of driver 440, without its kernel module; on a host whose library was upgraded under it; and with no card
SMI = [
    ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest", 9),
    ("Failed to initialize NVML: Driver/library version mismatch", 18),
    ("No devices were found", 6),
]


@pytest.mark.parametrize("words, code", SMI)
def test_an_error_of_nvidia_smi_is_no_gpu(bash, program, words, code):
    program("nvidia-smi", f'echo "{words}"\nexit {code}')
    _, said = bash(look.script(look._HOST), "exit 1")
    (gpu,) = [line[4:] for line in said.splitlines() if line.startswith("gpu=")]
    assert gpu == "no driver: " + words and state(machine(gpu=gpu), "GPU")[0] == "warn"


def test_the_first_of_two_gpus_is_told(bash, program):
    program("nvidia-smi", 'echo "Tesla T4, 440.33"\necho "Tesla T4, 440.33"')
    assert "gpu=Tesla T4, 440.33\n" in bash(look.script(look._HOST), "exit 1")[1]


def test_the_tools_of_this_machine_have_versions():
    assert look.look_here()["ssh"][:1].isdigit() and judge.judge_tools(look.look_here())
