"""The cluster that chapter 06 sets up: which one, and made where PostgreSQL's packages made none."""

from __future__ import annotations

from pathlib import Path

from helpers.core import actions, notes
from helpers.core.actions import Action
from helpers.core.shell import script


def newest(ch):
    """The version whose cluster main the chapter sets up: the newest with a cluster, else the newest server's."""
    found = ch.run("ls /etc/postgresql 2>/dev/null | grep '^[0-9]' | sort -n | tail -1 || true").strip()
    servers = "ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | cut -d/ -f5 | sort -n | tail -1 || true"
    return found or ch.run(servers).strip() or "VERSION"


def no_other_cluster_on(port, folder="/etc/postgresql"):
    """A probe: the port is nobody's, or that of the cluster which the chapter sets up."""
    return script(Path(__file__).with_name("postgres_port.sh"), port, folder)


def no_chapter_on_another_port(port, folder="/etc/postgresql", state=notes.STATE):
    """A probe: the cluster keeps its port while another chapter has a database on it."""
    return script(Path(__file__).with_name("postgres_users_port.sh"), port, folder, state)


def made_here(ch, port, databases):
    """Those of the databases that were not here before the chapter made them."""
    return [name for name in databases if not ch.own.was_before(f"database {port}/{name}")]


def has_port(version, port):
    """A probe: this version's cluster main listens on this port. One that was taken over keeps its own."""
    listed = f'pg_lsclusters -h | awk \'$1 == "{version}" && $2 == "main" {{print $3}}\''
    return f"""found=$({listed})\n[ "$found" = {port} ] || {{ echo "its port is $found"; exit 1; }}"""


def main_cluster(version):
    """Action: this version's cluster main is there. Its package makes none where the host's locale is not generated.

    Nor where create_main_cluster is false in /etc/postgresql-common/createcluster.conf.
    """
    listed = f"pg_lsclusters -h | grep -E '^{version} +main ' >/dev/null"
    places = [f"{folder}/{version}/main" for folder in ("/etc/postgresql", "/var/lib/postgresql")]
    drop = f"! {{ {listed}; }} || pg_dropcluster --stop {version} main"
    return Action(
        f"pg_createcluster --locale C.UTF-8 {version} main   (where its package made none)",
        f"{listed} || {{ echo 'there is no cluster {version}/main'; exit 1; }}",
        script(Path(__file__).with_name("postgres_main.sh"), version),
        "\n".join([drop, *map(actions.remove_directory, places)]),
        makes=[f"place {path}" for path in places],
    )
