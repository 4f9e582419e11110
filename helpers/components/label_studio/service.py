"""The service on the host: its settings, its unit, its database, and that it listens and answers where it should."""

from __future__ import annotations

from helpers.components.label_studio.layout import (
    DATA,
    DATABASE,
    FIRST_PROJECT,
    HERE,
    SCRIPTS,
    SETTINGS,
    UNIT,
    USER,
    VENV,
)
from helpers.components.label_studio.program import host_python
from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.shell import filled, script

#: exit code of scripts/listens.sh
_ELSEWHERE = 3


def no_projects_but(title, port=None, old=False):
    """A probe: there is no project but this one. A database that cannot be asked is a no.

    port: of PostgreSQL; None for SQLite.  old: it is 1.0.1's, where an install may have left projects without a task.
    """
    where = (port, DATABASE) if port else ("", DATA + "/label_studio.sqlite3")
    return script(SCRIPTS / "other_projects.sh", title, *where, FIRST_PROJECT if old else "")


class Service:
    """Label Studio as a systemd service.

    ls: its LabelStudio.  program: its Program.  gateway: the Gateway where the data lie.  postgres: a
    helpers.components.postgres.Postgres, or None for SQLite.
    """

    def __init__(self, ls, program, gateway, postgres=None):
        self.ls, self.ch, self.program, self.gateway, self.postgres = ls, ls.ch, program, gateway, postgres
        self._key = self.ch.secret("label-studio-key") if ls.old else None

    def settings(self):
        """The text of its settings: an EnvironmentFile."""
        text = filled(HERE / "label-studio.env", DATA=DATA, GATEWAY=self.gateway.url())
        if self.ls.old:
            text += f"DJANGO_SETTINGS_MODULE=runbook_settings\nLABEL_STUDIO_SECRET_KEY='{self._key}'\n"
            text += "PYTHONIOENCODING=utf-8\n"  # Python 3.6 without a locale stops at what is not ASCII
        if self.postgres:
            text += filled(
                HERE / "label-studio-postgres.env",
                PORT=self.postgres.port,
                DATABASE=DATABASE,
                PASSWORD=f"{self.ch.secret('postgres-' + DATABASE)}",  # its mark, which the file's action fills
            )
        return text

    def own_key(self):
        """Action: it signs tokens and sessions with a key of its own, that it finds again at the next start.

        1.0.1 has none.  Later versions make one, of which one in fifty cannot be read again: see has_key.sh.
        """
        if not self.ls.old:
            shown = f"SECRET_KEY in {DATA}/.env, by chance, where there is none that Label Studio can read"
            has, make = SCRIPTS / "has_key.sh", SCRIPTS / "make_key.sh"
            return Action(shown, script(has, DATA + "/.env"), script(make, DATA + "/.env", USER, UNIT))
        major, minor = host_python(self.ch, self.program.python)
        # 1.0.1 signs its sessions with a key that is the same in every installation: whoever knows it is any user.
        # It knows no LATEST_VERSION_CHECK either, which label-studio.env has for later versions.
        own = (SCRIPTS / "runbook_settings.py").read_text("utf-8")
        return self.ch.file(f"{VENV}/lib/python{major}.{minor}/site-packages/runbook_settings.py", own)

    def unit(self):
        """The text of its unit."""
        where = {"PORT": self.ls.port, "LISTEN": self.ls.listen, "VENV": VENV}
        return filled(HERE / "label-studio.service", USER=USER, SETTINGS=SETTINGS, DATA=DATA, **where)

    def database(self):
        """Action: its database and role on PostgreSQL; remove drops both."""
        return self.postgres.database(DATABASE, drop=True)

    def listens(self):
        """Action: its process listens on the port that was asked for, and on no other.

        Installing waits, also for the first start's work on the database: up to 15 minutes.
        """
        listening = script(SCRIPTS / "listens.sh", UNIT, self.ls.port)
        waiting = actions.waits(
            self.ch,
            f"wait until {UNIT} listens on port {self.ls.port}",
            "Label Studio to listen (the first start makes its database)",
            listening,
            failed=lambda: self._why_elsewhere(listening) or self.why_failed(),
            timeout=900,
        )

        def apply():
            if self._why_elsewhere(listening):  # the port is free now: it was asked before
                actions.restart(self.ch.host, UNIT)
            waiting.apply()

        return waiting.but(apply=apply)

    def _why_elsewhere(self, listening):
        said = self.ch.host.run(listening, check=False, quiet=True)
        return said.out.strip() if said.code == _ELSEWHERE else None

    def answers(self):
        """Action: GET /health/ says UP."""
        why_not, what = self.ls.why_unhealthy, "Label Studio to answer"
        return actions.waits(self.ch, "wait for GET /health/", what, why_not, failed=self.why_failed)

    def why_failed(self):
        """Why its unit has failed; None while it has not."""
        return actions.why_unit_failed(self.ch.host, UNIT)

    def restart(self):
        """Restart it, and wait until it answers again."""
        actions.restart(self.ch.host, UNIT)
        self.answers().apply()
        self.ls.forget_access()
