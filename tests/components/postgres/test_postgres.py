"""PostgreSQL's steps and proofs, on a real server of this machine where there is one."""

import ipaddress
import os
import shlex
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest
import stand_in

from helpers.components import postgres, postgres_cluster, postgres_state
from helpers.components.label_studio.service import no_projects_but
from helpers.components.postgres import Postgres, Proofs
from helpers.components.postgres_cluster import has_port, main_cluster, newest
from helpers.core import notes
from helpers.core.errors import Unmet
from helpers.core.host import Host
from helpers.core.ssh import free_port
from helpers.core.waiting import wait

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=Path()).parent
needs_a_server = pytest.mark.skipif(
    not (PROGRAMS / "initdb").exists() or os.getuid() != 0, reason="PostgreSQL's own programs and root are needed"
)


class Server:
    """A PostgreSQL of the tests' own, run as the user postgres, its socket where psql looks for it."""

    def __init__(self, folder, encoding=("-E", "UTF8")):
        self.data, self.port = folder / "data", free_port()
        self._as_postgres("initdb", "-D", self.data, "--auth-local=peer", "--auth-host=scram-sha-256", *encoding)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            command = ["runuser", "-u", "postgres", "--", PROGRAMS / "postgres", "-D", self.data, "-p", str(self.port)]
            self.process = subprocess.Popen(command, stderr=log)
        wait("PostgreSQL", lambda: self.sql("select 1") == "1\n", every=0.1)

    def _as_postgres(self, program, *words):
        subprocess.run(["runuser", "-u", "postgres", "--", PROGRAMS / program, *words], check=True, capture_output=True)

    def sql(self, text):
        command = ["runuser", "-u", "postgres", "--", "psql", "-p", str(self.port), "-AtXqc", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def rules(self, text):
        """Put a new pg_hba.conf in force; returns the one of before."""
        file = self.data / "pg_hba.conf"
        before = file.read_text()
        file.write_text(text)
        self.sql("select pg_reload_conf()")
        return before

    def stop(self):
        self._as_postgres("pg_ctl", "-D", self.data, "stop", "-m", "immediate")
        self.process.wait(timeout=30)


@pytest.fixture(scope="module")
def server():
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    shutil.chown(folder, "postgres")
    running = Server(folder)
    yield running
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture
def db(server, own_home):
    ch = stand_in.opened("postgres")
    ch.host.require_root()
    return Postgres(ch, server.port)


@pytest.fixture
def made(db, server):
    """A database that the step made, with the kept row; dropped again."""
    action = db.database("label_studio", drop=True)
    action.apply()
    db.kept_row("label_studio").apply()
    yield Proofs(db, "label_studio", "")
    db.ch.host.run(action.undo)


@needs_a_server
def test_a_cluster_made_with_no_language_keeps_text_as_well(own_home):
    """/etc/default/locale with LANG=C: initdb chooses SQL_ASCII, and text came back as bytes."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    shutil.chown(folder, "postgres")
    server = Server(folder, ["--locale=C"])
    try:
        assert server.sql("show server_encoding") == "SQL_ASCII\n"
        ch = stand_in.opened("postgres")
        ch.host.require_root()
        db = Postgres(ch, server.port)
        db.database("runbook").apply()
        db.kept_row("runbook").apply()
        assert db.keeps("runbook")
        with db.connect("runbook") as connection:
            assert connection.execute("show server_encoding").fetchone() == ("UTF8",)
    finally:
        server.stop()
        shutil.rmtree(folder)


@needs_a_server
def test_a_server_that_logs_every_statement_logs_no_password(db, server):
    server.sql("alter system set log_statement = 'all'")
    server.sql("select pg_reload_conf()")
    action = db.database("logged", drop=True)
    wait("the log", lambda: (server.sql("select 'told'"), "told" in server.log.read_text())[1], every=0.1)
    action.apply()
    server.sql("alter system reset log_statement")
    server.sql("select pg_reload_conf()")
    log = server.log.read_text()
    assert 'alter role "logged" login password' in log
    assert db.ch.secret("postgres-logged").reveal() not in log
    assert action.probe() is None, "and it gets in with the password"
    db.ch.host.run(action.undo)


@pytest.mark.parametrize("password", ["a" * 8, "z9!#%()*+,./:;=?@^_{|}~[]-" * 3])
@needs_a_server
def test_a_verifier_is_of_its_password_alone(db, server, password):
    server.sql(f"create role verified login password '{postgres.verifier(password)}'")
    server.sql("create database verified")
    try:
        db.connect("verified", password).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            db.connect("verified", password[:-1] + "b")
    finally:
        server.sql("drop database verified")
        server.sql("drop role verified")


@needs_a_server
def test_a_database_is_made_once_and_dropped_only_where_remove_is_meant_to(db, server):
    action = db.database("new", drop=True)
    with pytest.raises(psycopg.OperationalError):
        action.probe()
    assert db.ch.host.ask(action.absent).ok
    action.apply()
    assert action.probe() is None and not db.ch.host.ask(action.absent).ok
    owner = (
        "select rolname, left(rolpassword, 13) from pg_database d join pg_authid a on a.oid = d.datdba where datname"
    )
    assert server.sql(f"{owner} = 'new'") == "new|SCRAM-SHA-256\n"
    server.sql("alter role new password 'of-somebody-else'")
    with pytest.raises(psycopg.OperationalError):
        action.probe()
    action.apply()
    assert action.probe() is None, "the role and the database were there; the password is ours again"
    db.ch.host.run(action.undo)
    assert db.ch.host.ask(action.absent).ok and db.database("new").undo is None


@needs_a_server
def test_a_role_that_was_here_has_its_own_password_again_and_its_database_stays(
    db, server, program, monkeypatch, tmp_path
):
    """The chapter set a password for whoever had the name, and remove dropped both."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    program("pg_lsclusters", f"echo '15 tried {server.port} online postgres {server.data} /log'")
    server.sql("create role theirs login password 'of-theirs'; ")
    server.sql("create database theirs owner theirs")
    verifier = server.sql("select rolpassword from pg_authid where rolname = 'theirs'")
    things = [f"database {server.port}/theirs", f"role {server.port}/theirs"]
    try:
        install = stand_in.opened("postgres", "install")
        assert install.own.first_sight(things) == "was here before: " + ", ".join(things)
        assert install.own.first_sight(things, adopt=True) is None
        _made_theirs(install, server)
        install.verdict()
        assert server.sql("select rolpassword from pg_authid where rolname = 'theirs'") != verifier
        assert "runbook_proof" in _tables(db)
        remove = stand_in.opened("postgres", "remove")
        remove.own.first_sight(things)
        _made_theirs(remove, server)
        remove.verdict()
        assert server.sql("select rolpassword from pg_authid where rolname = 'theirs'") == verifier
        assert _tables(db) == [] and not (tmp_path / "state").exists()
    finally:
        server.sql("drop database theirs")
        server.sql("drop role theirs")


@pytest.mark.parametrize(
    "there, installed, left",
    [
        ([], [], None),
        (["etc/postgresql/13/main/pg_hba.conf", "var/lib/postgresql/13/main/PG_VERSION"], ["13", "common"], None),
        (["var/lib/postgresql/13/main/PG_VERSION"], ["15", "common"], "/var/lib/postgresql/13/main"),
        (["etc/postgresql/13/main/pg_hba.conf"], [], "/etc/postgresql/13/main"),
        (["etc/postgresql-common/createcluster.conf"], [], "/etc/postgresql-common/createcluster.conf"),
        (["etc/postgresql-common/createcluster.conf"], ["common"], None),
        (["var/lib/postgresql/.psql_history"], [], None),
        (["etc/postgresql-common/user_clusters"], ["psql"], None),
        (["etc/postgresql-common/user_clusters"], [], "/etc/postgresql-common/user_clusters"),
    ],
)
def test_what_an_uninstalled_postgresql_left_is_told(tmp_path, program, there, installed, left):
    """Adopted, it was the new server's, and went when remove purged that."""
    for file in (*there, *(f"usr/lib/postgresql/{v}/bin/postgres" for v in installed if v.isdigit())):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch(0o755)
    answers = {"common": "*Abbrev*postgresql-common)", "psql": "*Abbrev*postgresql-client-common)"}
    answers = "".join(f"{words} echo 'ii ' ;; " for name, words in answers.items() if name in installed)
    owner = "-S?/etc/postgresql-common/user_clusters) echo postgresql-client-common: /etc ;;"
    program("dpkg-query", f'case "$*" in {answers}{owner} *) exit 1 ;; esac')
    said = Host("local").ask(postgres.no_leftovers(tmp_path))
    assert (said.out, said.ok) == (
        ("", True) if left is None else (f"no such PostgreSQL is installed, and there is {tmp_path}{left}", False)
    )


@pytest.mark.parametrize("port, so", [(5432, True), (5433, False), (54, False)])
def test_a_cluster_that_was_taken_over_keeps_its_port(program, port, so):
    """On another one a database of somebody's was noted as ours, and remove dropped it."""
    clusters = "13 main 5433 online postgres /data /log\\n15 main 5432 online postgres /data /log\\n"
    program("pg_lsclusters", f"printf '{clusters}'")
    said = Host("local").ask(has_port("15", port))
    assert (said.ok, said.out) == ((True, "") if so else (False, "its port is 5432"))


def _made_theirs(ch, server):
    theirs = Postgres(ch, server.port)
    ch.step("database theirs exists", theirs.database("theirs", drop=True))
    ch.step("the proof row is there", theirs.kept_row("theirs"))


def _tables(db):
    return db.ch.run(
        postgres.psql(db.port, "select tablename from pg_tables where schemaname = 'public'", "theirs")
    ).split()


@needs_a_server
def test_a_server_that_is_stopped_is_no_proof_that_the_database_is_gone(db):
    """[ -z "$(psql ...)" ] held when psql could not connect."""
    ok, said = db.ch.host.ask(Postgres(db.ch, free_port()).database("x", drop=True).absent)
    assert not ok and said.endswith("PostgreSQL does not answer")


FIRST_LINE = "# Written by the runbook, chapter 06. Changes made here are undone by the next install.\n"


def test_what_an_older_runbook_installed_is_known_by_its_settings(db, tmp_path):
    def older(noted="", history="false"):
        lent = f"export NOTED={noted}\nbrought_by_us() {{ {history}; }}\n"
        return db.ch.host.ask(lent + postgres.made_by_older(str(tmp_path))).ok

    assert not older() and older(history="true")
    rules = tmp_path / "15" / "main" / "pg_hba.conf"
    rules.parent.mkdir(parents=True)
    rules.write_text("local all all peer\n")
    assert not older()
    rules.write_text(FIRST_LINE)
    assert older() and not older(noted="yes")


@needs_a_server
def test_label_studios_projects_in_postgresql_are_asked_for(db, server):
    def ask(port=server.port, **of):
        return db.ch.host.ask(no_projects_but("fmnist", port, **of))

    assert ask().ok, "no database of Label Studio's"
    server.sql("create database labelstudio")
    try:
        assert ask().ok, "no tables yet"
        rows = "create table project (id int, title text); insert into project values (1, 'fmnist'), (2, 'birds')"
        db.ch.run(postgres.psql(server.port, rows, "labelstudio"))
        assert ask() == (False, "found: projects birds")
        rows = """create table task (id int, project_id int); alter table project add column label_config text;
            update project set title = 'runbook', label_config = '<View></View>' where id = 2"""
        db.ch.run(postgres.psql(server.port, rows, "labelstudio"))
        assert ask() == (False, "found: projects runbook") and ask(old=True).ok, "1.0.1 made it beside its user"
        assert "cannot tell: PostgreSQL does not answer" in ask(free_port()).out
    finally:
        server.sql("drop database labelstudio")


def test_the_password_does_not_travel_and_its_verifier_on_standard_input_only(monkeypatch, own_home):
    heard = []
    ch = stand_in.chapter(monkeypatch, "postgres", lambda script, stdin: heard.append((script, stdin)) or "", "install")
    Postgres(ch, 5432).database("runbook").apply()
    password = ch.secret("postgres-runbook").reveal()
    (asked, _), (script, stdin) = heard
    assert "/secrets" in asked and password not in asked, "which secrets are installed"
    assert password not in script + stdin and "SCRAM" not in script
    assert "login password 'SCRAM-SHA-256$4096:" in stdin


@needs_a_server
def test_the_kept_row_is_made_once_and_read_back(db, made):
    action = db.kept_row("label_studio")
    assert action.probe() is None and made.kept() is None
    with db.connect("label_studio") as link:
        link.execute("delete from runbook_proof")
    assert "missing" in action.probe()
    with pytest.raises(Unmet):
        made.kept()
    with db.connect("label_studio") as link:
        link.execute("drop table runbook_proof")
    assert "does not exist" in action.probe()
    action.apply()
    assert action.probe() is None


@needs_a_server
def test_rows_come_back_and_a_wrong_password_does_not_get_in(made, server):
    made.roundtrip()
    made.wrong_password_is_refused()
    kept = server.rules("local all postgres peer\nhost all all 127.0.0.1/32 trust\n")
    try:
        wait("the new rules", lambda: made.db.connect("label_studio", "any").close() is None, every=0.1)
        with pytest.raises(Unmet, match="refused") as e:
            made.wrong_password_is_refused()
        assert e.value.saw == "it was let in"
        with pytest.raises(Unmet) as e:
            made.rules_are_narrow()
        assert e.value.saw == "line 2 uses trust"
    finally:
        server.rules(kept)


class _Impostor(socketserver.StreamRequestHandler):
    """Speaks as much of the protocol as it takes to ask for the password in clear."""

    def _message(self):
        return self.rfile.read(int.from_bytes(self.rfile.read(4), "big") - 4)

    def handle(self):
        start = self._message()
        while start[:2] == b"\x04\xd2":  # it wants TLS or GSSAPI
            self.wfile.write(b"N")
            start = self._message()
        if not start:
            return
        self.wfile.write(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))
        if self.rfile.read(1):
            self.server.heard.append(self._message().rstrip(b"\0").decode())
        error = b"SFATAL\0C28000\0Mno pg_hba.conf entry for you\0\0"
        self.wfile.write(b"E" + (len(error) + 4).to_bytes(4, "big") + error)


def test_a_host_that_is_this_machine_is_not_asked_from_outside(monkeypatch, own_home):
    """From its own loopback a rule asks for a password."""
    ch = stand_in.chapter(monkeypatch, "postgres", lambda script, stdin: "", "install")
    assert Proofs(Postgres(ch, 5432), "runbook", "").outside_is_refused().startswith("left out: 127.0.0.1")


class _FullQueue(socketserver.ThreadingTCPServer):
    """It drops what comes after a first connection, until it serves."""

    request_queue_size, daemon_threads = 0, True


@pytest.mark.parametrize("slow", [0, 5.1])
def test_whoever_answers_at_the_hosts_address_is_told_no_password(monkeypatch, own_home, slow):
    monkeypatch.setattr(postgres, "why_left_out", lambda address: None)
    ch = stand_in.chapter(monkeypatch, "postgres", lambda script, stdin: "", "install")
    with (
        _FullQueue(("127.0.0.1", 0), _Impostor) as impostor,
        socket.create_connection(impostor.server_address),
    ):
        impostor.heard = []
        threading.Timer(slow, impostor.serve_forever, (0.02,)).start()
        assert (
            Proofs(Postgres(ch, impostor.server_address[1]), "runbook", "").outside_is_refused() == "refused by pg_hba"
        )
        impostor.shutdown()
    assert impostor.heard == ["not-the-password"] != [ch.secret("postgres-runbook").reveal()]


def test_whoever_took_the_servers_port_is_told_no_password_in_clear(monkeypatch, own_home):
    db = Postgres(stand_in.chapter(monkeypatch, "postgres", lambda script, stdin: "", "install"), 5432)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Impostor) as impostor:
        impostor.heard, impostor.daemon_threads = [], True
        threading.Thread(target=impostor.serve_forever, args=(0.02,), daemon=True).start()
        with pytest.raises(psycopg.OperationalError, match="scram-sha-256"):
            db.connect("runbook", port=impostor.server_address[1])
        impostor.shutdown()
    assert impostor.heard == []


@needs_a_server
def test_one_password_as_md5_is_told(made, server):
    made.passwords_are_scram()
    server.sql("create role old password 'md5" + "0" * 32 + "'")
    try:
        with pytest.raises(Unmet) as e:
            made.passwords_are_scram()
        assert e.value.saw == "MD5 for old"
    finally:
        server.sql("drop role old")


@needs_a_server
def test_the_rules_of_the_server_are_read_and_those_that_it_cannot_read_are_told(made, server):
    made.rules_are_narrow()
    kept = server.rules("local all postgres peer\nhost all all 10.1.0.0/16 scram-sha-256\nhost all all nonsense\n")
    try:
        with pytest.raises(Unmet) as e:
            Proofs(made.db, "label_studio", "10.1.0.0/16").rules_are_narrow()
        assert e.value.expected == "rules for this machine and 10.1.0.0/16 only" and e.value.saw.startswith("line 3: ")
        with pytest.raises(Unmet) as e:
            made.rules_are_narrow()
        assert e.value.saw.startswith("line 2 lets in 10.1.0.0; line 3: ")
    finally:
        server.rules(kept)


@needs_a_server
def test_roles_are_told_by_what_may_be_changed_of_them(made, server):
    assert postgres_state.roles(made.db, ["label_studio"]) == [
        ["label_studio", "log in", "", "label_studio"],
        ["postgres", ", ".join(["log in", "everything: superuser", *_OF_POSTGRES]), "", ""],
    ]
    server.sql("alter role label_studio createdb; create role theirs superuser; grant pg_monitor to label_studio")
    try:
        found = {role: rest for role, *rest in postgres_state.roles(made.db, ["label_studio"])}
        assert found["label_studio"] == ["log in, make databases", "pg_monitor", "label_studio"]
        assert found["theirs"] == ["everything: superuser", "", ""]
    finally:
        server.sql("alter role label_studio nocreatedb; drop role theirs; revoke pg_monitor from label_studio")


@needs_a_server
def test_rules_are_told_in_the_order_in_which_the_server_looks(made, server):
    lines = ["local all postgres peer", "host a,b all 10.1.0.0/16 scram-sha-256", "host all all ::1/128 md5"]
    kept = server.rules("\n".join(lines) + "\n")
    try:
        found = postgres_state.rules(made.db)
        assert [" ".join(filter(None, row)) for row in found] == lines
        server.rules("\n".join([*lines[::-1], "host all all nonsense"]) + "\n")
        *rules, broken = postgres_state.rules(made.db)
        assert rules == found[::-1] and broken == ("", "", "", "", "end-of-line before authentication method")
    finally:
        server.rules(kept)


_OF_POSTGRES = ["make databases", "make roles", "replicate", "pass row security"]


def _with(clusters, probe):
    """The probe where pg_lsclusters prints this, or is not there (None)."""
    if clusters is None:
        return "command() { return 1; }\n" + probe
    return f"pg_lsclusters() {{ printf '%s\\n' {shlex.quote(clusters)}; }}\n" + probe


@pytest.fixture
def clusters(server):
    """The line of pg_lsclusters that is the tests' own server's."""
    return f"15 tried {server.port} online postgres {server.data} /log"


@needs_a_server
def test_databases_of_others_are_seen_in_every_cluster(db, made, clusters):
    ask = db.ch.host.ask
    assert ask(_with(clusters, postgres.no_databases_but(["mine"]))) == (False, "found: label_studio")
    assert (
        ask(_with("14 gone 1 down postgres /no/such /log\n" + clusters, postgres.no_databases_but(["mine"])))[0]
        is False
    )
    assert ask(_with(clusters, postgres.no_databases_but(["mine", "label_studio"]))).ok
    assert ask(_with(clusters, postgres.no_databases_but(["label.studio"]))) == (False, "found: label_studio"), (
        "no pattern"
    )
    assert ask(_with("", postgres.no_databases_but(["mine"]))).ok, "no cluster, no databases"


@needs_a_server
def test_tables_in_the_database_postgres_are_somebodys_data(db, made, server, clusters):
    server.sql("create table orders ()")
    try:
        ok, said = db.ch.host.ask(_with(clusters, postgres.no_databases_but(["label_studio"])))
        assert not ok and said == "found: tables in the database postgres"
    finally:
        server.sql("drop table orders")


@needs_a_server
def test_a_cluster_that_cannot_be_asked_stops_remove_unless_remove_took_it_down(db, server, clusters):
    ask, probe = db.ch.host.ask, postgres.no_databases_but(["label_studio"])
    shut = clusters.replace(f" {server.port} ", f" {free_port()} ")
    ok, said = ask(_with(shut, probe))
    assert not ok and "the cluster 15 tried cannot be asked on port" in said and said.endswith("it is online")
    assert ask(_with(shut.replace("online", "down"), probe)).ok, "it has no pg_hba.conf in /etc"
    assert ask(_with(shut.replace(str(server.data), "/no/such"), probe)).ok, "its data are gone"
    assert not ask(_with("15 tried 1 down <unknown>", probe)).ok
    assert not ask("pg_lsclusters() { return 1; }\n" + probe).ok


@pytest.mark.parametrize(
    "row, why",
    [
        ("1 local   peer ", None),
        ("2 host 127.0.0.1 255.255.255.255 scram-sha-256 ", None),
        ("3 host ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff md5 ", None),
        ("4 host 10.1.0.0 255.255.0.0 scram-sha-256 ", None),
        ("5 host 10.1.0.0 255.255.0.0 md5 ", "line 5 uses md5"),
        ("6 host 10.0.0.0 255.0.0.0 scram-sha-256 ", "line 6 lets in 10.0.0.0"),
        ("7 host all  scram-sha-256 ", "line 7 lets in all"),
        ("8 host samehost  scram-sha-256 ", None),
        ("9 local   trust ", "line 9 uses trust"),
        ("10     end-of-line before IP address", "line 10: end-of-line before IP address"),
    ],
)
def test_a_rule_is_held_against_the_networks_that_may_come_in(row, why):
    assert postgres._why_wide(row, [*postgres.LOOPBACK, ipaddress.ip_network("10.1.0.0/16")]) == why


def test_networks_and_names_are_looked_at_before_anything_is_touched():
    assert postgres.why_too_wide("") is None and postgres.why_too_wide("10.1.0.0/16") is None
    assert postgres.why_too_wide("10.0.0.0/8") == "10.0.0.0/8 holds over 65,536 addresses"
    assert postgres.why_none_named(["a"]) is None and postgres.why_none_named([]) == "the list is empty"
    assert postgres.why_too_wide("fd00::/48") is None
    assert postgres.why_too_wide("2001::/16") == "2001::/16 is wider than a site's /48"
    assert postgres.why_bad_names(["runbook", "a-2"]) is None
    assert postgres.why_bad_names(["a", "label_studio", "_x", "x" * 63]) is None
    assert postgres.why_bad_names(["a", "Label"]).startswith("'Label' has others")
    assert postgres.why_bad_names(["x" * 64]).endswith("more than 63 of them")
    assert postgres.why_bad_names(["pg_mine"]).startswith("pg_mine is PostgreSQL's own")
    assert postgres.why_bad_names(["a-b", "a_b"]) == "a-b and a_b differ in - and _ only"
    assert postgres.why_bad_names(["postgres"]).startswith("postgres is PostgreSQL's own")


@pytest.mark.parametrize(
    "clusters, port, says",
    [
        ("15 main 5432 online", 5432, ""),
        ("13 main 5432 online\n15 main 5433 online", 5433, ""),
        ("13 main 5432 online\n15 main 5433 online", 5434, ""),
        ("13 main 5432 online\n15 main 5433 online", 5432, "port 5432 is that of the cluster 13/main; "),
        ("15 main 5432 online\n15 shop 5433 down", 5433, "port 5433 is that of the cluster 15/shop; "),
    ],
)
def test_our_port_is_not_written_into_one_cluster_while_another_has_it(tmp_path, clusters, port, says):
    """15/main was restarted on 13/main's port, and was down until remove."""
    for line in clusters.splitlines():
        (tmp_path / line.split()[0]).mkdir(exist_ok=True)
    done = Host("local").ask(_with(clusters, postgres_cluster.no_other_cluster_on(port, tmp_path)))
    assert done == (not says, says and says + "the chapter sets up 15/main")


@pytest.mark.parametrize(
    "note, port, says",
    [
        ("determined", 5432, ""),
        ("determined", 5433, "chapter determined has its database on port 5432"),
        ("postgres", 5433, ""),
        ("minio", 5433, ""),
    ],
)
def test_the_port_stays_while_another_chapters_database_is_noted_on_it(tmp_path, note, port, says):
    """Its remove looked on the old port, found nothing, and forgot the database."""
    (tmp_path / "15").mkdir()
    things = {"minio": ("bucket", "detai")}.get(note, ("database", "5432/determined"))
    line = '{{"kind": "{}", "name": "{}", "before": "away"}}'.format(*things)
    (tmp_path / f"{note}.json").write_text('{"chapter": "x", "things": [\n' + line + "\n]}\n")
    probe = postgres_cluster.no_chapter_on_another_port(port, tmp_path, tmp_path)
    assert Host("local").ask(_with("13 main 5431 online\n15 main 5432 online", probe)) == (not says, says)
    assert Host("local").ask(_with("13 main 5431 online", probe)) == (True, "")


def test_without_a_folder_of_clusters_every_port_is_free(tmp_path):
    """postgresql-common without a server, as pgbouncer brings it: the probe ended without a word."""
    for probe in (postgres_cluster.no_chapter_on_another_port, postgres_cluster.no_other_cluster_on):
        assert Host("local").ask(_with("", probe(5432, tmp_path / "away"))) == (True, "")


def test_a_database_of_somebodys_in_our_server_is_none_of_ours(monkeypatch, own_home):
    """Named in a later install with adopt, it went with the server."""
    ch = stand_in.chapter(monkeypatch, "postgres", lambda script, stdin: "", mode="remove")
    monkeypatch.setattr(ch.own, "was_before", lambda thing: thing == "database 5432/models")
    assert postgres_cluster.made_here(ch, 5432, ["runbook", "models"]) == ["runbook"]


#: PostgreSQL's folders as a host has them where its package made no cluster; in a mount namespace of its own
_NO_CLUSTER = """for folder in /etc/postgresql /var/lib/postgresql /var/log/postgresql /run/postgresql; do
  mkdir -p $folder; mount -t tmpfs -o mode=1777 none $folder
done
"""


def _on_such_a_host(script):
    """(exit code, what it printed)."""
    command = ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", _NO_CLUSTER + script]
    env = dict(os.environ, LC_ALL="C.UTF-8", PG_CLUSTER_CONF_ROOT="/etc/postgresql")  # which keeps systemctl out of it
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    return done.returncode, done.stdout + done.stderr


class _Asked:
    """A chapter whose host is such a one, after some more was done to it."""

    def __init__(self, more):
        self.more = more

    def run(self, script):
        return _on_such_a_host(self.more + script)[1]


@needs_a_server
def test_the_version_is_the_servers_where_there_is_no_cluster():
    """The package made none: the settings went to /etc/postgresql/VERSION/main, and nothing read them."""
    ours = PROGRAMS.parent.name
    assert newest(_Asked("mkdir -p /etc/postgresql/VERSION/main\n")) == ours
    assert newest(_Asked("mkdir -p /etc/postgresql/{9.6,11}/main\n")) == "11"


@needs_a_server
@pytest.mark.parametrize("left", ["VERSION", PROGRAMS.parent.name])
def test_a_cluster_is_made_where_the_package_made_none_and_goes_with_remove(left):
    version = PROGRAMS.parent.name
    action = main_cluster(version)
    rest = f"""mkdir -p /etc/postgresql/{left}/main/conf.d
cd /etc/postgresql/{left}/main
echo '{FIRST_LINE.strip()}' | tee pg_hba.conf > conf.d/runbook.conf
cd /
"""
    made = f"""({action.probe}) && exit 9
{action.apply}
({action.probe})
grep -q "^lc_messages = 'C.UTF-8'" /etc/postgresql/{version}/main/postgresql.conf
[ -e /var/lib/postgresql/{version}/main/PG_VERSION ] && [ ! -e /etc/postgresql/VERSION ]
pg_ctlcluster {version} main start
"""
    gone = f"""{action.undo}
! pg_lsclusters -h | grep .
[ ! -e /etc/postgresql/{version}/main ] && [ ! -e /var/lib/postgresql/{version}/main ]
{action.undo}
echo all of it
"""
    code, said = _on_such_a_host(rest + made + gone)
    assert code == 0 and said.endswith("all of it\n"), said
    assert action.makes == [f"place /etc/postgresql/{version}/main", f"place /var/lib/postgresql/{version}/main"]
