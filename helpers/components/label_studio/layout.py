"""What Label Studio is called on the host, where it lies there, and where this room keeps the files for it."""

from __future__ import annotations

from pathlib import Path

UNIT, USER = "label-studio", "label-studio"
VENV, DATA, SETTINGS = "/opt/label-studio", "/var/lib/label-studio", "/etc/default/label-studio"
#: on PostgreSQL: the database and its role
DATABASE = "labelstudio"
#: 1.0.1 makes a user only together with a project: the first word of its title
FIRST_PROJECT = "runbook"
#: shell scripts, the unit and the settings, beside this module
HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
