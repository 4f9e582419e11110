""".gitlab-ci.yml: its jobs as GitLab 13.12 reads them, and what it says of one that is wrong.

A key that GitLab knows and this stand-in does not is refused by name, never passed over.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import yaml
from ci_expressions import is_expression

TOP = {"default", "include", "before_script", "image", "services", "after_script", "variables", "stages", "types",
       "cache", "workflow"}  # fmt: skip
DEFAULTS = ("before_script", "after_script", "image", "services", "cache", "artifacts", "tags", "timeout", "retry",
            "interruptible")  # fmt: skip
JOB = {*DEFAULTS, "script", "stage", "variables", "rules", "only", "except", "needs", "dependencies", "environment",
       "when", "allow_failure", "extends", "coverage"}  # fmt: skip
NOT_HERE = {"parallel", "trigger", "inherit", "release", "resource_group", "secrets", "start_in", "type", "pages"}
ARTIFACTS = {"name", "untracked", "paths", "reports", "when", "expire_in", "expose_as", "exclude", "public"}
WHEN = ("on_success", "on_failure", "always", "manual", "delayed")
NESTED = "config should be a string or a nested array of strings up to 10 levels deep"
EMPTY = "Please provide content of .gitlab-ci.yml"


class ConfigError(Exception):
    """What is wrong, as GitLab tells it."""

    def __init__(self, *errors: str):
        super().__init__(", ".join(errors))
        self.errors = list(errors)


def not_here(what: str) -> ConfigError:
    return ConfigError(f"this stand-in for GitLab does not do {what}")


class _Loader(yaml.SafeLoader):
    """Times stay text, as Ruby's loader leaves them."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith(":timestamp")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load(text: str) -> dict:
    if not text.strip():
        raise ConfigError(EMPTY)
    try:
        said = yaml.load(text, _Loader)
    except yaml.composer.ComposerError as error:
        raise ConfigError("Unknown alias: " + str(error.problem).split("'")[1]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" while parsing at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ConfigError(f"(<unknown>): {getattr(error, 'problem', None) or error}{where}") from None
    if not isinstance(said, dict):
        raise ConfigError("Invalid configuration format")
    return said


def lines(script: object, depth: int = 0) -> list[str] | None:
    """A script as its lines; None when it is no script."""
    if isinstance(script, str):
        return [script]
    if not isinstance(script, list) or depth > 10:
        return None
    found: list[str] = []
    for part in script:
        inner = lines(part, depth + 1)
        if inner is None:
            return None
        found += inner
    return found


class Config:
    """The file as a whole: stages, and jobs by name. ConfigError when GitLab would not take it."""

    def __init__(self, text: str):
        self.said, self.errors = _load(text), []
        self.stages = [".pre", *self._stages(), ".post"]
        with self.told():
            self.variables = self._variables(self.said.get("variables"), "variables")
        with self.told():
            self.workflow = self._workflow()
        named = {n: v for n, v in self.said.items() if n not in TOP}
        self.extended = {name: self._extend(name, named, ()) for name in named}
        visible = [n for n in named if not str(n).startswith(".")]
        self.errors += self._unmatched(visible)
        self.jobs = {name: self._job(name) for name in visible if self._matched(name)}
        if not self.jobs:
            self.errors.append("jobs config should contain at least one visible job")
        if self.errors:
            raise ConfigError(*self.errors)
        for name, job in self.jobs.items():
            self._check_place(name, job)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What is wrong is told with the rest, at the end."""
        try:
            yield
        except ConfigError as error:
            self.errors += error.errors

    # -- the whole -----------------------------------------------------------------------------------------

    def _stages(self) -> list[str]:
        said = self.said.get("stages", self.said.get("types"))
        if "include" in self.said:
            raise not_here("include")
        if said is None:
            return ["build", "test", "deploy"]
        if not isinstance(said, list) or not all(isinstance(s, str) for s in said):
            raise ConfigError("stages config should be an array of strings")
        return [s for s in said if s not in (".pre", ".post")]

    def _variables(self, said: object, place: str) -> dict[str, str]:
        whole = ", value can be a hash" if place == "variables" else ""
        wrong = ConfigError(f"{place} config should be a hash of key value pairs{whole}")
        if said is None:
            return {}
        if not isinstance(said, dict):
            raise wrong
        found = {}
        for key, value in said.items():
            if isinstance(value, dict) and set(value) <= {"value", "description"} and place == "variables":
                value = value.get("value", "")
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise wrong
            found[str(key)] = str(value)
        return found

    def _workflow(self) -> list[dict]:
        said = self.said.get("workflow") or {}
        if not isinstance(said, dict) or set(said) - {"rules"}:
            raise ConfigError("workflow config contains unknown keys: " + ", ".join(sorted(set(said) - {"rules"})))
        return self._rules(said.get("rules"), "workflow")

    def _extend(self, name: str, all_of: dict, seen: tuple[str, ...]) -> object:
        """A job with what it extends below it."""
        job = all_of[name]
        if not isinstance(job, dict) or "extends" not in job:
            return job
        bases = job["extends"] if isinstance(job["extends"], list) else [job["extends"]]
        made: dict = {}
        for base in bases:
            if base not in all_of:
                raise ConfigError(f"{name}: unknown keys in `extends` ({base})")
            if base in (*seen, name):
                raise ConfigError(f"{name}: circular dependency detected in `extends`")
            made = _merged(made, self._extend(base, all_of, (*seen, name)))
        return _merged(made, {key: value for key, value in job.items() if key != "extends"})

    def _matched(self, name: str) -> bool:
        job = self.extended[name]
        return isinstance(job, dict) and bool({"script", "trigger"} & set(job))

    def _unmatched(self, names: list[str]) -> Iterator[str]:
        for name in names:
            if not self._matched(name):
                yield f"jobs {name} config should implement a script: or a trigger: keyword"

    # -- a job ---------------------------------------------------------------------------------------------

    def _job(self, name: str) -> dict:
        said = self.extended[name]
        assert isinstance(said, dict)
        below = self.said.get("default") or {}
        inherited = {key: below.get(key, self.said.get(key)) for key in DEFAULTS}
        job = {**{k: v for k, v in inherited.items() if v is not None}, **said}
        job["stage"] = job.get("stage", "test")
        job["own_rules"] = "rules" in job
        for check in (self._check_keys, self._read_scripts, self._read_rules, self._read_policies, self._read_needs,
                      self._check_values, self._check_artifacts, self._read_images):  # fmt: skip
            with self.told():
                check(name, job)
        job["allow_failure"] = job.get("allow_failure", job.get("when") == "manual" and not job["own_rules"])
        return job

    def _check_keys(self, name: str, said: dict) -> None:
        if not isinstance(name, str):
            raise ConfigError(f"jobs:{name} name should be a symbol")
        for key in sorted(set(said) & NOT_HERE):
            raise not_here(f"the key {key} (jobs:{name})")
        unknown = [key for key in said if key not in {*JOB, "own_rules"}]
        if unknown:
            raise ConfigError(f"jobs:{name} config contains unknown keys: {', '.join(map(str, unknown))}")
        both = [key for key in ("only", "except") if key in said and "rules" in said]
        if both:
            raise ConfigError(f"jobs:{name} config key may not be used with `rules`: {', '.join(both)}")

    def _read_scripts(self, name: str, job: dict) -> None:
        for key in ("script", "before_script", "after_script"):
            said = job.get(key)
            job[key] = [] if said is None and key != "script" else lines(said)
            if job[key] is None or key == "script" and not job[key]:
                raise ConfigError(f"jobs:{name}:{key} {NESTED}")

    def _read_rules(self, name: str, job: dict) -> None:
        job["variables"] = self._variables(job.get("variables"), f"jobs:{name}:variables")
        job["rules"] = self._rules(job.get("rules"), f"jobs:{name}")

    def _rules(self, said: object, place: str) -> list[dict]:
        if said is None:
            return []
        if not isinstance(said, list) or not all(isinstance(rule, dict) for rule in said):
            raise ConfigError(f"{place} rules should be an array of hashes")
        for rule in said:
            for key in sorted(set(rule) & {"changes", "exists", "start_in"}):
                raise not_here(f"rules:{key} ({place})")
            unknown = set(rule) - {"if", "when", "allow_failure", "variables"}
            if unknown:
                raise ConfigError(f"{place}:rules:rule config contains unknown keys: {', '.join(sorted(unknown))}")
            if "if" in rule and not is_expression(rule["if"]):
                raise ConfigError(f"{place}:rules:rule if invalid expression syntax")
        return said

    def _read_policies(self, name: str, job: dict) -> None:
        for key in ("only", "except"):
            job[key] = self._policy(name, key, job.get(key))
            if not all(is_expression(text) for text in job[key].get("variables", [])):
                raise ConfigError(f"jobs:{name}:{key} variables invalid expression syntax")

    def _policy(self, name: str, key: str, said: object) -> dict:
        """only or except as {refs, variables}."""
        if said is None:
            return {}
        if isinstance(said, str):
            said = [said]
        made = {"refs": said} if isinstance(said, list) else said
        if not isinstance(made, dict):
            raise ConfigError(f"jobs:{name}:{key} has to be either an array of conditions or a hash")
        for unknown in sorted(set(made) - {"refs", "variables"}):
            raise not_here(f"{key}:{unknown} (jobs:{name})")
        if not all(isinstance(ref, str) for ref in made.get("refs", [])):
            raise ConfigError(f"jobs:{name}:{key} config should be an array of strings or regexps")
        return made

    def _read_needs(self, name: str, job: dict) -> None:
        job["needs"] = self._needs(name, job["needs"]) if "needs" in job else None

    def _needs(self, name: str, said: object) -> list[dict]:
        found = said if isinstance(said, list) else [said]
        made = [{"job": need} if isinstance(need, str) else need for need in found]
        for need in made:
            if not isinstance(need, dict) or set(need) - {"job", "artifacts", "optional"}:
                raise not_here(f"needs other than {{job, artifacts, optional}} (jobs:{name})")
        if len(made) > 50:
            raise ConfigError(f"{name}: one job can only need 50 others, but you have listed {len(made)}. ")
        return [{"artifacts": True, "optional": False, **need} for need in made]

    def _check_values(self, name: str, job: dict) -> None:
        if job.get("when") == "delayed":
            raise not_here(f"when: delayed (jobs:{name})")
        if job.get("when", "on_success") not in WHEN:
            raise ConfigError(f"jobs:{name} when should be one of: {', '.join(WHEN)}")
        if not _strings(job.get("tags", [])):
            raise ConfigError(f"jobs:{name}:tags config should be an array of strings")
        if not _strings(job.get("dependencies", [])):
            raise ConfigError(f"jobs:{name} dependencies should be an array of strings")
        allowed = job.get("allow_failure", False)
        if not isinstance(allowed, (bool, dict)):
            raise ConfigError(f"jobs:{name} allow failure should be a hash or a boolean value")

    def _check_artifacts(self, name: str, job: dict) -> None:
        said, place = job.get("artifacts", {}), f"jobs:{name}:artifacts"
        if not isinstance(said, dict):
            raise ConfigError(f"{place} config should be a hash")
        unknown = ", ".join(sorted(set(said) - ARTIFACTS))
        if unknown:
            raise ConfigError(f"{place} config contains unknown keys: {unknown}")
        for key in ("paths", "exclude"):
            if not _strings(said.get(key, [])):
                raise ConfigError(f"{place} {key} should be an array of strings")
        if said.get("when", "on_success") not in ("on_success", "on_failure", "always"):
            raise ConfigError(f"{place} when should be on_success, on_failure or always")
        if "expire_in" in said and said["expire_in"] != "never" and not seconds(said["expire_in"], 0):
            raise ConfigError(f"{place} expire in should be a duration")

    def _read_images(self, name: str, job: dict) -> None:
        job["image"] = _image(f"jobs:{name}:image", job["image"]) if job.get("image") else None
        services = job.get("services", [])
        if not isinstance(services, list):
            raise ConfigError(f"jobs:{name}:services config should be a array")
        job["services"] = [_image(f"jobs:{name}:services:service", said) for said in services]

    def _check_place(self, name: str, job: dict) -> None:
        """Its stage is one, and what it needs comes before it."""
        if job["stage"] not in self.stages:
            there = ", ".join(self.stages)
            raise ConfigError(f"{name} job: chosen stage does not exist; available stages are {there}")
        for word, named in (
            ("dependency", job.get("dependencies") or []),
            ("need", [n["job"] for n in job["needs"] or []]),
        ):
            for other in named:
                if other not in self.jobs:
                    raise ConfigError(f"{name} job: undefined {word}: {other}")
                if self.index(other) >= self.index(name):
                    raise ConfigError(f"{name} job: {word} {other} is not defined in prior stages")

    def index(self, name: str) -> int:
        return self.stages.index(self.jobs[name]["stage"]) if self.jobs[name]["stage"] in self.stages else -1


def _merged(below: object, above: object) -> dict:
    """Hashes into each other; the upper one's other values win."""
    made = dict(below) if isinstance(below, dict) else {}
    for key, value in (above if isinstance(above, dict) else {}).items():
        made[key] = _merged(made[key], value) if isinstance(value, dict) and isinstance(made.get(key), dict) else value
    return made


def _strings(said: object) -> bool:
    return isinstance(said, list) and all(isinstance(text, str) for text in said)


def _image(place: str, said: object) -> dict:
    made = {"name": said} if isinstance(said, str) else said
    if not isinstance(made, dict) or not isinstance(made.get("name"), str):
        raise ConfigError(f"{place} config should be a hash or a string")
    return made


def seconds(text: object, otherwise: int) -> int:
    """ "1h 30m", "10 minutes": a duration as GitLab reads it."""
    if not text:
        return otherwise
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}
    units["mo"] = 2592000
    found = re.findall(r"(\d+)\s*(mo|[smhdwy])", str(text).lower())
    return sum(int(number) * units[unit] for number, unit in found) or otherwise
