"""The site's pages as the code makes them: nothing that the notebooks or the record say is lost or made up."""

from __future__ import annotations

import html
import re

import pytest
import yaml
from click.testing import CliRunner
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from helpers.command import chapter_page, given, pages, record
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
    page = pages.troubleshooting(known)
    for n in known.values():
        text = "".join("".join(c["source"]) + "\n" for c in n.content["cells"] if c["cell_type"] == "markdown")
        rows = re.findall(r"^\| ([a-z0-9]+-[a-z0-9-]+) \|", text, re.M)
        assert rows and [r for r in rows if f"`{r}`" not in page] == []


def test_an_escaped_bar_stays_in_its_cell(known):
    assert "lspci | grep" in known["requirements"].entries["req-gpu"].do
    assert r"lspci \| grep" in pages.troubleshooting(known)


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
    for page, times in ((pages.status(run, known), 3), (below, 1)):
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
