"""PostgreSQL as a chapter sets it up and proves it: psql on the host for roles, psycopg through SSH for proofs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
import re
import shlex
import socket
from pathlib import Path

import psycopg

from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.errors import Unmet
from helpers.core.listening import PATIENCE, why_left_out
from helpers.core.shell import filled, script

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
_TAKEN = ("postgres", "public", "none", "template0", "template1")


def why_none_named(databases):
    """None when at least one database is named, else why not."""
    return None if databases else "the list is empty"


def why_bad_names(databases):
    """None when each name can be a database's, a role's and part of a secret's; else the first that cannot."""
    seen = {}
    for name in databases:
        if not re.fullmatch("[a-z0-9_][a-z0-9_-]{0,62}", name):
            return f"{name!r} has others than lower case letters, digits, - and _, or more than 63 of them"
        if name in _TAKEN or name.startswith("pg_"):
            return f"{name} is PostgreSQL's own: its role would get a password that works from the network"
        other = seen.setdefault(name.replace("-", "_"), name)
        if other != name:  # one variable RUNBOOK_SECRET_POSTGRES_... would be the password of both
            return f"{other} and {name} differ in - and _ only"
    return None


def why_too_wide(cidr):
    """None when a network is not wider than a /16, or in IPv6 than a /48, as one site has it (or empty); else why."""
    if not cidr:
        return None
    network = ipaddress.ip_network(cidr)
    if network.version == 6:
        return None if network.prefixlen >= 48 else f"{cidr} is wider than a site's /48"
    return None if network.prefixlen >= 16 else f"{cidr} holds over 65,536 addresses"


def no_databases_but(databases):
    """A probe: no cluster of the host has databases but these. A cluster that cannot be asked is a no."""
    return script(Path(__file__).with_name("postgres_others.sh"), *databases)


#: what its packages fill, and a purge leaves
PLACES = ["/etc/postgresql", "/etc/postgresql-common", "/var/lib/postgresql", "/var/log/postgresql"]
#: there when PostgreSQL, in whatever package, was here before the chapter
DATA = "place /var/lib/postgresql"


def things(port, databases):
    """What the chapter makes on the host, as core/ownership.py names it."""
    made = ["package postgresql", "user postgres", *(f"place {path}" for path in PLACES)]
    return made + [thing for name in databases for thing in _database_things(port, name)]


def _database_things(port, name):
    return [f"{kind} {port}/{name}" for kind in ("database", "role")]


def made_by_older(folder="/etc/postgresql"):
    """A probe: a runbook that kept no note installed PostgreSQL."""
    return script(Path(__file__).with_name("postgres_is_ours.sh"), folder)


def why_leftovers(ch):
    """None, or what an uninstalled PostgreSQL left on the host before this chapter: it is never taken over."""
    if not any(ch.own.is_theirs(f"place {path}") for path in PLACES):
        return None
    return actions.why_not_so(ch.host, no_leftovers())


def no_leftovers(root=""):
    """A probe: no packages of PostgreSQL that are not installed left anything below `root`."""
    return script(Path(__file__).with_name("postgres_leftovers.sh"), root)


def psql(port, query, database="postgres"):
    """A command of the host: the query's rows as the superuser sees them, one a line, with a space between fields."""
    return f"runuser -u postgres -- psql -p {port} -d {shlex.quote(database)} -AtXqF ' ' -c {shlex.quote(query)}"


def verifier(password):
    """What the server keeps of a password, in ASCII: sent in its place, no log of the server ever has the password.

    Its form is that of pg_authid.rolpassword; see PostgreSQL's scram-common.c and RFC 5803. psql's \\password does so.
    """
    salt, rounds = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, rounds)
    client, server = (hmac.new(salted, text, hashlib.sha256).digest() for text in (b"Client Key", b"Server Key"))
    parts = (base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *parts)


class Postgres:
    """One PostgreSQL server on the target. ch: the chapter; port: on the host."""

    def __init__(self, ch, port):
        self.ch, self.port = ch, port
        self.here, self.local = ch.until_the_verdict(ch.host.way(port))

    def connect(self, name, password=None, host=None, port=None):
        """A psycopg connection to database `name` as the role of that name. password: None for the stored secret.

        The stored one goes to nobody in clear: who took the port of a server that is stopped would ask for it so.
        """
        scram = {} if password or psycopg.pq.version() < 160000 else {"require_auth": "scram-sha-256"}
        return psycopg.connect(
            host=host or self.here,
            port=port or self.local,
            dbname=name,
            user=name,
            password=password or self.ch.secret("postgres-" + name).reveal(),
            connect_timeout=10,
            sslmode="prefer",
            client_encoding="utf8",  # a cluster made with LANG=C has SQL_ASCII: text would come back as bytes
            **scram,
        )

    def answering(self, unit):
        """Action: the server takes connections; installing waits up to 5 minutes, not for a unit that failed."""
        return actions.waits(
            self.ch,
            "wait for pg_isready",
            "PostgreSQL to answer",
            f"pg_isready -q -h 127.0.0.1 -p {self.port} || {{ echo 'nothing answers on port {self.port}'; exit 1; }}",
            failed=lambda: actions.why_unit_failed(self.ch.host, unit),
        )

    def database(self, name, drop=False):
        """Action: a database and its owner, a role of the same name whose password is the secret postgres-<name>.

        drop: remove drops both, where the server is still there.
        """
        secret = self.ch.secret("postgres-" + name)  # named here, so that remove forgets it
        ours = [kind for kind in ("database", "role") if not self._was_before(kind, name)]
        return Action(
            f"createuser {name}; createdb -O {name} {name}   (password: secret postgres-{name})",
            lambda: self.connect(name).close(),
            lambda: self._create(name, secret),
            self._drop(name, ours) if drop else None,
            "\n".join(["command -v psql >/dev/null || exit 0", *(self._is_away(kind, name) for kind in ours)]),
            makes=_database_things(self.port, name),
        )

    def _was_before(self, kind, name):
        return self.ch.own.was_before(f"{kind} {self.port}/{name}")

    def _drop(self, name, kinds):
        programs = [{"database": "dropdb", "role": "dropuser"}[kind] for kind in kinds]
        return (
            "\n".join(f"runuser -u postgres -- {program} -p {self.port} --if-exists {name}" for program in programs)
            or "true"
        )

    def _is_away(self, kind, name):
        """A probe. A server that cannot be asked is a no."""
        table, column = {"database": ("pg_database", "datname"), "role": ("pg_roles", "rolname")}[kind]
        query = f"select 1 from {table} where {column} = '{name}'"
        return f'there=$({psql(self.port, query)}) || {{ echo "PostgreSQL does not answer"; exit 1; }}\n[ -z "$there" ]'

    def _create(self, name, secret):
        # On stdin: neither the process list nor the shell's history sees it.
        self.ch.host.run(
            f"runuser -u postgres -- psql -p {self.port} -qX -v ON_ERROR_STOP=1 -f -",
            stdin=filled(
                Path(__file__).with_name("postgres_create.sql"), NAME=name, VERIFIER=verifier(secret.reveal())
            ),
            what="make the role and the database " + name,
        )

    def kept_row(self, name):
        """Action: a row in the table runbook_proof that later verifications read; it leaves a database of others."""
        theirs = self._was_before("database", name)
        ask = psql(self.port, "select to_regclass('runbook_proof')", name)
        return Action(
            f"create table runbook_proof (...); insert one row   (database {name})",
            lambda: self._why_not_kept(name),
            lambda: self._keep(name),
            psql(self.port, "drop table runbook_proof", name) if theirs else None,
            f'there=$({ask}) && [ -z "$there" ]',
        )

    def _why_not_kept(self, name):
        try:
            return None if self.keeps(name) else f"the kept row is missing from {name}.runbook_proof"
        except psycopg.errors.UndefinedTable:
            return "table runbook_proof does not exist in database " + name

    def _keep(self, name):
        with self.connect(name) as db:
            db.execute("create table if not exists runbook_proof (id int primary key, note text not null)")
            db.execute(
                "insert into runbook_proof values (1, 'kept') on conflict (id) do update set note = excluded.note"
            )

    def keeps(self, name):
        """Is the row of kept_row there?"""
        with self.connect(name) as db:
            return db.execute("select note from runbook_proof where id = 1").fetchone() == ("kept",)


class Proofs:
    """What chapter 06 proves of its server. name: of a database; allowed: a network that may connect, "" for none."""

    def __init__(self, db, name, allowed):
        self.db, self.ch, self.name, self.allowed = db, db.ch, name, allowed

    def kept(self):
        """The row that install wrote is there."""
        if not self.db.keeps(self.name):
            raise Unmet("the row that install wrote", "another one, or none")

    def roundtrip(self):
        """Create a table, write, read back, drop; numbers and text come back as they went in."""
        rows = [(n, f"row {n} ä ✓") for n in range(1000)]
        with self.db.connect(self.name) as db:
            db.execute("create temporary table trip (id int primary key, note text)")
            with db.cursor() as cursor:
                cursor.executemany("insert into trip values (%s, %s)", rows)
            back = db.execute("select id, note from trip order by id").fetchall()
        if back != rows:
            raise Unmet(f"{len(rows)} rows as written", f"{len(back)} rows")

    def wrong_password_is_refused(self):
        """Our role with another password is not let in."""
        _refused(lambda: self.db.connect(self.name, "not-the-password"), "password authentication failed")

    def passwords_are_scram(self):
        """No role keeps its password as MD5."""
        weak = self.ch.run(
            psql(
                self.db.port,
                "select rolname from pg_authid where rolpassword is not null "
                "and rolpassword not like 'SCRAM-SHA-256%' order by 1",
            )
        ).split()
        if weak:
            raise Unmet("SCRAM for every role", "MD5 for " + ", ".join(weak))

    def rules_are_narrow(self):
        """No pg_hba rule lets in more than this machine itself and the allowed network."""
        rows = self.ch.run(
            psql(
                self.db.port,
                "select line_number, type, address, netmask, auth_method, error from pg_hba_file_rules order by 1",
            )
        ).splitlines()
        networks = LOOPBACK + ([ipaddress.ip_network(self.allowed)] if self.allowed else [])
        wide = [why for why in (_why_wide(row, networks) for row in rows) if why]
        if wide:
            expected = "rules for this machine{} only".format(" and " + self.allowed if self.allowed else "")
            raise Unmet(expected, "; ".join(wide))

    def outside_is_refused(self):
        """From the operator's machine straight to the host: refused, unless its address is allowed.

        Returns what happened.
        """
        address = self.ch.host.address
        left_out = why_left_out(address)
        if left_out:
            return left_out
        try:
            with socket.create_connection((address, self.db.port), timeout=PATIENCE) as s:
                mine = ipaddress.ip_address(s.getsockname()[0])
        except OSError:
            return "no way in: the port does not answer from here"
        if self.allowed and mine in ipaddress.ip_network(self.allowed):
            return f"this machine is inside {self.allowed}"
        _refused(
            # A rule refuses before it asks: whoever answers in the server's place is told no password of ours.
            lambda: self.db.connect(self.name, "not-the-password", host=address, port=self.db.port),
            "no pg_hba.conf entry",
            "pg_hba.conf rejects",
        )
        return "refused by pg_hba"

    def survives_restart(self, unit):
        """The row is still there after a restart of the unit."""
        actions.restart(self.ch.host, unit)
        self.ch.wait("PostgreSQL to answer again", self._reconnects)
        self.kept()

    def _reconnects(self):
        self.db.connect(self.name).close()
        return True


def _refused(connect, *marks):
    try:
        connect().close()
    except psycopg.OperationalError as e:
        said = str(e)
        if not any(m in said for m in marks):
            raise Unmet("refused: " + " or ".join(marks), said.split("\n")[0]) from e
        return
    raise Unmet("refused", "it was let in")


def _why_wide(row, networks):
    """Why a row of pg_hba_file_rules lets in too much, or too easily; None when it does not."""
    line, kind, address, mask, method, error = (row.split(" ", 5) + [""] * 6)[:6]
    if error:
        return f"line {line}: {error}"
    if kind != "local" and not _inside(address, mask, networks):
        return f"line {line} lets in {address}"
    if method in ("trust", "password") or (method == "md5" and address not in ("127.0.0.1", "::1")):
        return f"line {line} uses {method}"
    return None


def _inside(address, mask, networks):
    try:
        # The view gives the mask as an address; ipaddress takes that for IPv4 only.
        net = ipaddress.ip_network("{}/{}".format(address, bin(int(ipaddress.ip_address(mask))).count("1")))
    except ValueError:
        return address == "samehost"
    return any(net.version == n.version and net.subnet_of(n) for n in networks)
