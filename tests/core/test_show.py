"""What a cell shows: text, safe HTML, and comparable: install and verify look the same, a changed fact does not."""

import re
import tracemalloc

import pytest
from nbval.plugin import get_sanitize_patterns

from helpers.command.drift import RULES
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
    details = show.log_details(["apt-get install x"], show.Output(["a", "b"] * 40))
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
        show.line("ok", evil, evil, show.log_details([evil], show.Output([evil])))[1],
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
    short = show.Output(lines).summary().splitlines()
    assert (
        len(short) < 25
        and short[0] == "line 0"
        and short[-1] == "line 999"
        and "E: Unable to locate package" in short
        and "988 lines" in short[6]
    )
    assert show.Output(lines[:10]).summary() == "\n".join(lines[:10]) and show.Output().summary() == ""
    assert len(show.Output([f"error {n}" for n in range(1000)]).summary().splitlines()) < 25


@pytest.mark.parametrize("many", (0, 1, 12, 19, 20, 21, 26, 27, 300))
def test_every_line_is_shown_once_or_counted(many):
    lines = [f"{n} error" if n % 3 == 0 else str(n) for n in range(many)]
    shown = show.Output(lines).summary().splitlines()
    if many <= 20:
        assert shown == lines
    else:
        suspects = [text for text in lines[6:-6] if "error" in text][:8]
        note = f"... {many - 12} lines, the whole is in the log, among them:"
        assert shown == [*lines[:6], note, *suspects, *lines[-6:]]


def test_output_takes_no_more_memory_the_longer_it_is():
    tracemalloc.start()
    output = show.Output(f"error {n} " + "x" * 1000 for n in range(20000))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 200_000 and output.count == 20000


def test_a_line_without_end_is_cut():
    shown = show.Output(["x" * 10_000_000, "short"]).summary()
    assert len(shown) < 3000 and shown.endswith(" ... the whole is in the log\nshort")


def test_details_show_the_commands():
    assert (
        "$ apt-get install x" in show.log_details(["apt-get install x"], show.Output())
        and show.log_details([], show.Output()) == ""
    )


def test_outside_of_a_notebook_it_is_printed(capsys):
    show.display(*show.line("ok", "it is so"))
    assert capsys.readouterr().out == "✓ it is so\n"
