"""What chapters said on hosts of each kind: judged, kept, and shown as it was said."""

import pytest

from helpers.command import hosts, pages
from helpers.command.hosts import Said, Tried
from helpers.command.record import ChapterRun, Check, Step
from helpers.core import notebooks
from helpers.sandbox import kinds

REFUSED = """error  the host has cgroup v1
host   sandbox:kind
saw    cgroup v2 only
do     Add systemd.unified_cgroup_hierarchy=0 to the kernel's command line"""


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"state": "ok"}, ("ok", "")),
        ({"state": "skipped"}, ("ok", "")),
        ({"state": "failed", "error": REFUSED}, ("refused", "the host has cgroup v1: cgroup v2 only")),
        (
            {"state": "failed", "error": REFUSED, "steps": [Step(title="x", state="ok", note="applied")]},
            ("failed", "the host has cgroup v1: cgroup v2 only"),
        ),
        ({"state": "failed", "error": "KeyError: 'x'"}, ("refused", "KeyError: 'x'")),
        (
            {
                "state": "failed",
                "error": REFUSED,
                "checks": [Check(title="it holds", state="ok"), Check(title="it\nanswers", state="failed", seen="no")],
                "steps": [Step(title="it runs", state="failed", note="it is dead")],
            },
            ("failed", "it answers: no · it runs: it is dead"),
        ),
    ],
)
def test_a_chapters_end_in_a_word_and_its_words(fields, said):
    end = hosts.judge(ChapterRun(id="x", number="01", title="X", **fields))
    assert (end.state, end.words) == said


def test_without_a_name_the_chapters_are_tried_that_need_no_cluster():
    known = notebooks.load_all()
    assert hosts.cheap(known) == ["requirements", "network", "minio", "postgres"]
    known["postgres"].requires = ["addons"]
    assert hosts.cheap(known) == ["requirements", "network", "minio"]


def test_what_is_tried_later_goes_beside_what_is_recorded(tmp_path):
    path = tmp_path / "hosts.json"
    hosts.keep("old", {"minio": Said(state="ok")}, path)
    hosts.keep("new", {"minio": Said(state="ok")}, path)
    hosts.keep("old", {"postgres": Said(state="failed", words="x")}, path)
    found = hosts.load(path)
    assert list(found) == ["new", "old"]
    assert {n: s.state for n, s in found["old"].chapters.items()} == {"minio": "ok", "postgres": "failed"}


def test_the_page_has_every_kind_and_every_word():
    known = notebooks.load_all()
    refused = Said(state="refused", words="a|b <c>")
    found = {"new": Tried(when="2021-06-01", chapters={"minio": Said(state="ok"), "kubernetes": refused})}
    text = pages.kinds_tried(known, found)
    for kind in kinds.known().values():
        assert f"| `{kind.name}` | {kind.what} |" in text
    assert "| kind | what it is | 03 | 05 | tried |" in text and "| refused | ok | 2021-06-01 |" in text
    assert r"| `new` | 03 | refused | a\|b \<c\> |" in text


def test_a_chapter_says_which_one_it_lacks_on_a_kind_that_refuses_it():
    ok, refused = Said(state="ok"), Said(state="refused", words="x")
    all_ok = dict.fromkeys(notebooks.load_all(), ok)
    found = {"new": Tried(when="now", chapters={"kubernetes": refused}), "old": Tried(when="now", chapters=all_ok)}
    text = pages.kinds_tried(notebooks.load_all(), found)
    row = next(line for line in text.splitlines() if line.startswith("| `new`"))
    assert "|  |  | refused | needs 03 |" in row and row.count("needs") >= 4


def test_what_is_recorded_is_of_kinds_and_chapters_that_there_are():
    known = notebooks.load_all()
    recorded = hosts.load()
    assert set(recorded) <= set(kinds.known())
    assert {n for tried in recorded.values() for n in tried.chapters} <= set(known)
    assert all(said.words or said.state == "ok" for tried in recorded.values() for said in tried.chapters.values())
