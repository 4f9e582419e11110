"""Which jobs a pipeline has: rules and their expressions, only and except."""

from __future__ import annotations

import re

from ci_config import ConfigError

TOKEN = re.compile(
    r"\s*(?:(&&|\|\||==|!=|=~|!~|\(|\))|\$(\w+)|\"([^\"]*)\"|'([^']*)'|(/(?:\\.|[^/\\])+/[ismU]*)|(null))"
)


class Expression:
    """`$A == "b" && $C`, read from the left; && binds more than ||."""

    def __init__(self, text: str, variables: dict[str, str]):
        self.variables, self.tokens = variables, []
        place, text = 0, str(text).strip()
        while place < len(text):
            found = TOKEN.match(text, place)
            if not found:
                raise ConfigError("Invalid expression syntax")
            self.tokens.append(found.groups())
            place = found.end()

    def is_true(self) -> bool:
        value = self._or()
        if self.tokens:
            raise ConfigError("Invalid expression syntax")
        return bool(value)

    def _next(self, *operators: str) -> str | None:
        if self.tokens and self.tokens[0][0] in operators:
            return self.tokens.pop(0)[0]
        return None

    def _or(self) -> object:
        value = self._and()
        while self._next("||"):
            other = self._and()
            value = value or other
        return value

    def _and(self) -> object:
        value = self._compared()
        while self._next("&&"):
            other = self._compared()
            value = value and other
        return value

    def _compared(self) -> object:
        left = self._value()
        operator = self._next("==", "!=", "=~", "!~")
        if operator is None:
            return left
        right = self._value()
        if operator in ("==", "!="):
            return (left == right) == (operator == "==")
        return bool(_regex(str(right)).search(str(left or ""))) == (operator == "=~")

    def _value(self) -> object:
        if self._next("("):
            value = self._or()
            if not self._next(")"):
                raise ConfigError("Invalid expression syntax")
            return value
        if not self.tokens or self.tokens[0][0]:
            raise ConfigError("Invalid expression syntax")
        _, name, double, single, pattern, _ = self.tokens.pop(0)
        if name:
            return self.variables.get(name)
        return next((text for text in (double, single, pattern) if text is not None), None)


def _regex(text: str) -> re.Pattern[str]:
    found = re.fullmatch(r"/(.+)/([ismU]*)", text, re.DOTALL)
    if not found:
        raise ConfigError("Invalid expression syntax")
    return re.compile(found.group(1), re.I if "i" in found.group(2) else 0)


def first_rule(rules: list[dict], variables: dict[str, str]) -> dict | None:
    return next((r for r in rules if "if" not in r or Expression(r["if"], variables).is_true()), None)


def _is_ref(pattern: str, ref: str, tag: bool, source: str) -> bool:
    sources = {"pushes": "push", "web": "web", "api": "api", "triggers": "trigger", "schedules": "schedule"}
    if pattern in ("branches", "tags"):
        return tag == (pattern == "tags")
    if pattern in sources:
        return source == sources[pattern]
    if re.fullmatch(r"/.+/[ismU]*", pattern):
        return bool(_regex(pattern).search(ref))
    return pattern == ref


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
