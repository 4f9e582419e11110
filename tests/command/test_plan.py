"""A plan's key: what a chapter's result depends on makes it run again, and nothing else does."""

import shutil

import pytest

from helpers.command import record
from helpers.command.plan import Plan
from helpers.core import catalogue, paths
from helpers.core.errors import BadInput


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """A function: the keys of all chapters with a line of the catalogue changed."""
    text = (catalogue.SETUP / "catalogue.toml").read_text()
    monkeypatch.setattr(catalogue, "SETUP", tmp_path)

    def with_change(entry, old, new):
        head, _, rest = text.partition(f"[{entry}]\n")
        assert old in rest.split("\n[")[0]
        (tmp_path / "catalogue.toml").write_text(f"{head}[{entry}]\n" + rest.replace(old, new, 1))
        plan = Plan("local")
        return {name: plan.key(n) for name, n in plan.known.items()}

    return with_change


def test_the_entries_of_its_artifacts_count_and_a_word_in_its_prose_does_not(keys):
    before = keys("python", "PSF-2.0", "PSF-2.0")
    after = keys("python", "PSF-2.0", "other")
    changed = {name for name in before if before[name] != after[name]}
    assert "pachyderm" in changed, "its images need it, at second hand"
    assert "minio" not in changed, "its notebook says python3 in its metadata, and that is all"


def test_what_an_artifact_needs_counts(keys):
    before, after = (
        keys("pause", 'version = "3.1"', 'version = "3.1"'),
        keys("pause", 'version = "3.1"', 'version = "3.2"'),
    )
    assert before["kubernetes"] != after["kubernetes"] and before["postgres"] == after["postgres"]


def test_remove_takes_the_parameters_of_the_last_install_and_what_is_said_goes_before(runs):
    run = record.new("local", "install")
    there = {"data_dir": "/data/minio", "port": 9010, "target": "other", "gone": 1}
    for chapter, state in (("minio", "failed"), ("postgres", "removed")):
        run.chapters[chapter] = record.ChapterRun(
            id=chapter, number="05", title="x", state=state, parameters={"port": 1}, installed=there
        )
    run.save()
    run.publish()
    installed = record.installed(record.last(dict.fromkeys(run.chapters, "local")))
    plan = Plan("local", "remove", given={"minio": {"port": 9020}}, installed=installed)
    minio = plan.parameters["minio"]
    assert (minio["data_dir"], minio["port"], minio["target"]) == ("/data/minio", 9020, "local") and "gone" not in minio
    assert plan.parameters["postgres"]["port"] == 5432, "it is removed: nothing is left of it"
    assert record.last(dict.fromkeys(run.chapters, "sandbox")) == {}


def test_what_a_chapter_stands_on_is_not_removed_under_it(runs):
    run = record.new("local", "install")
    applied = record.Step(title="x", state="ok", note="applied", seconds=1)
    for chapter, fields in {
        "minio": {"verified": "2021-06-01"},
        "pachyderm": {"verified": "2021-06-01"},
        "determined": {"steps": [applied]},
        "seldon": {},  # it was refused
        "postgres": {"verified": "2021-06-01", "state": "removed"},
    }.items():
        fields = {"state": "failed", **fields}
        run.chapters[chapter] = record.ChapterRun(id=chapter, number="05", title="x", installed={"port": 1}, **fields)
    run.save()
    run.publish()
    standing = record.standing(record.last(dict.fromkeys(run.chapters, "local")))
    assert standing == {"minio", "pachyderm", "determined"}
    with pytest.raises(BadInput) as e:
        Plan("local", "remove", only=["minio"], standing=standing)
    assert "pachyderm" in e.value.saw and "determined stand on it" in e.value.saw
    words = "--mode remove --only minio --only pachyderm --only determined\n"
    assert words in e.value.do and e.value.do.endswith(": -p minio.delete_data=true")
    given_up = {"minio": {"delete_data": True}}
    assert Plan("local", "remove", only=["minio"], given=given_up, standing=standing).chapters
    with pytest.raises(BadInput):
        Plan("local", "remove", only=["minio"], installed=given_up, standing=standing)
    with pytest.raises(BadInput):
        Plan("local", "remove", only=["05", "07"], standing=standing)
    together = ["minio", "pachyderm", "determined"]
    assert [n.id for n in Plan("local", "remove", only=together, standing=standing).chapters] == together
    assert Plan("local", "remove", only=["pachyderm"], standing=standing).chapters
    assert Plan("local", only=["minio"], standing=standing).chapters, "to install it is no harm"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of what chapters are made of; a function: the chapters whose keys change with a file's content."""
    for name in ("helpers", "setup"):
        kept = shutil.ignore_patterns("__pycache__", "sandbox")
        shutil.copytree(paths.REPO / name, tmp_path / name, ignore=kept)
    monkeypatch.setattr(paths, "REPO", tmp_path)
    monkeypatch.setattr(paths, "SETUP", tmp_path / "setup")

    def keys():
        plan = Plan("local")
        return {name: plan.key(n) for name, n in plan.known.items()}

    def changed(file):
        before = keys()
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes() + b"\n")
        return {name for name, key in keys().items() if key != before[name]}

    return changed


@pytest.mark.parametrize(
    "file, changes, not_these",
    [
        ("setup/detai-setup/templates/db.yaml", {"determined"}, {"seldon", "addons", "minio"}),
        ("setup/knative-setup/istio.yaml", {"addons"}, {"determined", "minio"}),
        ("setup/seldon-setup/gateway.yaml", {"seldon"}, {"determined", "minio"}),
        ("setup/pachyderm-setup/outline.py", {"pachyderm"}, {"determined", "minio"}),
        ("setup/label-studio-setup/1.0.1.txt", {"label_studio"}, {"determined", "minio"}),
        ("helpers/components/minio.service", {"minio", "pachyderm", "determined"}, {"kubernetes", "postgres"}),
        ("helpers/components/addons/scripts/istio_ready.sh", {"addons"}, {"minio", "postgres"}),
        ("helpers/components/kubernetes/helm.py", {"kubernetes", "determined", "seldon"}, {"minio", "postgres"}),
        ("helpers/core/scripts/unit_runs.sh", {"minio", "postgres", "determined"}, set()),
        ("helpers/command/progress.py", set(), {"minio", "postgres", "determined"}),
        ("setup/catalogue.toml", set(), {"minio"}),
    ],
)
def test_a_changed_chart_manifest_or_helper_makes_its_chapters_run_again(copy, file, changes, not_these):
    changed = copy(file)
    assert changes <= changed and not not_these & changed
