"""Projects of others are named before remove takes them, whether Label Studio runs or not."""

import sqlite3

import pytest

from helpers.components.label_studio import service


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Label Studio's SQLite file with these projects, its tables' names those of 1.0.1 and 1.23.2."""
    monkeypatch.setattr(service, "DATA", str(tmp_path))

    def make(*titles):
        with sqlite3.connect(tmp_path / "label_studio.sqlite3") as db:
            db.execute("create table project (id integer primary key, title varchar(50))")
            db.executemany("insert into project (title) values (?)", [(title,) for title in titles])
        return tmp_path / "label_studio.sqlite3"

    return make


def ask(bash, title="fmnist", **of):
    return bash(service.no_projects_but(title, **of), "")


def test_none_but_ours(bash, database):
    assert ask(bash) == (0, ""), "nothing is installed"
    database("fmnist")
    assert ask(bash) == (0, "")


def test_others_are_named_and_the_file_stays_as_it_is(bash, database):
    path = database("fmnist", "Ann's birds", "fmnist 2")
    before = path.read_bytes()
    assert ask(bash) == (1, "found: projects Ann's birds, fmnist 2")
    assert path.read_bytes() == before


def test_what_1_0_1_made_beside_its_user_is_nobodys_while_it_is_empty(bash, database):
    """tests/recordings/label-studio-1.0.md: `init` makes the user with a project, and earlier installs left it."""
    path, empty = database("fmnist"), "<View></View>"
    rows = [(2, "runbook", empty), (3, "runbook 0123abcd", empty), (4, "runbook", "<View>a</View>")]
    rows += [(5, "runbook", empty), (6, "runbook of Ann", empty)]
    with sqlite3.connect(path) as db:
        db.execute("alter table project add column label_config text")
        db.execute("create table task (id integer primary key, project_id integer)")
        db.executemany("insert into project values (?, ?, ?)", rows[:2])
    assert ask(bash, old=True) == (0, "")
    assert ask(bash) == (1, "found: projects runbook, runbook 0123abcd"), "later versions make none"
    for row, named in [(rows[2], "runbook"), (rows[3], "runbook"), (rows[4], "runbook of Ann")]:
        with sqlite3.connect(path) as db:
            db.execute("delete from project where id > 3")
            db.execute("insert into project values (?, ?, ?)", row)
            db.execute("insert into task (project_id) values (5)")
        assert ask(bash, old=True) == (1, "found: projects " + named), row


def test_a_database_without_tables_has_none(bash, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "DATA", str(tmp_path))
    sqlite3.connect(tmp_path / "label_studio.sqlite3").execute("pragma user_version = 1")
    assert ask(bash) == (0, "")


def test_a_file_that_is_no_database_may_hold_anything(bash, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "DATA", str(tmp_path))
    (tmp_path / "label_studio.sqlite3").write_text("no database at all, but long enough to be read as one" * 20)
    code, said = ask(bash)
    assert code == 1 and "cannot tell what is in" in said
