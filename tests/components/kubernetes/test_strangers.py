"""What others have in the cluster is named before remove takes it; a cluster that does not answer is a no."""

import getpass

import pytest

from helpers.components.kubernetes.strangers import nobody_elses_volumes, nobody_elses_work
from helpers.core import notes

KUBECTL = """
case "$*" in
  *"get namespaces -l runbook "*) echo {marked} ;;
  *"get {kinds} -A "*) cat <<'EOF'
{text}
EOF
  ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""
WORK = "deployments,statefulsets,daemonsets,cronjobs,jobs,pods,persistentvolumeclaims"
CLAIMS = "persistentvolumeclaims"
SILENT = "echo 'The connection to the server was refused' >&2; exit 1"
OURS = """kube-system       Deployment   coredns      <none>
container-registry   PersistentVolumeClaim   registry-claim   microk8s-hostpath
training          Pod          det-1        <none>"""


@pytest.fixture
def snap(program):
    """A snap command that says that MicroK8s is installed."""
    program("snap", "echo microk8s")


def kubectl(text, kinds=WORK, marked="training"):
    return KUBECTL.format(text=text, kinds=kinds, marked=marked)


def test_ours_are_nobody_elses(bash, snap):
    assert bash(nobody_elses_work("root"), kubectl(OURS)) == (0, "")
    assert bash(nobody_elses_work("root"), kubectl("", marked="")) == (0, "")
    assert bash(nobody_elses_volumes(), kubectl(OURS, CLAIMS)) == (0, "")


@pytest.mark.parametrize(
    "theirs",
    ["default Deployment web", "shop CronJob nightly", "shop PersistentVolumeClaim data", "models StatefulSet db"],
)
def test_workloads_of_others_are_named(bash, snap, theirs):
    code, said = bash(nobody_elses_work("root"), kubectl(f"{OURS}\n{theirs}  <none>"))
    assert code == 1 and said == "others have 1: " + theirs.replace(" ", "/")


def test_a_chapters_namespace_is_ours_by_its_note_and_not_by_its_name(bash, snap, tmp_path, monkeypatch):
    """A team's claim in a namespace `models` went with the cluster, since a chapter has one of that name."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path))
    note = '{"chapter": "seldon", "things": [\n{"kind": "namespace", "name": "models", "before": "%s"},\n'
    note += '{"kind": "namespace", "name": "seldon-system", "before": "away"}\n]}\n'
    theirs = kubectl("models PersistentVolumeClaim dataset microk8s-hostpath", CLAIMS)
    (tmp_path / "seldon.json").write_text(note % "there")
    assert bash(nobody_elses_volumes(), theirs) == (1, "others have 1: models/PersistentVolumeClaim/dataset")
    (tmp_path / "seldon.json").write_text(note % "away")
    assert bash(nobody_elses_volumes(), theirs) == (0, "")


def test_of_many_the_first_are_named_and_all_are_counted(bash, snap):
    pods = "\n".join(f"shop  Pod  p{n}  <none>" for n in range(20))
    code, said = bash(nobody_elses_work("root"), kubectl(pods))
    assert code == 1 and said.startswith("others have 20: shop/Pod/p0 shop/Pod/p1 ") and said.endswith("shop/Pod/p7")


def test_volumes_are_those_of_the_add_on_only(bash, snap):
    theirs = "shop PersistentVolumeClaim data {}\nshop PersistentVolumeClaim other nfs"
    assert bash(nobody_elses_volumes(), kubectl(theirs.format("nfs"), CLAIMS)) == (0, "")
    code, said = bash(nobody_elses_volumes(), kubectl(theirs.format("microk8s-hostpath"), CLAIMS))
    assert code == 1 and said == "others have 1: shop/PersistentVolumeClaim/data"


def test_a_cluster_that_does_not_answer_may_hold_anything(bash, snap, program):
    program("id", "echo adm microk8s")
    code, said = bash(nobody_elses_work("ann"), SILENT)
    assert code == 1 and "cannot tell what is in the cluster" in said


def test_volumes_of_a_cluster_that_does_not_answer_cannot_be_told(bash, snap):
    code, said = bash(nobody_elses_volumes(), SILENT)
    assert code == 1 and "cannot tell what is in the cluster" in said


def test_a_remove_that_was_cut_off_had_asked(bash, snap):
    assert bash(nobody_elses_work(getpass.getuser()), SILENT)[0] == 0, "the user is out of the group again"


def test_without_microk8s_there_is_nothing_to_lose(bash, program):
    program("snap", "echo 'error: no matching snaps installed' >&2; exit 1")
    assert bash(nobody_elses_work("root"), SILENT) == (0, "")
