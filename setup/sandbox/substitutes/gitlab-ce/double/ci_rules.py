"""Which jobs a pipeline has: rules and their expressions, only and except."""

from __future__ import annotations

import re

from ci_expressions import Expression, regex


def first_rule(rules: list[dict], variables: dict[str, str]) -> dict | None:
    return next((r for r in rules if "if" not in r or Expression(r["if"], variables).is_true()), None)


def _is_ref(name: str, ref: str, tag: bool, source: str) -> bool:
    sources = {"pushes": "push", "web": "web", "api": "api", "triggers": "trigger", "schedules": "schedule"}
    if name in ("branches", "tags"):
        return tag == (name == "tags")
    if name in sources:
        return source == sources[name]
    if re.fullmatch(r"/.+/[ismU]*", name):
        return bool(regex(name).search(ref))
    return name == ref


def _fits(policy: dict, about: tuple[str, bool, str], variables: dict[str, str], every: bool) -> bool:
    """every: each kind of condition must hold (only); else one is enough (except)."""
    found = []
    if "refs" in policy:
        found.append(any(_is_ref(pattern, *about) for pattern in policy["refs"]))
    if "variables" in policy:
        found.append(any(Expression(text, variables).is_true() for text in policy["variables"]))
    return all(found) if every else any(found)


def placed(job: dict, about: tuple[str, bool, str], variables: dict[str, str]) -> dict | None:
    """{when, allow_failure, variables} of a job in this pipeline (ref, is a tag, source); None when it has no part."""
    own = {"when": job.get("when", "on_success"), "allow_failure": job["allow_failure"], "variables": {}}
    if job["own_rules"]:
        rule = first_rule(job["rules"], variables)
        if rule is None or rule.get("when", own["when"]) == "never":
            return None
        return {**own, **{name: rule[name] for name in own if name in rule}}
    only = {"refs": ["branches", "tags"], **job["only"]}
    if not _fits(only, about, variables, every=True) or _fits(job["except"], about, variables, every=False):
        return None
    return own
