"""The regression test on small notebooks that nbval runs for real: what is red, how it is named, what is accepted."""

import json
import os
import shutil
import signal
import subprocess
import sys
from xml.etree import ElementTree

import forked
import nbformat.v4 as v4
import pytest
from serving import until

from helpers.command import record, replay
from helpers.command.accept import accept
from helpers.core import notebooks
from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import REPO, SETUP
from helpers.core.secrets import SecretStore

HEAD = """import json, os, sys, time
from pathlib import Path
from helpers.core import show
from helpers.core import notebooks
from helpers.core.errors import RunbookError
from helpers.core.verdict import Verdict
found = json.loads(Path(state).read_text())"""
SHOW = """for line in found["lines"]:
    show.display(*show.line(*line))
show.display(*show.table(("name", "replicas"), found["rows"]))"""
TROUBLE = """if found.get("trouble") == "ours":
    raise RunbookError("ask", "the host")
if found.get("trouble") == "dies":
    os._exit(1)
if found.get("trouble") == "waits":
    Path(state + ".kernel").write_text(str(os.getpid()))
    time.sleep(600)"""
END = """checks = found["lines"] + found["quiet"]
show.display(*show.table(("", "what", "seen"), [("step", line[1], "") for line in checks],
                         [line[0] for line in checks]))
if any(line[0] == "failed" for line in checks):
    raise Verdict("verify: 1 of 1 do not hold", "local", "x", "y")
show.display(*show.line("ok", "chapter minio"))  # ch.verdict()"""
NOW = {
    "lines": [["ok", "bucket models exists", "applied"], ["ok", "minio 1.0 runs"]],
    "rows": [["a", 1], ["b", 1]],
    "quiet": [["ok", "a quiet check"]],
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook as a run leaves it, executed once for all."""
    import papermill

    folder = tmp_path_factory.mktemp("executed")
    (folder / "state.json").write_text(json.dumps(NOW))
    markdown = v4.new_markdown_cell("# Title\n\n## Steps\n\nText.")
    source = v4.new_code_cell('target = ""\nmode = ""\nstate = ""', metadata={"tags": ["parameters"]})
    cells = [source, v4.new_code_cell(HEAD), markdown, *map(v4.new_code_cell, (SHOW, TROUBLE, END))]
    notebook = v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    plain, out = folder / "source.ipynb", folder / "executed.ipynb"
    plain.write_text(json.dumps(notebook))
    parameters = {"target": "local", "mode": "install", "state": str(folder / "state.json")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPO))
        papermill.execute_notebook(str(plain), str(out), parameters=parameters, progress_bar=False)
    return out


class Platform:
    """A run's record whose chapters are that notebook, each with a file of its own that it looks at."""

    def __init__(self, folder, executed):
        self.folder, self.executed, self.found = folder, executed, {}
        self.run = record.new("local", "install")
        self.run.state = "ok"

    def chapter(self, name="minio", target="local", **changes):
        """Enter one. changes: what it will find that was not recorded."""
        n = notebooks.find(name)
        shutil.copy2(self.executed, self.run.folder / n.path.name)
        self.found[name] = json.loads(json.dumps({**NOW, **changes}))
        parameters = {"target": target, "mode": "install", "state": str(self.state(name))}
        fields = {"title": name, "state": "ok", "notebook": n.path.name, "run": self.run.id, "parameters": parameters}
        self.run.chapters[name] = record.ChapterRun(id=name, number=n.number, **fields)
        self.run.save()
        self.run.publish()
        return self

    def state(self, name="minio"):
        return self.folder / f"{name}.json"

    def keep(self):
        for name, found in self.found.items():
            self.state(name).write_text(json.dumps(found))

    def replayed(self, **words):
        """(the report, what was said)"""
        self.keep()
        said = []
        run = record.latest()
        return replay.replay(run, replay.chosen(run, **words), said.append), "\n".join(said)

    @property
    def drift(self):
        return self.run.folder / record.DRIFT

    def snapshot(self):
        return {path: path.read_bytes() for path in self.run.folder.rglob("*") if path.is_file()}


@pytest.fixture
def platform(runs, tmp_path, own_home, monkeypatch, executed):
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    return Platform(tmp_path, executed)


POLICY, MINIO = NOW["lines"]
BROKEN = ["failed", "bucket models exists", "its policy lets strangers in"]

#: {chapter: what it finds}: one of each kind, replayed together
KINDS = {
    "requirements": {"lines": [["ok", "bucket models exists", "already so"], MINIO]},  # a note that varies
    "network": {"lines": [POLICY, ["ok", "minio 2.0 runs"]], "rows": [["a", 1], ["b", 3]]},
    "addons": {"rows": [["b", 1], ["a", 1]]},
    "minio": {"lines": [BROKEN, MINIO]},
    "postgres": {"quiet": [["failed", "a quiet check"]]},
    "pachyderm": {"trouble": "ours"},
    "seldon": {"trouble": "dies"},
}


@pytest.fixture(scope="module")
def kinds(executed, tmp_path_factory):
    """All of them replayed at once: the platform, the report, what was said, and a secret that an output held."""
    folder = tmp_path_factory.mktemp("kinds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_HOME", str(folder / "home"))
        patch.setenv("RUNBOOK_RUNS", str(folder / "runs"))
        patch.setenv("PYTHONPATH", str(REPO))
        (folder / "runs").mkdir()
        platform = Platform(folder, executed)
        platform.secret = SecretStore("local").get("minio-root").reveal()
        for name, changes in KINDS.items():
            platform.chapter(name, **changes)
        platform.chapter("gitlab", rows=[["a", 1], ["b", f"<b>&\x1b[1m the key is {platform.secret}"]])
        platform.report, platform.said = platform.replayed()
        yield platform


def changed(kinds, name):
    """[(removed lines, added lines)] of a chapter."""
    return [(change.before, change.now) for change in kinds.report.chapters[name].changes]


def test_what_is_as_recorded_is_green_and_a_note_that_varies_is_no_drift(kinds):
    assert "01 requirements    as recorded" in kinds.said
    assert [c.id for c in kinds.report.chapters.values() if c.state == "same"] == ["requirements"]
    states = {c.id: c.state for c in kinds.report.chapters.values()}
    assert record.read(kinds.run.folder).compared.states == states


def test_a_changed_version_and_count_are_named_alone_with_its_place_and_the_run_that_it_was_recorded_in(kinds):
    now = ["✓ minio 2.0 runs", "b     3"]
    assert changed(kinds, "network") == [(["✓ minio 1.0 runs", "b     1"], now)]
    assert kinds.report.chapters["network"].state == "drift" and kinds.report.chapters["network"].holds
    assert "Steps, cell 3\n      - ✓ minio 1.0 runs\n" in kinds.said and "      + ✓ minio 2.0 runs\n" in kinds.said
    assert f"02 network         drift   against run {kinds.run.id} of " in kinds.said


def test_another_order_of_a_table_is_named_as_that(kinds):
    (change,) = kinds.report.chapters["addons"].changes
    assert change.order and change.before == change.now != [] and "the same lines in another order:" in kinds.said


def test_a_step_that_no_longer_holds_is_named_once_though_the_verdict_says_it_again(kinds):
    broken = "✗ bucket models exists ‹its policy lets strangers in›"
    assert changed(kinds, "minio") == [(["✓ bucket models exists ‹applied›"], [broken])]
    assert kinds.report.chapters["minio"].state == "drift" and not kinds.report.chapters["minio"].holds
    assert kinds.said.count("✗ bucket models exists") == 1


def test_a_check_that_only_the_verdict_shows_is_named_there(kinds):
    (change,) = kinds.report.chapters["postgres"].changes
    assert change.where == "Steps, cell 5" and [" ".join(line.split()) for line in change.now] == [
        "✗ step a quiet check"
    ]


def test_a_chapter_that_fails_says_why_and_what_was_not_looked_at(kinds):
    c = kinds.report.chapters["pachyderm"]
    assert (c.state, c.changes, c.error) == ("failed", [], "error  ask\nhost   the host")
    assert [cell.skipped for cell in c.cells] == [False, False, False, False, False, True]
    assert "host   the host" in kinds.said and "2 failed (pachyderm, seldon)" in kinds.report.closing


def test_a_kernel_that_dies_is_a_failure(kinds):
    c = kinds.report.chapters["seldon"]
    assert (c.state, c.holds) == ("failed", False) and c.error


def test_no_secret_of_the_target_stands_in_a_report(kinds):
    assert changed(kinds, "gitlab") and "the key is" in kinds.said and kinds.secret not in kinds.said
    kept = [text for path, text in kinds.snapshot().items() if path.parent == kinds.drift]
    assert len(kept) == 3 and all(kinds.secret.encode() not in text for text in kept)


def test_only_what_ran_on_the_target_is_replayed(platform):
    platform.chapter().chapter("gitlab", target="ssh://root@10.9.9.9")
    assert [c.id for c in replay.chosen(platform.run, target="ssh://root@10.9.9.9")] == ["gitlab"]
    assert [c.id for c in replay.chosen(platform.run, only=["minio"])] == ["minio"]
    with pytest.raises(RunbookError, match="replay run"):
        replay.chosen(platform.run, only=["minio"], target="ssh://root@10.9.9.9")


def test_since_is_the_run_that_made_the_outputs_not_the_last_that_carried_them(platform):
    platform.chapter()
    later = record.new("local", "install")
    later.state, later.chapters = "ok", platform.run.chapters
    shutil.copy2(platform.run.folder / "05_minio.ipynb", later.folder)
    later.save()
    assert replay.since(later, later.chapters["minio"]).startswith(f"run {platform.run.id} of ")


# -- the files ---------------------------------------------------------------------------------------


def test_junit_has_a_suite_for_each_chapter_and_a_case_for_each_cell(kinds):
    top = ElementTree.parse(kinds.drift / "junit.xml").getroot()
    suites = {suite.get("name"): suite for suite in top}
    assert top.tag == "testsuites" and list(suites) == [c.label for c in kinds.report.chapters.values()]
    failure = suites["05 minio"].find("testcase/failure")
    assert failure.get("type") == "drift" and failure.get("message").startswith("+ ✗ bucket models exists")
    assert "<b>&[1m" in suites["11 gitlab"].find("testcase/failure").text
    counts = {
        name: [suite.get(n) for n in ("tests", "failures", "errors", "skipped")] for name, suite in suites.items()
    }
    assert (counts["05 minio"], counts["07 pachyderm"]) == (["6", "1", "0", "0"], ["6", "0", "1", "1"])
    assert [top.get(name) for name in ("tests", "failures", "errors")] == ["48", "5", "2"]


def test_junit_keeps_to_the_schema_that_pipelines_read(kinds):
    """The attributes and children that the schema of Jenkins's xUnit plugin allows, which GitLab reads, too."""
    numbers = {"tests", "failures", "errors", "skipped", "time"}
    allowed = {
        "testsuites": ({"name", "time", "tests", "failures", "errors", "disabled"}, {"testsuite"}),
        "testsuite": ({"name", "timestamp", *numbers}, {"testcase"}),
        "testcase": ({"name", "classname", "time"}, {"failure", "error", "skipped"}),
        "failure": ({"type", "message"}, set()),
        "error": ({"type", "message"}, set()),
        "skipped": ({"message"}, set()),
    }
    seen = list(ElementTree.parse(kinds.drift / "junit.xml").getroot().iter())
    assert {element.tag for element in seen} == set(allowed)
    for element in seen:
        attributes, children = allowed[element.tag]
        assert set(element.keys()) <= attributes and {child.tag for child in element} <= children
        assert all(float(element.get(name)) >= 0 for name in numbers & set(element.keys()))


def test_the_page_shows_what_changed_as_text_and_needs_nothing_else(kinds):
    page = (kinds.drift / "report.html").read_text()
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page
    assert '<ins class="bad">+ ✗ bucket models exists' in page and "<ins>+ ✓ minio 2.0 runs</ins>" in page
    assert 'href="#minio"' in page and 'id="minio"' in page and "http" not in page


# -- accepted ----------------------------------------------------------------------------------------


def test_a_record_without_the_new_fields_is_read(platform):
    platform.chapter()
    path = platform.run.folder / "run.json"
    old = json.loads(path.read_text())
    old.pop("compared")
    old["chapters"]["minio"].pop("accepted")
    path.write_text(json.dumps(old))
    assert record.latest().chapters["minio"].accepted == [] and record.latest().compared is None


@pytest.mark.parametrize(
    "name, says",
    [
        ("requirements", "has no change"),
        ("minio", "does not hold: + ✗ bucket models exists"),
        ("pachyderm", "does not hold: error  ask"),
        ("end", "does not have it"),
    ],
)
def test_what_cannot_be_accepted_is_refused_before_anything_is_touched(kinds, name, says):
    before = kinds.snapshot()
    with pytest.raises(BadInput) as refused:
        accept(kinds.run, ["network", name], "why")
    assert says in refused.value.saw and kinds.snapshot() == before


def test_without_a_report_there_is_nothing_to_accept(platform):
    platform.chapter()
    with pytest.raises(BadInput) as refused:
        accept(record.latest(), ["minio"], "why")
    assert "no drift report" in refused.value.saw
    platform.drift.mkdir()
    (platform.drift / "report.json").write_text('{"report": {')
    with pytest.raises(BadInput):
        accept(record.latest(), ["minio"], "why")


# -- the command -------------------------------------------------------------------------------------


def command(*words):
    return forked.helpers("regress", *words, env=os.environ)


@pytest.mark.parametrize(
    "words, says",
    [
        (["--accept", "minio"], "one is without the other"),
        (["--reason", "why"], "one is without the other"),
        (["--accept", "minio", "--reason", "  "], "one is without the other"),
        (["--accept", "minio", "--reason", "why", "--only", "minio"], "goes with neither"),
        (["--accept", "mino", "--reason", "why"], "Did you mean minio?"),
    ],
)
def test_words_that_are_wrong(runs, own_home, words, says):
    done = command(*words)
    assert done.returncode == 2 and says in done.stderr


def test_the_command_tells_and_what_is_accepted_is_the_new_truth_in_the_record_with_its_reason(platform):
    platform.chapter(lines=[POLICY, ["ok", "minio 2.0 runs"]]).keep()
    done = command()
    assert done.returncode == 1 and "1 drift (minio)" in done.stdout and "--accept CHAPTER" in done.stdout
    done = command("--accept", "05", "--reason", "a security update")
    assert done.returncode == 0 and done.stdout.startswith("05 minio: accepted")
    run = record.latest()
    (entry,) = run.chapters["minio"].accepted
    assert (entry.reason, entry.run) == ("a security update", run.id) and "+ ✓ minio 2.0 runs" in entry.changes
    assert run.compared.states == {"minio": "same"} and run.format == record.FORMAT == 1
    done = command("--target", "local")
    assert done.returncode == 0 and "1 as recorded" in done.stdout
    platform.found["minio"] = NOW
    report, said = platform.replayed()
    assert [c.id for c in report.red] == ["minio"] and "a security update" in said


def test_ctrl_c_ends_it_at_once_with_its_kernels_and_leaves_the_record_as_it_was(platform):
    platform.chapter(trouble="waits").keep()
    mark = platform.folder / "minio.json.kernel"
    before = platform.snapshot()
    argv = [sys.executable, "-m", "helpers", "regress"]
    process = subprocess.Popen(argv, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until("its kernel", mark.read_text, lambda: process.poll() is not None and "it ended", timeout=60)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, platform.snapshot()) == (130, before), said
    kernel = int(mark.read_text())
    until("the kernel's end", lambda: not os.path.exists(f"/proc/{kernel}"))


def test_nbval_by_hand_is_red_for_the_same(platform, tmp_path):
    platform.chapter(lines=[POLICY, ["ok", "minio 2.0 runs"]])
    platform.keep()
    c = platform.run.chapters["minio"]
    replay.lay_out(platform.run.folder / c.notebook, c, tmp_path)
    words = ["--nbval", "--nbval-sanitize-with", str(SETUP / "nbval-sanitize.cfg"), "-p", "no:cacheprovider"]
    argv = [sys.executable, "-m", "pytest", *words, "--nbval-current-env", str(tmp_path / "05_minio.ipynb")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "2 failed, 4 passed" in done.stdout
