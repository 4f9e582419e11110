"""What of a cluster is ours, by notes, labels and what this machine knows; asked of a microk8s that is a script."""

import json
import os

import pytest
import stand_in

from helpers.components.addons import addons, host_access
from helpers.components.addons.addons import Addons, things
from helpers.components.kubernetes import kube, microk8s
from helpers.components.kubernetes.registries import Registries
from helpers.core import notes
from helpers.core.actions import Action
from helpers.core.errors import RunbookError
from helpers.core.paths import home

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a chapter is root on its host")

#: a cluster with these objects, "kind/name" or "namespace/kind/name" with labels behind, in the file $CLUSTER
MICROK8S = r"""#!/bin/bash
shift
[ "$1" = get ] || { echo "$*" >> "$CLUSTER.calls"; [ "$1" != create ] || cat > "$CLUSTER.created"; exit 0; }
space= label= name=; args=()
while [ $# -gt 1 ]; do shift; case $1 in
  -n) space=$2; shift ;; -l) label=$2; shift ;; -o) [ "$2" != yaml ] || yaml=yes; shift ;;
  --field-selector) name=${2#*=}; shift ;; --*) ;; *) args+=("$1") ;;
esac; done
what=${args[0]}; [ -z "${args[1]:-$name}" ] || what+=/${args[1]:-$name}
case $what in seldondeployment/*) grep -q crd "$CLUSTER" ||
  { echo 'error: the server doesn'"'"'t have a resource type "seldondeployment"' >&2; exit 1; } ;; esac
found=$(grep -E "^${space:+$space/}$what( |$)" "$CLUSTER" | grep -F "$label")
[ -z "$found" ] || if [ "${yaml:-}" ]; then
  printf 'metadata:\n  managedFields:\n  - apiVersion: v1\n    fieldsV1:\n      f:data: {}\n  - time: now\n'
  printf '  name: it\n  uid: 1\n  resourceVersion: "2"\ndata:\n  uid: %s\n' "$what"
else echo "$found"; fi
exit 0
"""


@pytest.fixture
def cluster(tmp_path, program, monkeypatch, own_home):
    """cluster(*objects) -> the file of what is in it."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    there = tmp_path / "cluster"
    program("microk8s", MICROK8S)
    monkeypatch.setenv("CLUSTER", str(there))

    def put(*objects):
        there.write_text("".join(line + "\n" for line in objects))
        return there

    return put


THINGS = ["namespace models", "object models/secret/minio", "object models/seldondeployment/flowers"]
LABEL = "app.kubernetes.io/managed-by=runbook"


def sight(name="seldon", label=LABEL, things=THINGS, **how):
    ch = stand_in.opened(name)
    return ch.own.first_sight(things, microk8s.made_by_older(ch, label, "models"), **how)


def test_what_was_in_a_namespace_before_is_named(cluster):
    """A Secret and a SeldonDeployment of the same names were written over, and deleted by remove."""
    cluster("namespace/models", "models/secret/minio", "models/seldondeployment/flowers", "crd")
    assert sight() == "was here before: " + ", ".join(THINGS)


def test_a_kind_that_the_cluster_does_not_know_has_no_objects(cluster):
    cluster("namespace/models")
    assert sight() == "was here before: namespace models"


def test_what_a_label_says_is_ours(cluster):
    cluster(f"namespace/models {LABEL}", "models/secret/minio")
    assert sight() is None
    cluster("namespace/models", f"models/secret/minio {LABEL}")
    assert sight() == "was here before: namespace models"


def test_what_is_in_a_namespace_of_ours_is_ours(cluster):
    there = cluster()
    ch = stand_in.opened("seldon")
    ch.own.first_sight(THINGS)
    ch.own.before(THINGS[:1])
    there.write_text("namespace/models\nmodels/secret/other\n")
    ch.own.before(["object models/secret/other"])
    there.write_text("namespace/theirs\ntheirs/secret/other\n")
    with pytest.raises(RunbookError, match="was here before: object theirs/secret/other"):
        ch.own.before(["object theirs/secret/other"])


def test_a_secret_that_was_there_comes_back_as_it_was(cluster):
    """kubectl puts all that `create` is given into an annotation that `apply` left: whose fields they were, too."""
    there = cluster("namespace/models", "models/secret/minio theirs")
    ch = stand_in.opened("seldon")
    assert ch.own.first_sight(THINGS, adopt=True) is None
    secret = kube.Kube(ch).secret("minio", "models", {"S3_ENDPOINT": "x"}).but(probe="false", apply="true")
    ch.own.before(secret.makes)
    ch = stand_in.opened("seldon", "remove")
    ch.own.first_sight(THINGS)
    ch.step("the key is there", secret)
    ch.verdict()
    assert (there.parent / "cluster.calls").read_text().splitlines() == [
        "delete secret/minio -n models --ignore-not-found",
        "create -f -",
    ]
    assert (there.parent / "cluster.created").read_text() == "metadata:\n  name: it\ndata:\n  uid: secret/minio\n"


def test_a_cluster_that_this_machine_installed_is_ours_and_somebodys_is_not(cluster):
    cluster("kube-system/deployment/coredns")
    things = ["object kube-system/deployment/coredns"]
    assert sight("addons", "", things) == "was here before: " + things[0]
    (home("probes") / "local.addons.json").write_text('["true"]')
    assert sight("addons", "", things) is None


NOTE = '{"chapter": "it", "things": [\n{"kind": "%s", "before": "away"}\n]}\n'


def test_in_a_cluster_that_the_runbook_installed_somebodys_bucket_is_somebodys(cluster, tmp_path, monkeypatch):
    """It passed for an older runbook's, wherever chapter 03 had its note or 04 its unit: remove emptied it."""
    cluster("namespace/pachyderm")
    (tmp_path / "data" / "pachyderm").mkdir(parents=True)
    (tmp_path / "minio").write_text(f'MINIO_VOLUMES="{tmp_path}/data"\n')
    monkeypatch.setenv("MINIO", str(tmp_path / "minio"))
    unit = tmp_path / "mlops-host-access.service"
    unit.write_text("[Unit]\n")
    monkeypatch.setattr(microk8s, "OLDERS_UNIT", str(unit), raising=False)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "kubernetes.json").write_text(NOTE % 'snap", "name": "microk8s')
    things = ["namespace pachyderm", "bucket pachyderm"]
    assert sight("pachyderm", "", things) == "was here before: namespace pachyderm, bucket pachyderm"
    (home("probes") / "local.pachyderm.json").write_text('["true"]')
    assert sight("pachyderm", "", things) is None, "this machine installed the chapter, with a runbook without notes"


def test_chapter_04s_unit_tells_of_an_older_runbook_until_todays_has_its_note(cluster, tmp_path, monkeypatch):
    """Another machine made it: the host alone tells, and of the chapters 03 and 04 only."""
    cluster("kube-system/deployment/coredns")
    unit = tmp_path / "mlops-host-access.service"
    monkeypatch.setattr(microk8s, "OLDERS_UNIT", str(unit), raising=False)
    dns = ["object kube-system/deployment/coredns"]
    assert sight("kubernetes", "", dns) == "was here before: " + dns[0]
    unit.write_text("[Unit]\n")
    assert sight("kubernetes", "", dns) is None and sight("addons", "", dns) is None
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / "addons.json").write_text(NOTE % 'namespace", "name": "metallb-system')
    assert sight("kubernetes", "", dns) == "was here before: " + dns[0]


def test_a_verify_of_somebodys_cluster_does_not_make_it_ours(cluster, capsys):
    cluster()
    ch = stand_in.opened("addons", "verify")
    ch.step("one", "true", probe="true")
    ch.verdict()
    assert not (home("probes") / "local.addons.json").exists()
    ch = stand_in.opened("addons")
    ch.step("one", "true", probe="true")
    ch.verdict()
    assert (home("probes") / "local.addons.json").exists()


def test_what_lies_in_a_namespace_of_ours_is_ours_though_an_earlier_note_did_not_name_it(cluster):
    there = cluster()
    ch = stand_in.opened("seldon")
    ch.own.first_sight(THINGS[:1])
    ch.own.before(THINGS[:1])
    there.write_text("namespace/models\nmodels/secret/minio\n")
    assert sight() is None


COREDNS = ["object kube-system/deployment/coredns", "object kube-system/configmap/coredns"]


def test_an_add_on_of_theirs_that_is_as_we_would_have_it_is_not_disabled(cluster):
    """What first sight does not name was taken for ours: remove disabled the add-on that it lies in."""
    cluster("kube-system/deployment/coredns", "kube-system/configmap/coredns")
    ch = stand_in.opened("addons")
    assert ch.own.first_sight(COREDNS[:1], adopt=True) is None
    ch.own.passes(COREDNS)
    ch.own.settle()
    ch = stand_in.opened("addons", "remove")
    ch.own.first_sight(COREDNS[:1], adopt=True)
    undo = ch.own.undoing(Action("enable", "true", "true", "microk8s disable dns", makes=COREDNS))
    assert undo.words == "as it was before" and "microk8s disable" not in undo.work


def test_an_add_on_of_which_half_was_here_is_not_disabled(cluster):
    """No copy is kept of a Deployment or a namespace: what an undo takes would not come back."""
    cluster("kube-system/deployment/coredns")
    ch = stand_in.opened("addons")
    ch.own.first_sight(COREDNS[:1], adopt=True)
    ch.own.before(COREDNS)
    undo = ch.own.undoing(Action("enable", "true", "true", "microk8s disable dns", makes=COREDNS))
    assert undo.words == "as it was before" and "microk8s disable" not in undo.work


def test_what_is_never_taken_over_is_named_whatever_is_asked(cluster):
    cluster("namespace/istio-system", "namespace/metallb-system")
    ch = stand_in.opened("addons")
    assert ch.own.first_sight(things(True, True, False), adopt=True) is None
    assert Addons(ch).why_never() == "was here before: namespace istio-system"


def test_what_comes_after_a_remove_is_somebodys(cluster):
    """Taken over, removed and taken over again, somebody's MicroK8s was noted as ours: the next remove purged it."""
    cluster("kube-system/deployment/coredns")
    for mode in ("install", "remove"):
        ch = stand_in.opened("addons", mode)
        ch.step("one", "true", probe="true")
        ch.verdict()
    assert sight("addons", "", COREDNS[:1]) == "was here before: " + COREDNS[0]


def test_of_a_microk8s_that_was_here_remove_puts_back_what_the_note_has(cluster, monkeypatch):
    """Who may use it, the alias and its kubeconfig stayed, or were taken though they had been there."""
    cluster()
    ch = stand_in.opened("kubernetes")
    monkeypatch.setattr(ch, "run", lambda *_, **__: "me")
    ours = microk8s.MicroK8s(ch)

    def actions():
        chosen = ours.registries(Registries(ours.kube).chosen())
        return [ours.group(), ours.alias(), ours.host_kubeconfig(), chosen, *ours.ports("loopback")]

    assert [a.makes for a in actions()] == [[]] * 6 and "groupdel" in actions()[0].undo
    ch.own._noted = {"snap microk8s": "there"}
    kinds = [made.makes[0].rpartition("/")[0] or made.makes[0] for made in actions()]
    args = "file /var/snap/microk8s/current/args"
    assert kinds == ["member microk8s", "alias kubectl", "context me", args, args, args]
    assert "groupdel" not in actions()[0].undo


@pytest.mark.parametrize(
    "left, things",
    [
        ("namespace metallb-system", ["namespace metallb-system"]),
        ("deployment registry -n container-registry", ["object container-registry/deployment/registry"]),
        ("deployment a b -n kube-system", ["object kube-system/deployment/a", "object kube-system/deployment/b"]),
        ("deployment,pod,service -l k8s-app=kube-dns -n kube-system", []),
    ],
)
def test_what_an_addon_makes_is_what_is_away_without_it(left, things):
    assert kube._things(left) == things


def test_a_user_of_minios_is_never_an_older_runbooks_and_never_taken_over(cluster, tmp_path, monkeypatch):
    """It made none: by a namespace's label or by what this machine did before, somebody's would pass for ours."""
    cluster("namespace/models app.kubernetes.io/managed-by=runbook")
    user = tmp_path / "data/.minio.sys/config/iam/users/seldon/identity.json"
    user.parent.mkdir(parents=True)
    user.write_text("{}")
    (tmp_path / "minio").write_text(f'MINIO_VOLUMES="{tmp_path}/data"\n')
    monkeypatch.setenv("MINIO", str(tmp_path / "minio"))
    ch = stand_in.opened("seldon")
    older = microk8s.made_by_older(ch, "app.kubernetes.io/managed-by=runbook", "models")
    things = ["namespace models", "miniouser seldon"]
    assert ch.own.first_sight(things, older) == "was here before: miniouser seldon"
    assert ch.own.first_sight(things, older, adopt=True) is None
    assert ch.own.why_theirs("miniouser") == "was here before: miniouser seldon"


METRICS_SERVER, PLUGIN, MARK = LATER = (
    "object kube-system/deployment/metrics-server",
    "object kube-system/daemonset/nvidia-device-plugin-daemonset",
    "file {}/host-access-enabled",
)
DASHBOARD = ["kubernetes-dashboard", "dashboard-metrics-scraper"]


class AddOns:
    """Chapter 04 in a cluster with its add-ons, on a host with the mark of host-access."""

    def __init__(self, put, folder, monkeypatch):
        self.put, self.mark, self.note = put, folder / "host-access-enabled", folder / "state" / "addons.json"
        self.unit, self.there = folder / "mlops-host-access.service", [t.format(folder) for t in LATER]
        monkeypatch.setattr(host_access, "MARK", self.there[2])
        monkeypatch.setattr(microk8s, "OLDERS_UNIT", str(self.unit))
        self.mark.write_text("10.0.1.1\n")
        self.has("deployment/metrics-server", "daemonset/nvidia-device-plugin-daemonset")

    def has(self, *objects):
        self.put(*(f"kube-system/{thing}" for thing in objects))

    def opened(self, mode="install", adopt=False, gpu=True):
        ch = stand_in.opened("addons", mode)
        self.said = ch.own.first_sight(things(False, False, gpu), addons.made_by_older(ch), adopt)
        return ch

    def noted(self):
        lines = self.note.read_text().splitlines()
        return {line.split('"')[7]: line.split('"')[11] for line in lines if line.startswith('{"kind"')}


@pytest.fixture
def add_ons(cluster, tmp_path, monkeypatch):
    return AddOns(cluster, tmp_path, monkeypatch)


def test_add_ons_that_come_with_another_one_or_are_no_deployment_are_named(add_ons):
    """Remove disabled and deleted them, and install took the address of host-access."""
    add_ons.opened()
    assert add_ons.said == "was here before: " + ", ".join(add_ons.there)


@pytest.mark.parametrize("note", [True, False])
@pytest.mark.parametrize("mode", ["install", "remove"])
def test_on_a_host_of_an_earlier_runbook_they_are_ours(add_ons, note, mode):
    """Of one whose note does not name them, as of one that kept none: a second install is not refused."""
    all_of_it = [f"deployment/{name}" for name in ("coredns", "hostpath-provisioner", *DASHBOARD, "metrics-server")]
    add_ons.has(*all_of_it, "daemonset/nvidia-device-plugin-daemonset")
    if note:
        made = [t for t in things(False, False, False) if t not in add_ons.there]
        lines = [json.dumps({"kind": kind, "name": name, "before": "away"}) for kind, name in map(str.split, made)]
        add_ons.note.parent.mkdir()
        add_ons.note.write_text('{"chapter": "addons", "things": [\n' + ",\n".join(lines) + "\n]}\n")
    else:
        add_ons.unit.touch()
    ch = add_ons.opened(mode)
    assert add_ons.said is None and ch.own.by_older != note
    ch.own.settle()
    assert {add_ons.noted()[thing.split()[1]] for thing in add_ons.there} == {"away"}
    for later in ("install", "remove"):  # and from then on, by its note
        add = Addons(add_ons.opened(later))
        assert add_ons.said is None
    undone = [
        add.ch.own.undoing(action).work for action in (add.dashboard(), add.gpu(), add.host_access("10.0.1.1")[1])
    ]
    assert "delete deployment,service,serviceaccount metrics-server" in undone[0]
    assert "microk8s disable gpu" in undone[1] and "rm -f /var/snap/microk8s/current/var/lock" in undone[2]


def test_what_somebody_enables_after_an_install_that_names_it_is_somebodys(add_ons):
    add_ons.has()
    add_ons.mark.unlink()
    add_ons.opened(gpu=False).own.before(())
    add_ons.has("deployment/metrics-server", "daemonset/nvidia-device-plugin-daemonset")
    add_ons.mark.touch()
    add_ons.opened()
    assert add_ons.said == "was here before: " + add_ons.there[1], "the others are noted: ours"


def test_taken_over_they_are_left_and_the_dashboard_of_ours_goes(add_ons):
    add = Addons(add_ons.opened(adopt=True))
    assert add_ons.said is None and add.why_other_address("10.0.1.1") is None
    assert add.why_other_address("10.9.9.9") == "it is enabled for 10.0.1.1"
    for action in (add.dashboard(), add.gpu(), *add.host_access("10.0.1.1")):
        add.ch.own.passes(action.makes)
    add.ch.own.before(add.dashboard().makes)
    add.ch.own.settle()
    assert {add_ons.noted()[thing.split()[1]] for thing in add_ons.there} == {"there"}
    assert add_ons.noted()["kube-system/deployment/kubernetes-dashboard"] == "away"
    add = Addons(add_ons.opened())
    assert add_ons.said is None and add.why_other_address("10.9.9.9"), "a later install, without adopt"
    add = Addons(add_ons.opened("remove"))
    undo = [add.ch.own.undoing(action) for action in (add.dashboard(), add.gpu(), add.host_access("10.0.1.1")[1])]
    assert [one.words for one in undo] == ["undone", "as it was before", "as it was before"]
    assert "microk8s disable dashboard" in undo[0].work and "disable metrics-server" not in undo[0].work
    assert "metrics-server" not in undo[0].done
    assert "microk8s disable" not in undo[1].work and "ip -4 addr del" not in undo[2].work
    # what `enable` wrote anew is what it was
    add_ons.mark.write_text("10.0.1.1\n")
    os.utime(add_ons.mark, (1, 1))
    add.ch.run(undo[2].work)
    assert add.ch.host.ask(undo[2].done).ok and add_ons.mark.read_text() == "10.0.1.1\n"
