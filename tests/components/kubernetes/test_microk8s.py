"""MicroK8s on the host, as far as a host's words decide it: what was there before, and its user's kubeconfig."""

import pytest

from helpers.components.kubernetes import microk8s

LISTED = """Name      Version   Rev   Tracking       Publisher   Notes
microk8s  v1.20.13  2695  {}  canonical✓  classic
"""


@pytest.fixture
def snapd(tmp_path, bash):
    """Run a probe on a host whose `snap` is this shell script: (exit code, what it printed)."""

    def run(probe, text):
        (tmp_path / "snap").write_text("#!/bin/bash\n" + text)
        (tmp_path / "snap").chmod(0o755)
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
