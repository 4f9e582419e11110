"""What /etc/gitlab/gitlab.rb says. Literals only: other Ruby is refused, as nothing here can run it."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

ROOT = Path(os.environ.get("GITLAB_DOUBLE_ROOT", "/"))  # another folder in tests
#: of nginx' own status, and of Alertmanager's gossip; others in tests
STATUS_PORT, GOSSIP_PORT = map(int, os.environ.get("GITLAB_DOUBLE_PORTS", "8060 9094").split())
FILE = ROOT / "etc/gitlab/gitlab.rb"
TEMPLATE = ROOT / "opt/gitlab/etc/gitlab.rb.template"
DATA = ROOT / "var/opt/gitlab"
LOGS = ROOT / "var/log/gitlab"
RC = ROOT / "opt/gitlab/etc/gitlab-rails/gitlab-rails-rc"
VERSION = "13.12.15"
NOT_SET = "http://gitlab.example.com"

URL = re.compile(r"external_url\s*\(?\s*(['\"].*?['\"])\s*\)?\s*(?:#.*)?$")
KEY = re.compile(r"(\w+)\[['\"](\w+)['\"]\]\s*=\s*(.+)", re.DOTALL)
WORDS = {"true": "True", "false": "False", "nil": "None", "=>": ":"}
QUOTED_OR_WORD = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|=>|\b(?:true|false|nil)\b")


class Unread(Exception):
    """A line that Ruby would perhaps run, and that this does not."""


def _literal(text: str) -> object:
    if re.search(r'"[^"]*#\{', text):
        raise ValueError(text)
    return ast.literal_eval(QUOTED_OR_WORD.sub(lambda m: WORDS.get(m.group(), m.group()), text).strip())


def _statements(text: str) -> list[str]:
    """Lines without comments; one that a bracket leaves open takes the next ones along."""
    found: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if found and found[-1].count("[") + found[-1].count("{") > found[-1].count("]") + found[-1].count("}"):
            found[-1] += "\n" + line
        else:
            found.append(line.strip())
    return found


def read() -> dict[str, object]:
    """{"external_url": …, "puma.enable": …}. Unread for a line that is no literal's."""
    said: dict[str, object] = {"external_url": NOT_SET}
    for statement in _statements(FILE.read_text()):
        url, key = URL.match(statement), KEY.match(statement)
        try:
            if url:
                said["external_url"] = str(_literal(url.group(1))).rstrip("/")
            elif key:
                said[f"{key.group(1)}.{key.group(2)}"] = _literal(key.group(3))
            else:
                raise ValueError(statement)
        except (ValueError, SyntaxError):
            raise Unread(f"{FILE}: this stand-in reads literals only, not: {statement}") from None
    return said


def with_scheme(url: str) -> str:
    return url if "://" in url else "http://" + url


def write_url(url: str) -> None:
    """EXTERNAL_URL into gitlab.rb: made of the template, or its line rewritten."""
    if not FILE.exists():
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(TEMPLATE.read_text().replace("GENERATED_EXTERNAL_URL", url or NOT_SET))
        FILE.chmod(0o600)
    elif url:
        text = re.sub(r"^external_url\b.*$", lambda _m: f"external_url '{url}'", FILE.read_text(), flags=re.M)
        FILE.write_text(text)
