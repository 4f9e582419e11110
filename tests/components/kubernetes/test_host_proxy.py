"""A proxy of the host's, and what MicroK8s' own programs would ask it for."""

import subprocess

import pytest
import stand_in

from helpers.components.kubernetes import host_proxy

PROXY = 'PATH="/usr/bin"\nhttps_proxy="http://proxy.example:3128"\n'
ALL = "kk,10.1.0.0/16,10.152.183.0/24"


def test_a_proxy_that_would_be_asked_for_the_cluster_is_told_with_the_line():
    said = host_proxy.why("kk", PROXY + 'no_proxy="localhost,company.example"\n')
    assert said.startswith("it would be asked for kk (the node), 10.1.0.0/16 (the pods' network), 10.152.183.0/24 (")
    assert f'NO_PROXY="localhost,company.example,{ALL}" and no_proxy the same' in said
    assert host_proxy.why("kk", said.partition("environment: ")[2].partition(" and")[0] + "\n" + PROXY) is None
    assert f'NO_PROXY="{ALL}"' in host_proxy.why("kk", PROXY)


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "http_proxy=http://proxy.example:3128\n",  # all of the cluster speaks https
        "https_proxy=\n",
        PROXY + f"no_proxy={ALL}\n",
        PROXY + f"NO_PROXY='{ALL}'\n",
        PROXY + "no_proxy=*\n",
        PROXY + 'no_proxy="kk, 10.0.0.0/8"\n',
    ],
)
def test_what_the_cluster_can_live_with(settings):
    assert host_proxy.why("kk", settings) is None


def test_a_part_that_is_missing_is_named_alone():
    assert "asked for kk (the node). In" in host_proxy.why("kk", PROXY + "no_proxy=10.0.0.0/8\n")
    assert "10.1.0.0/16" in host_proxy.why("kk", PROXY + "no_proxy=kk,10.1.0.0/17,10.152.183.0/24\n")
    assert host_proxy.why("node.company.example", PROXY + "no_proxy=.company.example,10.0.0.0/8\n") is None
    assert "kk (the node)" in host_proxy.why("kk", PROXY + "no_proxy=k,10.0.0.0/8\n")


def test_the_host_says_what_it_has(tmp_path, monkeypatch, own_home):
    (tmp_path / "environment").write_text(PROXY)

    def run(command, stdin):
        command = command.replace("/etc/environment", str(tmp_path / "environment"))
        return subprocess.run(["bash", "-c", command], stdout=-1, text=True, check=True).stdout

    assert "(the node)" in host_proxy.why_asked(stand_in.chapter(monkeypatch, "kubernetes", run))
