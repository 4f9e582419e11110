"""What PostgreSQL says of roles and rules, as chapter 06 shows it: changed by hand, it is drift and no failure."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from helpers.components.postgres import psql

RULE = ("rule for", "database", "role", "from", "by")
ROLE = ("role", "may", "is in", "owns")

_RULES, _ROLES = (Path(__file__).with_name(f"postgres_{name}.sql").read_text("utf-8") for name in ("rules", "roles"))


def rules(db):
    """Rows of pg_hba.conf in the order in which the server looks: the first that fits decides. db: a Postgres."""
    found = [line.split("|") for line in db.ch.run(psql(db.port, _RULES)).splitlines()]
    return [(*who, address + _bits(mask), method) for *who, address, mask, method in found]


def _bits(mask):
    return "/{}".format(bin(int(ipaddress.ip_address(mask))).count("1")) if mask else ""


def roles(db, names):
    """Rows of these roles, and of whoever else is a superuser, by name."""
    ours = ", ".join(f"'{name}'" for name in names)  # why_bad_names has seen them: no quote is in one
    lines = db.ch.run(psql(db.port, _ROLES.replace("OURS", ours))).splitlines()
    return [line.split("|") for line in lines]
