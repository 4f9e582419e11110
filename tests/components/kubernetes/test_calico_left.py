"""What stays of Calico when MicroK8s is removed: its links go, unless another Calico runs."""

import pytest

from helpers.components.kubernetes import microk8s

LINKS = """1: lo: <LOOPBACK,UP> mtu 65536
2: eth0: <BROADCAST,UP> mtu 1500
5: vxlan.calico: <BROADCAST,UP> mtu 1410
7: cali0123456789a@if3: <BROADCAST,UP> mtu 1410
8: california: <BROADCAST,UP> mtu 1500
"""


@pytest.mark.parametrize("another, gone", [(0, []), (1, ["vxlan.calico", "cali0123456789a"])])
def test_calicos_links_go_with_microk8s_unless_another_calico_runs(bash, tmp_path, another, gone):
    (tmp_path / "links").write_text(LINKS)
    (tmp_path / "log").write_text("")
    said = f'[ "$2" = delete ] && echo "$3" >> {tmp_path}/log || cat {tmp_path}/links'
    for name, does in {"ip": said, "pgrep": f"exit {another}", "find": "true", "rm": "true"}.items():
        (tmp_path / name).write_text("#!/bin/bash\n" + does)
        (tmp_path / name).chmod(0o755)
    assert bash(microk8s._LEFT, "")[0] == 0
    assert (tmp_path / "log").read_text().split() == gone
