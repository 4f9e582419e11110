"""A run on several hosts: which chapter goes where, what is refused, and what the records say of each host."""

import io
import json

import nbformat
import pytest
from click.testing import CliRunner
from rich.console import Console

from helpers.command import given, progress, record, status_page, targets
from helpers.command.main import main
from helpers.command.plan import Plan
from helpers.command.reach import check_reachable, target_lock, target_locks
from helpers.command.runner import Runner
from helpers.command.targets import Targets
from helpers.core import notebooks
from helpers.core.errors import BadInput, RunbookError

A, B = "ssh://me@a.example", "ssh://me@b.example:2222"
NOWHERE = "ssh://me@127.0.0.1:1"
ONE = 'target = "local"\nmode = "install"'


def write(folder, number, name, parameters=ONE, **meta):
    book = nbformat.v4.new_notebook(metadata={"runbook": {"id": name, "title": name, **meta}})
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    nbformat.write(book, folder / f"{number}_{name}.ipynb")


@pytest.fixture
def known(tmp_path, monkeypatch, own_home, runs):
    """Three chapters: board on the platform, forge on a host of its own, clerk on the platform that talks to forge."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write(folder, "01", "board")
    write(folder, "02", "forge", host="smithy")
    write(folder, "03", "clerk", ONE + '\nsmithy_target = "sandbox:smithy"', requires=["board", "forge"])
    monkeypatch.setattr(notebooks, "NOTEBOOKS", folder)
    return notebooks.load_all()


def where(plan):
    return {n.id: plan.parameters[n.id]["target"] for n in plan.chapters}


@pytest.mark.parametrize(
    "words, board, forge",
    [
        ([], "sandbox", "sandbox:smithy"),
        ([A], A, A),
        ([A, f"smithy={B}"], A, B),
        ([f"platform={A}", f"smithy={B}"], A, B),
    ],
)
def test_each_chapter_goes_to_the_target_of_its_host(known, words, board, forge):
    plan = Plan(targets.given(words, known))
    assert where(plan) == {"board": board, "forge": forge, "clerk": board}
    assert plan.parameters["clerk"]["smithy_target"] == forge
    assert plan.hosts() == {"platform": board, "smithy": forge}


@pytest.mark.parametrize(
    "only, hosts",
    [("board", ["platform"]), ("forge", ["smithy"]), ("clerk", ["platform", "smithy"])],
)
def test_only_the_hosts_that_chosen_chapters_use_are_asked_for(known, only, hosts):
    assert list(Plan(Targets(), only=[only]).hosts()) == hosts


def test_the_command_line_goes_over_the_file(known, tmp_path):
    path = tmp_path / "platform.yaml"
    path.write_text(f"hosts:\n  platform: {A}\n  smithy: {B}\n")
    said = given.platform_file(path).targets
    assert (said.of("platform"), said.of("smithy")) == (A, B)
    other = targets.given(["smithy=local"], known).over(said)
    assert (other.of("platform"), other.of("smithy")) == (A, "local")
    assert {targets.given(["local"], known).over(said).of(host) for host in ("platform", "smithy")} == {"local"}
    path.write_text(f"target: {A}\nhosts: {{smithy: {B}}}\n")
    assert where(Plan(given.platform_file(path).targets))["forge"] == B


@pytest.mark.parametrize(
    "words, says",
    [
        (["-t", "smithi=local"], ["'smithi'", "Did you mean smithy?"]),
        (["-t", "smithy=10.0.0.1"], ["ssh://user@host"]),
        (["-t", "local", "-t", A], ["all hosts has local already"]),
        (["-t", "smithy=local", "-t", f"smithy={A}"], ["smithy has local already"]),
        (["-t", f"smithy={A}"], ["run 01 board, 03 clerk", "the host platform", "--target platform=ssh://user@host"]),
        (["-t", f"platform={A}", "--only", "clerk"], ["run 03 clerk", "the host smithy", "--target smithy="]),
        (["-p", "clerk.smithy_target=local"], ["the same for all chapters", "--target smithy="]),
    ],
)
def test_what_is_refused(known, words, says, runs):
    said = CliRunner(catch_exceptions=False).invoke(main, ["up", *words])
    assert said.exit_code == 2 and not list(runs.iterdir())
    for text in says:
        assert text in said.stderr


def test_a_file_with_a_host_that_no_chapter_has(known, tmp_path):
    (tmp_path / "platform.yaml").write_text("hosts: {smithi: local}")
    with pytest.raises(BadInput, match="use the host 'smithi'"):
        given.platform_file(tmp_path / "platform.yaml")


def test_one_lock_for_each_target_and_one_for_two_words_of_it(own_home):
    with target_locks([A, A + ":22", B], "up"):
        for slug in ("ssh-me@a.example", "ssh-me@b.example+2222"):
            with pytest.raises(BadInput, match="start it"), target_lock(slug, "it"):
                pass
    with target_locks([B], "up"), target_lock("ssh-me@a.example", "it"):
        pass


# -- records -----------------------------------------------------------------------------------------


def ran(plan):
    shown = io.StringIO()
    run = Runner(plan, 1, progress.Progress(Console(file=shown, width=140))).run()
    return run, shown.getvalue()


def test_a_run_on_two_targets_says_where_each_chapter_ran(known):
    run, shown = ran(Plan(Targets(None, {"platform": "local", "smithy": "sandbox:smithy"})))
    assert run.hosts == {"platform": "local", "smithy": "sandbox:smithy"} and run.several
    assert {c.id: run.target_of(c) for c in run.chapters.values()} == {
        "board": "local",
        "forge": "sandbox:smithy",
        "clerk": "local",
    }
    assert "02 forge @smithy" in shown and "01 board @" not in shown
    page = status_page.status(run, known)
    assert "on `local` and `sandbox:smithy`" in page and "| sandbox:smithy |" in page
    assert record.read(run.folder) == run == record.latest("local") == record.latest("sandbox:smithy")


def test_what_was_on_one_target_is_no_news_of_another(known):
    ran(Plan(Targets(None, {"platform": "local", "smithy": "sandbox:smithy"})))
    both = {"board": "local", "forge": "sandbox:smithy", "clerk": "local"}
    assert set(record.installed(record.last(both))) == set(both)
    assert set(record.last(dict.fromkeys(both, "local"))) == {"board", "clerk"}, "forge is not there"
    assert set(record.last({**both, "board": ""})) == {"forge", "clerk"}


def test_a_run_of_one_host_carries_what_the_other_one_has(known):
    places = Targets(None, {"platform": "local", "smithy": "sandbox:smithy"})
    first, _ = ran(Plan(places))
    second, _ = ran(Plan(places, only=["forge"]))
    assert second.hosts == first.hosts and second.chapters["board"].run == first.id
    third, _ = ran(Plan(Targets(None, {"smithy": "sandbox:smithy"}), only=["forge"]))
    assert set(third.chapters) == {"forge"} and third.target == "sandbox:smithy"
    assert record.last({"board": "local"})["board"].run.id == second.id, "it is looked for where it was"


def test_a_record_of_before_is_that_of_one_target(known):
    run = record.new("local", "install")
    run.chapters["board"] = record.ChapterRun(id="board", number="01", title="x", state="ok", installed={"mode": "x"})
    run.state = "ok"
    run.save()
    content = json.loads((run.folder / "run.json").read_text())
    del content["chapters"]["board"]["host"]
    (run.folder / "run.json").write_text(json.dumps(content))
    old = record.read(run.folder)
    assert old.hosts == {"platform": "local"} and not old.several and old.where("`") == "`local`"
    assert record.installed(record.last({"board": "local", "forge": "local"})) == {"board": {"mode": "x"}}
    assert "| on |" not in status_page.status(old, known)


# -- a host that is away --------------------------------------------------------------------------------


def test_verify_goes_on_without_the_host_that_is_away(known):
    said = []
    for host in check_reachable(Plan(Targets("local", {"smithy": NOWHERE}), "verify"), said.append):
        host.close()
    assert len(said) == 1 and NOWHERE in said[0] and "nothing listens" in said[0]


@pytest.mark.parametrize(
    "places, mode",
    [
        (Targets("local", {"smithy": NOWHERE}), "install"),
        (Targets(NOWHERE), "verify"),
        (Targets(NOWHERE, {"smithy": "ssh://me@127.0.0.1:2"}), "verify"),
    ],
)
def test_install_does_not_and_nothing_goes_on_without_any(known, places, mode):
    with pytest.raises(RunbookError, match="connect|reach"):
        check_reachable(Plan(places, mode), lambda text: None)
