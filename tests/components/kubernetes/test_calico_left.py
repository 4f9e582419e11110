"""What stays of Calico when MicroK8s is removed: its links go, unless another Calico runs."""

import pytest

from helpers.components.kubernetes import microk8s

LINKS = """1: lo: <LOOPBACK,UP> mtu 65536
2: eth0: <BROADCAST,UP> mtu 1500
5: vxlan.calico: <BROADCAST,UP> mtu 1410
7: cali0123456789a@if3: <BROADCAST,UP> mtu 1410
8: california: <BROADCAST,UP> mtu 1500
"""


@pytest.mark.parametrize("another, gone", [("4242", []), ("", ["vxlan.calico", "cali0123456789a"])])
def test_calicos_links_go_with_microk8s_unless_another_calico_runs(bash, program, tmp_path, another, gone):
    (tmp_path / "links").write_text(LINKS)
    (tmp_path / "log").write_text("")
    program("ip", f'[ "$2" = delete ] && echo "$3" >> {tmp_path}/log || cat {tmp_path}/links')
    processes = f"named() {{ [ $1 != calico-node ] || echo {another}; }}"
    assert bash(f"{microk8s._LEFT}\n{processes}\nlinks_go", "")[0] == 0
    assert (tmp_path / "log").read_text().split() == gone
