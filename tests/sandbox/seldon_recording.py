"""Owns the form of tests/recordings/seldon.md: what the real chart, operator and executor 1.7.0 made and answered."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

RECORDING = Path(__file__).resolve().parent.parent / "recordings" / "seldon.md"
TEXT = RECORDING.read_text()


def section(title: str) -> str:
    return next(part for part in re.split(r"^##+ ", TEXT, flags=re.M) if part.startswith(title))


@dataclass
class Exchange:
    """One request and its answer. A long body was cut when it was written down."""

    who: str
    title: str
    method: str
    path: str
    body: str
    status: int = 0
    headers: dict = field(default_factory=dict)
    answer: str = ""

    def __str__(self):
        return f"{self.title}: {self.method} {self.path}"


def exchanges(title: str) -> list[Exchange]:
    found = []
    for entry in re.split(r"^(?=(?:microservice|executor) \| )", section(title), flags=re.M)[1:]:
        lines = entry.rstrip("`\n").split("\n")
        who, _, name = lines[0].partition(" | ")
        asked = re.match(r"> (\S+) (\S+) ?(.*)", lines[1])
        status, _, headers = lines[2][2:].partition(" ")
        answer = "\n".join(lines[3:])[2:].replace("\\n", "\n")
        found.append(
            Exchange(
                who,
                name,
                *asked.groups(),
                int(status),
                dict(json.loads(headers or "[]")),
                "" if answer == "(empty body)" else answer,
            )
        )
    return found


def down() -> list[Exchange]:
    """What the executor answered without a model."""
    found = []
    for method, path, answer, status, kind in re.findall(
        r"^(GET|POST) (\S+)\n(.*?) ?\[(\d+) (.*?) ?[\d.]+s\]$", section("executor with the model"), flags=re.M
    ):
        found.append(
            Exchange(
                "executor",
                "no model",
                method,
                path,
                "{}" if method == "POST" else "",
                int(status),
                {"Content-Type": kind} if kind else {},
                answer.strip(),
            )
        )
    return found


def differences(recorded: Exchange, status: int, headers: dict, answer: str) -> list[str]:
    """What a client could notice, a short line each. An id counts by its form only; JSON is the rule, so left out."""
    found = []
    if status != recorded.status:
        found.append(f"status: {status}, recorded {recorded.status}")
    seen = {
        name.title(): re.sub(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "<uuid>", value)
        for name, value in headers.items()
    }
    for name in ("Date", "Content-Length", "Transfer-Encoding", "X-Content-Type-Options"):  # not written down
        seen.pop(name, None)
    if seen.get("Content-Type") == "application/json":
        del seen["Content-Type"]
    wanted = dict(recorded.headers)
    if recorded.title == "no model":  # only the type was written down there
        seen.pop("Seldon-Puid", None)
    for name in sorted(set(seen) | set(wanted)):
        if seen.get(name) != wanted.get(name):
            found.append(f"header {name}: {seen.get(name)}, recorded {wanted.get(name)}")
    wanted = recorded.answer.rstrip("\n")
    cut = len(wanted) > 140 or wanted.startswith("# HELP")
    answer = answer.rstrip("\n")
    if not (answer.startswith(wanted.removesuffix("...")) if cut else answer == wanted):
        found.append(f"body: {answer[:300]!r}, recorded {wanted!r}")
    return found


# --- the operator ----------------------------------------------------------------------------------------------------


@dataclass
class Step:
    number: int
    status: dict
    events: list[str]


def _transcript() -> str:
    return section("Operator transcript")


def _filled(text: str) -> dict:
    """A status, its abbreviations written out."""
    for name, value in re.findall(r"^(CLS|PRED) = (.*)$", _transcript(), flags=re.M):
        text = text.replace(":" + name, ":" + value)
    return json.loads(text.replace("ADDR", re.search(r"^ADDR = (.*)$", _transcript(), flags=re.M)[1]))


def _steps(text: str) -> list[Step]:
    found = []
    for part in re.split(r"^-- reconcile ", text, flags=re.M)[1:]:
        status = re.search(r"^   status=(.*)$", part, flags=re.M)
        found.append(
            Step(
                int(part.split()[0]),
                _filled(status[1]) if status else {},
                re.findall(r"^   event: (.*)$", part, flags=re.M),
            )
        )
    return found


def steps() -> list[Step]:
    """The life of one SeldonDeployment."""
    return _steps(_transcript().split("=== prepackaged")[0])


def unknown_server() -> list[Step]:
    return _steps(_transcript().split("=== prepackaged")[1])


def without_ambassador() -> list[Step]:
    return _steps(section("Same with AMBASSADOR_ENABLED=false"))


def objects() -> dict[str, dict]:
    """{"Kind name": object} as they stood after the sixth reconcile."""
    return {
        name: json.loads(text) for name, text in re.findall(r"^OBJECT (\S+ \S+)\n(\{.*\})$", _transcript(), flags=re.M)
    }


def refusals() -> dict[str, str]:
    return {
        name: "" if said == "<nil>" else said
        for name, said in re.findall(r"^VALIDATE (.+?) => (.*)$", _transcript(), flags=re.M)
    }


def chart() -> set[tuple[str, str, str]]:
    """(kind, namespace, name) of each object that the chart makes; "-" where there is no namespace."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section("Chart helm-charts").splitlines()
        if line.startswith("| ")
    ][1:]
    found = set()
    for kinds, namespace, names in rows:
        kinds = [
            k.strip() for k in re.split(r",| and ", re.sub(r"\(.*?\)|443.*|, container.*", "", kinds)) if k.strip()
        ]
        names = [n.strip() for n in re.sub(r"\((?!binding)[^)]*\)", "", names).split(",")]
        if kinds == ["ClusterRole", "ClusterRoleBinding"]:
            for name in names:
                found |= {
                    ("ClusterRole", namespace, name.replace("(binding)", "")),
                    ("ClusterRoleBinding", namespace, name.replace("(binding)", "binding")),
                }
        else:
            several = names * len(kinds) if len(names) == 1 else names
            found |= {(kind, namespace, name) for kind, name in zip(kinds, several, strict=True)}
    return found


# --- on a real cluster -----------------------------------------------------------------------------------------------


@dataclass
class Admission:
    """A SeldonDeployment that kubectl sent, and what came of it: "created", or why not."""

    title: str
    version: str
    spec: dict
    said: str

    @property
    def denied(self) -> str:
        """The webhook's words; "" when it let it pass, or was not asked."""
        found = re.search(r"(?:denied by \S+|denied the request): (SeldonDeployment\.machinelearing.*)$", self.said)
        return found[1] if found else ""

    @property
    def crashed(self) -> bool:
        """The webhook broke its connection off."""
        return self.said.endswith(": EOF")

    @property
    def unlike(self) -> str:
        """What the definition's schema has against it; "" for nothing."""
        found = re.search(r"ValidationError\((\S+)\): (.*?)(?: in io\.seldon.*)?; if you", self.said) or re.match(
            r'The SeldonDeployment "\S+" is (invalid): (spec.*)', self.said
        )
        return found[2] if found else ""


def _pods(names: str) -> list[dict]:
    containers = [{"name": name, "image": "example/classifier:1"} for name in names.split(", ") if name]
    return [{"spec": {"containers": containers}}] if containers else []


def created(name: str) -> dict:
    """The SeldonDeployment of this name, as kubectl sent it."""
    said = section("Life of one") + section("Other shapes")
    asked = re.search(rf"^> (\{{.*\}})\n\$ kubectl create -f -\n< \S+/{name} created$", said, flags=re.M)
    spec = json.loads(asked[1])
    for predictor in spec["predictors"]:
        predictor["componentSpecs"] = _pods(re.match(r"<containers: ?(.*)>", predictor["componentSpecs"])[1])
    return {"metadata": {"name": name, "namespace": "models", "uid": "u"}, "spec": spec}


def told_of_creating() -> set[str]:
    """The texts of the events while "one" was created on a cluster, but for writes that came too late there."""
    part = section("Life of one").split("\n-- update")[0]
    return {e for e in re.findall(r"^   event: (.*) \(x\d+\)$", part, flags=re.M) if "has been modified" not in e}


def made_of(name: str) -> dict[str, dict]:
    """{"Kind name": {"labels", "spec"}} of what the operator made of it on a cluster, as far as it is whole."""
    said = section("What it made") + section("Other shapes")
    found = {}
    for kind, which, text in re.findall(rf"^OBJECT (\S+) ({name}-\S+)\n(\{{.*\}})$", said, flags=re.M):
        thing = json.loads(text)
        parts = thing.get("metadata", thing)
        found[f"{kind} {which}"] = {"labels": parts.get("labels", {}), "spec": thing.get("spec", thing)}
    return found


def admissions() -> list[Admission]:
    found = []
    for title, version, asked, said in re.findall(
        r"^-- (.*)\n> (?:(v1\w+) )?(\{.*\})\n< (.*)\n= exit", section("Admission: kubectl create"), flags=re.M
    ):
        spec = json.loads(asked)
        for predictor in spec.get("predictors") or []:
            predictor["componentSpecs"] = _pods(re.match(r"<containers: ?(.*)>", predictor["componentSpecs"])[1])
        name = re.search(r'SeldonDeployment\S* \\?"(\w*)\\?" is invalid|seldon\.io/(\w+) created', said)
        spec["name"] = (name[1] or name[2] or "") if name else "one"
        found.append(Admission(title, version or "v1", spec, said))
    return found
