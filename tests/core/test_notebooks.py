"""Chapters as files: how they are read and planned, and parameters that are refused at the door."""

import json

import pytest

from helpers.command.plan import Plan
from helpers.core import notebooks, parameters
from helpers.core.errors import BadInput

# -- made-up chapters -------------------------------------------------------------------------------

PARAMETERS = """target = "sandbox"   # where
mode = "install"  # how
origin = "auto"   # whence
port = 9000       # the port
web_port = 9001
ports = [80, 443]
names = ["a"]
allow_cidr = "10.1.0.0/16"
share = 0.5
wide = False
anything = []
"""


def made(folder, name="05_made.ipynb", meta=None, source=PARAMETERS, markdown="# Made\n"):
    path = folder / name
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": markdown.splitlines(True)},
        {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]},
            "source": source.splitlines(True),
            "outputs": [],
            "execution_count": None,
        },
    ]
    path.write_text(
        json.dumps(
            {
                "cells": cells,
                "metadata": {"runbook": meta or {"id": "made", "title": "Made"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )
    return notebooks.Notebook(path)


@pytest.fixture
def example(tmp_path):
    return made(tmp_path)


def test_parameters_and_their_comments_are_read(example):
    assert example.parameters["port"] == ("port", 9000, "the port", ()) and example.parameters["web_port"].help == ""
    assert example.label == "05 made" and example.requires == []


def test_given_values_go_over_the_defaults(example):
    values = example.check(
        {"port": 1, "share": 1, "ports": [], "names": ["x", "y-2"], "allow_cidr": "", "anything": ["z", 1]}
    )
    assert (values["port"], values["share"], values["ports"], values["names"], values["web_port"]) == (
        1,
        1,
        [],
        ["x", "y-2"],
        9001,
    )


@pytest.mark.parametrize(
    "given, saw",
    [
        ({"port": "9000"}, "a whole number, not str"),
        ({"port": 9000.0}, "a whole number"),
        ({"port": True}, "a whole number, not bool"),
        ({"port": None}, "a whole number"),
        ({"wide": 1}, "true or false"),
        ({"wide": "yes"}, "true or false"),
        ({"share": "half"}, "a number"),
        ({"share": True}, "a number"),
        ({"names": "a,b"}, "a list"),
        ({"names": [1]}, "each must be text"),
        ({"ports": ["80"]}, "each must be a whole number"),
        ({"ports": [80, True]}, "each must be"),
        ({"target": 5}, "text"),
        ({"port": 0}, "1 to 65535"),
        ({"port": 65536}, "1 to 65535"),
        ({"port": -1}, "1 to 65535"),
        ({"web_port": 70000}, "1 to 65535"),
        ({"ports": [80, 0]}, "1 to 65535"),
        ({"allow_cidr": "10.1.0.0/33"}, "10.1.0.0/33"),
        ({"allow_cidr": "10.1.2.3/16"}, "host bits"),
        ({"allow_cidr": "everybody"}, "everybody"),
        ({"mode": "instal"}, "Did you mean install?"),
        ({"mode": "zzz"}, "Modes: install, verify"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_an_example(example, given, saw):
    with pytest.raises(BadInput) as e:
        example.check(given)
    name = list(given)[0]
    assert (
        saw in e.value.saw
        and name in e.value.what
        and "made" in e.value.what
        and f"For example: {name} = " in e.value.do
    )


@pytest.mark.parametrize(
    "text",
    [
        "$(id)",
        "`id`",
        "a;b",
        "a|b",
        "a&b",
        "a>b",
        "a<b",
        "a b",
        "a\nb",
        "a'b",
        'a"b',
        "a\\b",
        "a#b",
        "(a)",
        "{a}",
        "[a]",
        "a!b",
        "a?b",
        "/srv/*",
        "~root",
        "--help",
        "-rf",
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_what_a_shell_would_interpret_is_refused(example, text, inside):
    with pytest.raises(BadInput) as e:
        example.check({"names": ["ok", text]} if inside else {"origin": text})
    assert "only letters, digits" in e.value.saw


@pytest.mark.parametrize(
    "text",
    [
        "ssh://u@h.example:22",
        "http://10.0.0.1:8000/x",
        "/srv/minio-2_a",
        "RELEASE.2021",
        "a=b,c%20+d",
        "fd00::1",
        "ä",
        "",
    ],
)
def test_ordinary_texts_are_accepted(example, text):
    assert example.check({"target": text})["target"] == text


def test_the_nearest_name_is_offered(example):
    with pytest.raises(BadInput) as e:
        example.check({"prt": 1})
    assert "'prt'" in e.value.what and e.value.do == "Did you mean port?"
    with pytest.raises(BadInput) as e:
        example.check({"zzzzzz": 1})
    assert "port" in e.value.do and "names" in e.value.do


def test_a_chapter_is_found_by_id_number_and_file_name(example):
    known = {"made": example}
    for name in ("made", "05", "05_made", "05_made.ipynb"):
        assert notebooks.find(name, known) is example
    for name, do in (("mades", "Did you mean made?"), ("xyzzy", "Chapters: made"), (5, "Chapters: made")):
        with pytest.raises(BadInput) as e:
            notebooks.find(name, known)
        assert e.value.do == do


def test_the_troubleshooting_table_is_read_and_other_tables_are_not(tmp_path):
    text = (
        "| a | b | c | d |\n|---|---|---|---|\n| no | no | no | no |\n\n"
        "| entry | you see | because | do |\n|---|---|---|---|\n| x-1 | s | b | use `a` |\n| x-2 | s | b | d |\n"
        "after\n| no | no | no | no |\n"
    )
    entries = made(tmp_path, markdown=text).entries
    assert list(entries) == ["x-1", "x-2"] and entries["x-1"] == ("x-1", "s", "b", "use `a`")


# -- the plan ---------------------------------------------------------------------------------------


@pytest.fixture
def chapters(tmp_path, monkeypatch):
    """Put made-up chapters in place of the real ones: {id: requires}."""

    def put(**requires):
        for n, (name, needs) in enumerate(requires.items(), 1):
            made(tmp_path, f"{n:02d}_{name}.ipynb", {"id": name, "title": name, "requires": needs})
        monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)

    return put


def test_a_cycle_is_refused(chapters):
    chapters(a=[], b=["c"], c=["b"])
    with pytest.raises(BadInput) as e:
        Plan("local")
    assert "b, c" in e.value.saw


def test_a_required_chapter_that_is_none(chapters):
    chapters(a=["nowhere"])
    with pytest.raises(BadInput) as e:
        Plan("local")
    assert "nowhere" in e.value.saw


def test_order_of_install_and_of_remove(chapters):
    chapters(a=[], b=["a"], c=["a", "b"], d=[])
    plan = Plan("local")
    assert {n.id: plan.needs(n) for n in plan.chapters} == {"a": [], "b": ["a"], "c": ["a", "b"], "d": []}
    plan = Plan("local", "remove")
    assert {n.id: plan.needs(n) for n in plan.chapters} == {"a": ["b", "c"], "b": ["c"], "c": [], "d": []}
    plan = Plan("local", only=["c", "02"])
    assert [n.id for n in plan.chapters] == ["b", "c"] and plan.needs(plan.chapters[0]) == []


def test_from_and_until(chapters):
    chapters(a=[], b=[], c=[], d=[])
    assert [n.id for n in Plan("local", first="b", last="03").chapters] == ["b", "c"]
    with pytest.raises(BadInput):
        Plan("local", first="c", last="b")
    with pytest.raises(BadInput):
        Plan("local", only=["a"], first="b")


def test_parameters_of_all_and_of_one(chapters):
    chapters(a=[], b=[])
    plan = Plan("local", given={"01": {"port": 1}, "a": {"web_port": 2}}, everywhere={"port": 3, "wide": True})
    assert [plan.parameters["a"][k] for k in ("port", "web_port", "wide", "target")] == [1, 2, True, "local"]
    assert [plan.parameters["b"][k] for k in ("port", "web_port", "wide")] == [3, 9001, True]


@pytest.mark.parametrize(
    "kw, what",
    [
        ({"given": {"a": {"prt": 1}}}, "prt"),
        ({"everywhere": {"prt": 1}}, "prt"),
        ({"everywhere": {1: 1}}, "1"),
        ({"given": {"aa": {}}}, "aa"),
        ({"only": ["aa"]}, "aa"),
        ({"everywhere": {"target": "local"}}, "target"),
        ({"given": {"a": {"mode": "verify"}}}, "mode"),
        ({"mode": "destroy"}, "destroy"),
        ({"mode": ["x"]}, "x"),
        ({"given": {"a": {"port": "x"}}}, "port"),
    ],
)
def test_a_plan_that_is_refused(chapters, kw, what):
    chapters(a=[], b=[])
    with pytest.raises(BadInput) as e:
        Plan("local", **kw)
    assert what in e.value.what and e.value.do


def test_the_key_changes_with_what_a_result_depends_on(chapters, tmp_path):
    chapters(a=[], b=[])
    key = Plan("local").key(Plan("local").known["a"])
    assert Plan("local", "verify").key(Plan("local").known["a"]) == key, "the mode is no reason to run again"
    assert Plan("local", given={"a": {"port": 1}}).key(Plan("local").known["a"]) != key
    made(tmp_path, "01_a.ipynb", {"id": "a", "title": "a"}, markdown="# Another text\n")
    assert Plan("local").key(Plan("local").known["a"]) != key


@pytest.mark.parametrize(
    "comment, choices",
    [
        ("one of cluster, node or loadbalancer: who reaches it", ("cluster", "node", "loadbalancer")),
        ("one of minio or local", ("minio", "local")),
        ("one of 1, 2; the model's version", ("1", "2")),
        ("the one of them that is free", ()),
    ],
)
def test_a_comment_names_the_choices_and_another_value_is_refused(comment, choices):
    (found,) = parameters.read(f"expose = {choices[0] if choices else 'x'!r}   # {comment}\n")
    assert found.choices == choices
    if choices:
        with pytest.raises(BadInput) as e:
            parameters.check("x", {"expose": found}, {"expose": choices[0] + "x"})
        assert all(c in e.value.saw for c in choices)


@pytest.mark.parametrize("origin", ("https://bob:s3cret@mirror", "http:bob:s3/cret@mirror", "http://b:s3cret!@m"))
def test_an_origin_with_a_password_is_refused_and_not_repeated(origin):
    with pytest.raises(BadInput) as e:
        Plan("local", everywhere={"origin": origin})
    assert "s3" not in str(e.value) and "origin = 'http" in e.value.what and e.value.saw and e.value.do


def test_another_origin_is_taken_and_shown_as_it_is():
    assert Plan("local", everywhere={"origin": "http://m:8088/a"}).parameters["minio"]["origin"] == "http://m:8088/a"
    with pytest.raises(BadInput, match="origin = 'http://a b'"):
        Plan("local", everywhere={"origin": "http://a b"})
