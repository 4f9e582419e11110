"""What Label Studio is called on the host, where it lies there, and where this room keeps the files for it."""

from __future__ import annotations

from pathlib import Path

UNIT, USER = "label-studio", "label-studio"
VENV, DATA, SETTINGS = "/opt/label-studio", "/var/lib/label-studio", "/etc/default/label-studio"
#: on PostgreSQL: the database and its role
DATABASE = "labelstudio"
#: shell scripts, the unit and the settings, beside this module
HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
