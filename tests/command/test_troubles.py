"""Every error that the code can raise has a row that people find: by its address, and by words of its message."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest
from click.testing import CliRunner

from helpers.command import main as cli
from helpers.command import raised, troubles
from helpers.core import errors, notebooks, target
from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import REPO

KNOWN = notebooks.load_all()
ROWS = troubles.load(KNOWN)
IDS = {row.id for row in ROWS}
RAISED = raised.load()


def constructors():
    """(file, line) of every call in helpers/ that makes an error, by the classes that exist when it is imported."""
    kinds = {"RunbookError"}
    trees = {path: ast.parse(path.read_text()) for path in (REPO / "helpers").rglob("*.py")}
    for _ in range(4):
        classes = (node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
        kinds |= {c.name for c in classes if {ast.unparse(b).split(".")[-1] for b in c.bases} & kinds}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in kinds:
                yield path, node


def test_every_error_in_the_code_has_a_row():
    modules = {row.module for row in RAISED}
    for path, call in constructors():
        name = ".".join(path.relative_to(REPO).with_suffix("").parts).replace(".__init__", "")
        if name != errors.__name__:
            assert name in modules, f"{path}:{call.lineno}"
    made = sum(1 for path, _ in constructors() if path.name != "errors.py")
    assert len(RAISED) >= made - 6, "a class with an __init__ of its own counts once, however often it is made"
    assert {row.row for row in RAISED if not troubles._has_entry(row)} <= IDS


def test_every_row_says_what_is_seen_and_what_to_do():
    assert [row.id for row in ROWS if not row.see.strip("… ") and not row.because.strip("… ")] == []
    assert [row.id for row in ROWS if not row.do.strip("… \n")] == [], (
        "book/troubles.toml says it where the code cannot"
    )


def test_no_two_functions_share_an_address():
    owners = Counter(row for row, _ in {(row.row, row.module) for row in RAISED})
    assert [row for row, count in owners.items() if count > 1] == []
    assert not [e for n in KNOWN.values() for e in n.entries if e.startswith(("error-", "before-"))]


def test_the_rows_that_errors_and_checks_name_are_there():
    named = {entry for row in RAISED for entry in row.entry if raised.SOME not in entry}
    for n in KNOWN.values():
        named |= set(re.findall(r'entry="([a-z0-9-]+)"', "".join(n.code())))
    assert len(named) > 40 and named - IDS == set()


def test_what_troubles_toml_adds_is_added_to_something():
    import tomllib

    added = tomllib.loads((REPO / "book" / "troubles.toml").read_text())
    assert set(added) - {row.row for row in RAISED} == set()


@pytest.mark.parametrize(
    "make, row",
    [
        (lambda: target.Target.parse("ssh://a:b@c"), "error-target-parse-ssh"),
        (lambda: notebooks.find("nonsense"), "error-notebooks-find"),
        (lambda: troubles.matching(ROWS, "no such words anywhere"), "error-troubles-matching"),
    ],
)
def test_an_error_knows_the_row_of_the_function_that_made_it(make, row):
    with pytest.raises(RunbookError) as error:
        make()
    assert error.value.row == row and row in IDS


def test_an_error_of_a_class_with_words_of_its_own_is_found_by_the_class():
    from helpers.core import address_pools

    with pytest.raises(BadInput) as error:
        address_pools.parse_ranges("10.0.0.9-10.0.0.1")
    assert error.value.row == "error-address-pools-badpool" and error.value.row in IDS


def test_an_error_made_elsewhere_has_none_and_says_none():
    assert RunbookError("x").row == "" and RunbookError("x").more == ""
    assert RunbookError("x", entry="minio-refused").row == "minio-refused"


def test_the_last_line_in_the_terminal_is_the_rows_address():
    said = CliRunner().invoke(cli.main, ["logs", "nonsense"])
    assert said.exit_code == 2
    assert said.stderr.splitlines()[-1] == (
        "more   ./runbook explain error-notebooks-find, or book/troubleshooting.html#error-notebooks-find of the site"
    )
    with pytest.raises(RunbookError) as error:
        notebooks.find("nonsense")
    assert error.value._render_traceback_()[-1].startswith("more   ./runbook explain error-notebooks-find")


def test_explain_prints_a_row_by_its_name():
    said = CliRunner().invoke(cli.main, ["explain", "minio-refused"]).output
    entry = KNOWN["minio"].entries["minio-refused"]
    assert "chapter 05 minio" in said and entry.because in said and "#minio-refused" in said


@pytest.mark.parametrize(
    "words, row",
    [
        ("the host answers, but nothing listens on port", "error-ssh-explained"),
        ("another run is at work there", "error-host-lock-refused"),
        ("SHA-256 is not", "error-tools-fetch"),
        ("is free, or already MinIO's", "before-minio"),
        ("Unknown desc failed to reserve", None),
    ],
)
def test_explain_finds_a_row_by_words_of_the_message(words, row):
    said = CliRunner().invoke(cli.main, ["explain", *words.split()])
    if row:
        assert said.exit_code == 0 and f"{row}  (" in said.output
    else:
        assert said.exit_code == 2 and "no row has" in said.stderr


def test_each_failure_of_ssh_stands_with_its_own_mend():
    rows = [row for row in ROWS if row.id == "error-ssh-explained"]
    refused = next(row for row in rows if "refused the key" in row.because)
    assert "IdentityFile" in refused.do and "getent" not in refused.do and len(rows) > 8


def test_every_row_has_its_address_on_the_page():
    page = troubles.page(KNOWN)
    assert [row for row in IDS if page.count(f"{{#{row}}}") != 1] == []


SOURCE = """
from helpers.core.errors import BadInput, RunbookError
WAYS = [("one", "do one"), ("two", "do {name}")]
class Odd(BadInput):
    def __init__(self, text):
        BadInput.__init__(self, f"read {text}", saw="it is odd", do="Make it even.")
def _refused(saw):
    do = "Wait." if saw else "Go."
    return RunbookError("start", "here", saw or "nothing", do)
def ask():
    raise _refused("it is busy")
def ways(said):
    for mark, do in WAYS:
        if mark in said:
            raise RunbookError(what="find a way", saw=mark + "\\n" + said, do=do.format(name=said))
"""


def test_errors_are_read_from_the_code_with_what_callers_and_tables_say(tmp_path):
    (tmp_path / "helpers" / "core").mkdir(parents=True)
    (tmp_path / "helpers" / "core" / "odd.py").write_text(SOURCE)
    found = {(row.row, *row.what, *row.saw, *row.do) for row in raised.load(tmp_path / "helpers")}
    assert found == {
        ("error-odd-odd", "read …", "it is odd", "Make it even."),
        ("error-odd-refused", "start", "it is busy", "nothing", "Wait.", "Go."),
        ("error-odd-ways", "find a way", "one\n…", "do one"),
        ("error-odd-ways", "find a way", "two\n…", "do …"),
    }
