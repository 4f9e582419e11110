"""What a cell shows: text, safe HTML, and comparable: install and verify look the same, a changed fact does not."""

import re

import pytest
from nbval.plugin import get_sanitize_patterns

from helpers.command.regress import RULES
from helpers.core import show


def compared(text):
    """The text as nbval compares it, after the project's rules."""
    patterns = dict(get_sanitize_patterns(RULES.read_text()))
    assert len(patterns) >= 5
    for regex, replace in patterns.items():
        text = re.sub(regex, replace, text)
    return text


def equal(one, other):
    """Both forms of two outputs, compared as nbval compares."""
    return [compared(a) == compared(b) for a, b in zip(one, other, strict=True)]


# -- the rules ---------------------------------------------------------------------------------------


def test_applied_and_already_so_are_the_same_fact():
    details = show.log_details(["apt-get install x"], ["a", "b"] * 40)
    assert equal(
        show.line("ok", "the user exists", "applied", details), show.line("ok", "the user exists", "already so")
    ) == [True, True]
    assert equal(show.line("ok", "the user exists"), show.line("ok", "the user exists", "already so")) == [True, True]


def test_another_state_or_another_title_is_another_fact():
    good = show.line("ok", "bucket models exists", "already so")
    assert equal(good, show.line("failed", "bucket models exists", "already so")) == [False, False]
    assert equal(good, show.line("ok", "bucket model exists", "already so")) == [False, False]
    assert equal(good, show.line("warn", "bucket models exists")) == [False, False]


def test_a_check_that_changed_the_target_is_left_out_by_verify_without_a_difference():
    assert equal(
        show.line("proved", "the data survive a restart", "3 s"),
        show.line("left out", "the data survive a restart", "it would change the target"),
    ) == [True, True]
    assert equal(
        show.line("proved", "the data survive a restart"),
        show.line("failed", "the data survive a restart", "no answer"),
    ) == [False, False]


def verdict(*rows):
    return show.table(
        ("", "what", "seen"), [(k, t, show.varying(s) if s else "") for _, k, t, s in rows], [r[0] for r in rows]
    )


def test_a_verdict_of_install_and_of_verify_is_the_same_table():
    install = verdict(
        ("ok", "step", "the user exists", ""),
        ("proved", "check", "an object is created", "1 MiB"),
        ("ok", "check", "port is free", "a SOCKS proxy answers"),
    )
    verify = verdict(
        ("ok", "step", "the user exists", ""),
        ("left out", "check", "an object is created", ""),
        ("ok", "check", "port is free", "free"),
    )
    assert equal(install, verify) == [True, True]
    broken = verdict(
        ("failed", "step", "the user exists", ""),
        ("left out", "check", "an object is created", ""),
        ("ok", "check", "port is free", "free"),
    )
    assert equal(install, broken) == [False, False]


def test_a_tables_fact_is_compared_and_its_widths_are_not():
    table = lambda mode, version: show.table(("target", "mode", "version"), [("sandbox", show.varying(mode), version)])  # noqa: E731
    assert equal(table("install", "1.0"), table("verify", "1.0")) == [True, True]
    assert equal(table("install", "1.0"), table("install", "1.1")) == [False, False]
    assert equal(
        table("install", "1.0"),
        show.table(("target", "mode", "versions"), [("sandbox", show.varying("install"), "1.0")]),
    ) == [False, False]


@pytest.mark.parametrize("note", ["a › b", "‹ a", "a ‹b› c", "two\nlines", "<b>&amp;</b>", "x" * 500, "|", "tab\there"])
def test_no_note_can_break_out_of_its_mark(note):
    assert equal(show.line("ok", "it is so", note), show.line("ok", "it is so", "already so")) == [True, True]
    assert equal(
        show.table(("a",), [(show.varying(note),), ("kept",)]), show.table(("a",), [(show.varying("b"),), ("kept",)])
    ) == [True, True]


def test_what_stands_after_a_varying_text_is_compared():
    assert equal(("a ‹1› b", ""), ("a ‹2› c", "")) == [False, True]
    assert equal(("a ‹1›\nb", ""), ("a ‹22›\nb", "")) == [True, True]


# -- text and HTML -------------------------------------------------------------------------------------


def test_everything_is_escaped_in_html():
    evil = '<script>alert(1)</script>&"'
    for markup in (
        show.line("ok", evil, evil, show.log_details([evil], [evil]))[1],
        show.table((evil,), [(evil,)], ["ok"])[1],
    ):
        assert "<script>" not in markup and "&lt;script&gt;" in markup


def test_a_table_lines_up_and_keeps_cells_of_many_lines():
    text, markup = show.table(("name", "seen"), [("a", "one\ntwo"), ("longer name", 3)], ["ok", "failed"])
    assert text.splitlines() == [
        "   name         seen",
        "-  -----------  ----",
        "✓  a            one",
        "                two",
        "✗  longer name  3",
    ]
    assert markup.count("<tr>") == 3 and "one<br>two" in markup
    assert show.table(("a",), [])[0] == "a\n-"


def test_a_line_has_its_state_title_and_note():
    assert show.line("ok", "it is so", "applied")[0] == "✓ it is so ‹applied›"
    assert show.line("failed", "it is so")[0] == "✗ it is so"


def test_long_output_is_cut_to_head_tail_and_what_looks_like_trouble():
    lines = [f"line {n}" for n in range(1000)]
    lines[500] = "E: Unable to locate package"
    short = show.summary(lines).splitlines()
    assert (
        len(short) < 25
        and short[0] == "line 0"
        and short[-1] == "line 999"
        and "E: Unable to locate package" in short
        and "988 lines" in short[6]
    )
    assert show.summary(lines[:10]) == "\n".join(lines[:10]) and show.summary([]) == ""
    assert len(show.summary([f"error {n}" for n in range(1000)]).splitlines()) < 25


def test_details_show_the_commands():
    assert "$ apt-get install x" in show.log_details(["apt-get install x"], []) and show.log_details([], []) == ""


def test_outside_of_a_notebook_it_is_printed(capsys):
    show.display(*show.line("ok", "it is so"))
    assert capsys.readouterr().out == "✓ it is so\n"
