"""PostgreSQL as a chapter sets it up and proves it: psql on the host for roles, psycopg through SSH for proofs."""

from __future__ import annotations

import ipaddress
import socket

import psycopg

from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.errors import Unmet

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


class Postgres:
    """One PostgreSQL server on the target. ch: the chapter; port: on the host."""

    def __init__(self, ch, port):
        self.ch, self.port = ch, port
        self.local = ch.forward(port)

    def connect(self, name, password=None, host="127.0.0.1", port=None):
        """A psycopg connection to database `name` as the role of that name; password: a text, else the stored secret."""
        password = password or self.ch.secret("postgres-" + name).reveal()
        return psycopg.connect(
            host=host,
            port=port or self.local,
            dbname=name,
            user=name,
            password=password,
            connect_timeout=10,
            sslmode="prefer",
        )

    # -- steps ---------------------------------------------------------------------------------

    def database(self, name):
        """Action: a database and its owner, a role of the same name whose password is the secret postgres-<name>."""
        secret = self.ch.secret("postgres-" + name)  # named here, so that remove forgets it

        def done():
            with self.connect(name):
                return None

        def apply():
            # On stdin: neither the process list nor the shell's history sees it.
            self.ch.host.run(
                'psql_as() { runuser -u postgres -- psql -p %d -qX -v ON_ERROR_STOP=1 "$@"; }\n'
                "psql_as -f -\n"
                "psql_as -Atc \"select 1 from pg_database where datname = '%s'\" | grep -q 1 || "
                "runuser -u postgres -- createdb -p %d -O '%s' '%s'" % (self.port, name, self.port, name, name),
                stdin=f"do $$ begin if not exists (select from pg_roles where rolname = '{name}') then create role \"{name}\" login; end if; end $$;\n"
                f"set password_encryption = 'scram-sha-256';\nalter role \"{name}\" login password '{secret.reveal()}';\n",
                what="make the role and the database " + name,
            )

        return Action(
            [f"createuser {name}; createdb -O {name} {name}   (password: secret postgres-{name})"], done, apply
        )

    def kept_row(self, name):
        """Action: a row in the table runbook_proof that later verifications read."""

        def done():
            try:
                return None if self._kept(name) else f"the kept row is missing from {name}.runbook_proof"
            except psycopg.errors.UndefinedTable:
                return "table runbook_proof does not exist in database " + name

        def apply():
            with self.connect(name) as db:
                db.execute("create table if not exists runbook_proof (id int primary key, note text not null)")
                db.execute(
                    "insert into runbook_proof values (1, 'kept') on conflict (id) do update set note = excluded.note"
                )

        return Action(f"create table runbook_proof (...); insert one row   (database {name})", done, apply)

    # -- proofs --------------------------------------------------------------------------------

    def _kept(self, name):
        with self.connect(name) as db:
            return db.execute("select note from runbook_proof where id = 1").fetchone() == ("kept",)

    def kept(self, name):
        if not self._kept(name):
            raise Unmet("the row that install wrote", "another one, or none")

    def roundtrip(self, name):
        """Create a table, write, read back, drop; numbers and text come back as they went in."""
        rows = [(n, f"row {n} ä ✓") for n in range(1000)]
        with self.connect(name) as db:
            db.execute("create temporary table trip (id int primary key, note text)")
            with db.cursor() as cursor:
                cursor.executemany("insert into trip values (%s, %s)", rows)
            back = db.execute("select id, note from trip order by id").fetchall()
        if back != rows:
            raise Unmet(f"{len(rows)} rows as written", f"{len(back)} rows")

    def refuses_wrong_password(self, name):
        self._refused(lambda: self.connect(name, "not-the-password"), "password authentication failed")

    def _refused(self, connect, *marks):
        try:
            connect().close()
        except psycopg.OperationalError as e:
            said = str(e)
            if not any(m in said for m in marks):
                raise Unmet("refused: " + " or ".join(marks), said.split("\n")[0])
            return
        raise Unmet("refused", "it was let in")

    def passwords_are_scram(self):
        """No role keeps its password as MD5."""
        weak = self.ch.run(
            f'runuser -u postgres -- psql -p {self.port} -AtXc "select rolname from pg_authid '
            "where rolpassword is not null and rolpassword not like 'SCRAM-SHA-256%' order by 1\""
        ).split()
        if weak:
            raise Unmet("SCRAM for every role", "MD5 for " + ", ".join(weak))

    def rules_are_narrow(self, allowed):
        """No pg_hba rule lets in more than this machine itself and `allowed` (a network, or "" for none)."""
        rows = self.ch.run(
            f"runuser -u postgres -- psql -p {self.port} -AtXF ' ' -c \"select line_number, type, address, netmask, auth_method, error "
            'from pg_hba_file_rules order by 1"'
        ).splitlines()
        extra = [ipaddress.ip_network(allowed)] if allowed else []
        wide = []
        for row in rows:
            line, kind, address, mask, method, error = (row.split(" ", 5) + [""] * 6)[:6]
            if error:
                wide.append(f"line {line}: {error}")
            elif kind != "local" and not self._inside(address, mask, LOOPBACK + extra):
                wide.append(f"line {line} lets in {address}")
            elif method in ("trust", "password") or (method == "md5" and address not in ("127.0.0.1", "::1")):
                wide.append(f"line {line} uses {method}")
        if wide:
            raise Unmet("rules for this machine{} only".format(" and " + allowed if allowed else ""), "; ".join(wide))

    @staticmethod
    def _inside(address, mask, networks):
        try:
            # The view gives the mask as an address; ipaddress takes that for IPv4 only.
            net = ipaddress.ip_network("{}/{}".format(address, bin(int(ipaddress.ip_address(mask))).count("1")))
        except ValueError:
            return address == "samehost"
        return any(net.version == n.version and net.subnet_of(n) for n in networks)

    def outside_is_refused(self, allowed, name):
        """From the operator's machine straight to the host: refused unless its address is inside `allowed`. Returns what happened."""
        address = self.ch.host.address
        try:
            with socket.create_connection((address, self.port), timeout=5) as s:
                mine = ipaddress.ip_address(s.getsockname()[0])
        except OSError:
            return "no way in: the port does not answer from here"
        if allowed and mine in ipaddress.ip_network(allowed):
            return f"this machine is inside {allowed}"
        self._refused(
            lambda: self.connect(name, host=address, port=self.port), "no pg_hba.conf entry", "pg_hba.conf rejects"
        )
        return "refused by pg_hba"

    def answering(self, unit):
        """Action: the server takes connections; installing waits up to 60 s, and ends at once when the unit failed."""
        probe = (
            f"pg_isready -q -h 127.0.0.1 -p {self.port} || {{ echo 'nothing answers on port {self.port}'; exit 1; }}"
        )
        return Action(
            "wait for pg_isready",
            probe,
            lambda: self.ch.wait(
                "PostgreSQL to answer",
                lambda: self.ch.host.ask(probe).ok,
                failed=lambda: actions.why_unit_failed(self.ch.host, unit),
                timeout=60,
            ),
        )

    def survives(self, name, restart):
        restart()
        self.ch.wait("PostgreSQL to answer again", lambda: self._reconnects(name), timeout=60)
        self.kept(name)

    def _reconnects(self, name):
        try:
            with self.connect(name):
                return True
        except psycopg.OperationalError:
            return False
