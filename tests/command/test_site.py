"""The site's pages as the code makes them: nothing that the notebooks or the record say is lost or made up."""

from __future__ import annotations

import html
import re
import shlex

import pytest
import yaml
from click.testing import CliRunner
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from helpers.command import chapter_page, given, markdown, pages, picture, record, status_page, targets, troubles
from helpers.command import main as cli
from helpers.command.plan import Plan
from helpers.core import notebooks
from helpers.core.paths import REPO


@pytest.fixture
def known():
    return notebooks.load_all()


def run_of(known, **chapters):
    """A record of these chapters, as a run would leave it."""
    return record.Run(
        id="20210601-120000",
        target="sandbox",
        mode="install",
        state="ok",
        started="2021-06-01T12:00:00+00:00",
        chapters={
            name: record.ChapterRun(id=name, number=known[name].number, title=known[name].title, **fields)
            for name, fields in chapters.items()
        },
    )


def test_every_row_of_a_chapters_troubleshooting_table_is_on_the_page(known):
    page = troubles.page(known)
    for n in known.values():
        text = "".join("".join(c["source"]) + "\n" for c in n.content["cells"] if c["cell_type"] == "markdown")
        rows = re.findall(r"^\| ([a-z0-9]+-[a-z0-9-]+) \|", text, re.M)
        assert rows and [r for r in rows if f"`{r}`" not in page] == []


def test_an_escaped_bar_stays_in_its_cell(known):
    assert "lspci | grep" in known["requirements"].entries["req-gpu"].do
    assert r"lspci \| grep" in troubles.page(known)


def test_the_page_shows_the_values_that_the_run_used():
    source = 'port = 9000    # the S3 API\nbuckets = ["a"]\nlisten = "0.0.0.0"  # address'
    shown = chapter_page.with_values(source, {"port": 9010, "buckets": ["a", "b"], "listen": "0.0.0.0", "other": 1})
    assert shown.splitlines()[0].split("#") == ["port = 9010                      ", " the S3 API (default: 9000)"]
    assert (
        shown.splitlines()[1].startswith('buckets = ["a", "b"]')
        and shown.splitlines()[2] == 'listen = "0.0.0.0"  # address'
    )


def test_a_text_that_varies_is_marked_without_brackets():
    assert (
        chapter_page.plain_marks("<td>‹24 GiB›</td>")
        == '<td><span class="varies" title="may differ from run to run">24 GiB</span></td>'
    )
    assert (
        chapter_page.plain_marks('<span style="color:#57606a">‹✓›</span> ok')
        == '<span style="color:#1a7f37">✓</span> ok'
    )


def test_the_readmes_table_says_what_the_record_says(known):
    run = run_of(
        known,
        minio={
            "state": "ok",
            "verified": "2021-06-01T12:00:05+00:00",
            "artifacts": [
                record.ArtifactUse(name="minio", version="x", origin="mirror", fidelity="equivalent", program="other")
            ],
        },
    )
    rows = {r[:4]: r for r in pages.readme_block(run, known).splitlines()}
    assert rows["| 05"].endswith("| equivalent | 2021-06-01 |")
    assert rows["| 06"].endswith("| not run |")
    assert all(
        rows["| " + number].endswith("| planned |")
        for number in ("11", "12", "13")
        if number not in {n.number for n in known.values()}
    )


def test_a_parameters_words_are_shown_as_they_are(known):
    """<branch>.<repository> became tags, and was not on the page."""
    comment = known["label_studio"].parameters["source"].help
    assert "<" in comment
    assert markdown.literal(comment) in pages.parameters_reference(known)


def test_the_readme_has_a_row_for_every_chapter(known):
    readme = (REPO / "README.md").read_text()
    assert [n.path.name for n in known.values() if "notebooks/" + n.path.name not in readme] == [], (
        "./runbook book --readme writes the table"
    )


def test_a_failed_chapter_says_so_below_its_title(known):
    run = run_of(known, minio={"state": "failed", "reason": "1 of 15 do not hold", "notebook": "05_minio.ipynb"})
    assert "last-run failed" in chapter_page.last_run(
        run.chapters["minio"], run
    ) and "1 of 15" in chapter_page.last_run(run.chapters["minio"], run)


EVIL = "<script>alert(1)</script> {ref}`nowhere` [a](b) $x$ a_b_c **x** | `y` \\\\| ![i](j) <https://x> &amp; end"


def rendered(markdown):
    """Its HTML, as MyST makes it."""
    parser = create_md_parser(MdParserConfig(enable_extensions={"dollarmath", "colon_fence"}), RendererHTML)
    return parser.render(markdown)


@pytest.mark.parametrize("text", (EVIL, "<script>", "{ref}`x`\n```\n{div}", "a\\|b", "|", "\\", "v1.20_3*"))
def test_what_servers_say_is_shown_as_it_is_on_every_page(known, text):
    failed = {
        "checks": [record.Check(title="it answers", state="failed", seen=text)],
        "steps": [record.Step(title="it is so", state="failed", note=text)],
        "versions": {"minio": text},
    }
    run = run_of(known, minio={"state": "failed", "reason": text, "notebook": "05_minio.ipynb", **failed})
    below = chapter_page.last_run(run.chapters["minio"], run).split("\n", 1)[1].rsplit("\n", 2)[0]
    for page, times in ((status_page.status(run, known), 3), (below, 1)):
        html_ = rendered(page)
        assert "<script" not in html_ and "myst role" not in html_ and "<img" not in html_
        assert html.unescape(re.sub("<[^>]+>", "", html_)).count(" ".join(text.split())) >= times


def test_the_platform_file_of_the_reference_is_taken(known, tmp_path):
    example = re.search(r"```yaml\n(.*?)```", (REPO / "book" / "reference.md").read_text(), re.S).group(1)
    (tmp_path / "platform.yaml").write_text(example)
    said = given.platform_file(tmp_path / "platform.yaml")
    plan = Plan(said.targets, said.mode, given=said.chapters, everywhere=said.parameters)
    assert plan.parameters["minio"]["buckets"] == yaml.safe_load(example)["chapters"]["minio"]["buckets"]


def test_every_command_has_help_in_the_reference():
    text = pages.commands_reference(cli.main)
    assert "notebook" in cli.main.list_commands(None), "a chapter's command, from its metadata"
    for name in cli.main.list_commands(None):
        assert f"`./runbook {name}`" in text
    assert CliRunner().invoke(cli.book, ["--help"]).exit_code == 0


COLUMNS = {"files": 3, "ports": 4, "firewall": 2, "secrets": 3}


def test_what_chapters_say_of_themselves_has_a_place_in_the_book(known):
    keys = {"id", "title", "requires", "provides", "host", "where", "processes", "programs", "commands", "tables"}
    marks = "".join(page.read_text() for page in (REPO / "book").glob("*.md"))
    for n in known.values():
        assert set(n.content["metadata"]["runbook"]) <= keys and n.where, n.id
        assert all(f"<!-- {name} -->" in marks for name in n.tables), n.id
        assert {(name, len(row)) for name, rows in n.tables.items() for row in rows} <= set(COLUMNS.items()), n.id
        assert all(p["why"] for p in n.programs.values()), n.id
        assert {p["when"] for p in n.programs.values() if "when" in p} <= set(n.parameters), n.id


def test_no_mark_is_left_in_the_staged_book(known):
    inserts = pages.inserts(known, cli.main)
    left = {mark for page in (REPO / "book").glob("*.md") for mark in re.findall("<!-- (.+?) -->", page.read_text())}
    assert left - set(inserts) <= {"first run", "where a cold run's time goes"}, "a mark that nothing fills"


# -- what a reader sees of a run -----------------------------------------------------------------------


def two_runs(known):
    """A run, and one after it in which a check fails, a version is another and a parameter is set."""
    held, lost = record.Check(title="it is kept", state="proved"), record.Check(title="it is kept", state="failed")
    fields = {"state": "ok", "seconds": 31.4, "notebook": "05_minio.ipynb", "run": "20210601-110000"}
    old = run_of(known, minio={**fields, "checks": [held], "versions": {"minio": "1"}, "parameters": {"port": 9000}})
    old.id = "20210601-110000"
    new = run_of(known, minio={**fields, "checks": [lost], "versions": {"minio": "2"}, "parameters": {"port": 9010}})
    new.chapters["minio"].state, new.chapters["minio"].run = "failed", new.id
    return old, new


def test_the_status_page_says_what_changed_since_the_run_before(known):
    old, new = two_runs(known)
    found = {(what, before, now) for _, what, before, now in status_page.changes(old, new)}
    assert found == {
        ("state", "ok", "failed"),
        ("minio", "1", "2"),
        ("parameter port", "9000", "9010"),
        ("check: it is kept", "ok", "failed"),
    }
    assert list(status_page.changes(old, old)) == []
    page = status_page.status(new, known, [old])
    assert "## Changed since run `20210601-110000`" in page and "| `20210601-110000` | install |" in page


def test_checks_that_are_left_out_and_chapters_that_are_unchanged_are_no_change(known):
    old, _ = two_runs(known)
    new = old.model_copy(deep=True)
    new.chapters["minio"].state, new.chapters["minio"].checks[0].state = "skipped", "left out"
    assert list(status_page.changes(old, new)) == []


def test_the_badges_say_how_long_each_mode_took_the_last_time(known):
    old, new = two_runs(known)
    new.mode, new.chapters["minio"].state, new.chapters["minio"].seconds = "verify", "ok", 4.2
    badges = chapter_page.last_run(new.chapters["minio"], new, [old])
    assert "[install]{.badge-name} 31 s" in badges and "[verify]{.badge-name} 4 s" in badges
    assert "0 of 1 hold" in badges and "[runs]{.badge-name} minio 2" in badges


def test_the_command_of_a_page_makes_the_same_run(known):
    values = known["minio"].check({"port": 9010, "buckets": ["a", "b.c"], "target": "ssh://me@host", "mode": "verify"})
    c = record.ChapterRun(id="minio", number="05", title="MinIO", parameters=values)
    words = shlex.split(chapter_page.command(known["minio"], c))
    assert words[:7] == ["./runbook", "up", "--target", "ssh://me@host", "--only", "minio", "--mode"]
    said = given.with_pairs(given.NOTHING, [word for word in words if "=" in word])
    assert said.chapters == {"minio": {"port": 9010, "buckets": ["a", "b.c"]}}
    assert chapter_page.command(known["minio"], None) == "./runbook up --only minio"


@pytest.mark.parametrize("where", [(), ("ssh://u@a",), ("platform=ssh://u@a", "gitlab=ssh://u@b")])
@pytest.mark.parametrize("name", notebooks.load_all())
def test_the_command_of_every_page_is_one_that_up_takes(known, name, where):
    made = Plan(targets.given(where, known), only=[name])
    c = record.ChapterRun(id=name, number="05", title=name, parameters=made.parameters[name])
    words = shlex.split(chapter_page.command(known[name], c))
    said = {o: [word for at, word in zip(words, words[1:], strict=False) if at == o] for o in ("--target", "-p")}
    values = given.with_pairs(given.NOTHING, said["-p"]).chapters
    again = Plan(targets.given(said["--target"], known), only=[name], given=values)
    assert again.parameters[name] == made.parameters[name]


def test_a_chapters_parameters_are_a_table_with_the_values_of_the_run(known):
    c = record.ChapterRun(id="minio", number="05", title="MinIO", parameters={"port": 9010})
    table = chapter_page.parameters(known["minio"], c)
    assert "| `port` | `9010` (default `9000`) | the S3 API on the host |" in table and "| `target`" not in table
    assert all(f"| `{name}` |" in table for name in known["minio"].parameters if name not in ("target", "mode"))


def test_the_picture_has_a_box_for_every_part_where_it_runs(known):
    run = run_of(known, minio={"state": "failed"}, postgres={"state": "skipped", "seconds": 3})
    drawn = picture.svg(pages.parts(known), run)
    boxes = dict(re.findall(r'<a href="[^"]*" data-chapter="(\d+)" data-state="(\w+)">', drawn))
    assert set(boxes) == {part.number for part in pages.parts(known)}
    assert boxes["05"] == "failed" and boxes["06"] == "ok" and boxes["01"] == "none"
    assert all(n.number not in boxes or boxes[n.number] != "planned" for n in known.values())
    left = {n: float(x) for n, x in re.findall(r'data-chapter="(\d+)".*?<rect class="p-\w+" x="(\d+)"', drawn)}
    assert left["02"] < left["05"] == left["06"] < left["07"], "your machine, the host, the cluster"
    frames = re.findall(r'p-head"[^>]*>([^<]*?)\s*<', drawn)
    assert frames == ["Your machine", "The host", "Kubernetes", "GitLab's host", "All of it"]


def test_the_pipeline_that_publishes_the_site_says_what_there_is():
    jobs = yaml.safe_load((REPO / ".gitlab-ci.yml").read_text())
    line = next(line for line in jobs["run"]["script"] if line.startswith("./runbook"))
    options = {o for command in (cli.up,) for parameter in command.params for o in parameter.opts}
    assert set(re.findall(r"--[a-z]+", line)) <= options and line.split()[1] in cli.main.commands
    site_ = str((REPO / "_build" / "site" / "_build" / "html").relative_to(REPO))
    assert site_ in jobs["run"]["artifacts"]["paths"] and site_ in jobs["pages"]["script"][0]
    assert jobs["run"]["cache"]["paths"] == [".runbook-home/cache"], "never the secrets beside it"
