"""What a person gave for a run: a platform.yaml and -p, as the values that a plan takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from helpers.command import targets
from helpers.command.targets import Targets
from helpers.core import notebooks
from helpers.core.errors import BadInput

KNOWN = {"target", "hosts", "mode", "chapters", "parameters"}
SHAPE = "A platform file has: target, mode, parameters (for all chapters), chapters (by id), hosts (by name)."


class Given(NamedTuple):
    """chapters: {id: {parameter: value}}.  parameters: {parameter: value} for every chapter that has it."""

    targets: Targets
    mode: str | None
    chapters: dict[str, dict[str, Any]]
    parameters: dict[str, Any]


NOTHING = Given(Targets(), None, {}, {})


class _Once(yaml.SafeLoader):
    """YAML whose maps have each key once. The plain loader takes the last one, and the person reads the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"{key.value} is given twice, in lines {seen[key.value]} and {line}: keep one")
            seen[str(key.value)] = line
        return super().construct_mapping(node, deep)


def platform_file(path: str | Path) -> Given:
    """What a platform.yaml says; BadInput names what it may not say."""
    try:
        content: Any = yaml.load(Path(path).read_text(), _Once) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        saw = " ".join(str(e).split())
        raise BadInput(f"read {path}", saw=saw, do="It must be YAML: see book/reference.") from None
    known = _map(path, content, "not known there: " + type(content).__name__, SHAPE)
    unknown = sorted(str(name) for name in known if name not in KNOWN)
    if unknown:
        raise BadInput(f"read {path}", saw="not known there: " + ", ".join(unknown), do=SHAPE)
    chapters, parameters, hosts = (
        _map(path, known.get(name), "not known there: chapters, parameters and hosts must be maps", SHAPE)
        for name in ("chapters", "parameters", "hosts")
    )
    named = {
        name: _map(path, values, f"chapters.{name} is not a map", f"chapters: {{{name}: {{PARAMETER: VALUE}}}}")
        for name, values in chapters.items()
    }
    _check_one_each(path, named)
    where = targets.checked(known.get("target"), hosts, notebooks.load_all())
    return Given(where, known.get("mode"), named, parameters)


def _check_one_each(path: str | Path, names: Iterable[str]) -> None:
    """BadInput when a chapter is there under two of its names, as minio and as 05."""
    known, found = notebooks.load_all(), dict[str, str]()
    for name in names:
        chapter = notebooks.find(name, known).id
        if chapter in found:
            saw = f"chapter {chapter} is given twice, as {found[chapter]} and as {name}"
            raise BadInput(f"read {path}", saw=saw, do="Put what they say under one of them.")
        found[chapter] = name


def _map(path: str | Path, value: Any, saw: str, do: str) -> dict[str, Any]:
    """The value as a map, an empty one for nothing; BadInput where it is none."""
    if not isinstance(value or {}, dict):
        raise BadInput(f"read {path}", saw=saw, do=do)
    return dict(value or {})


def with_pairs(given: Given, pairs: Iterable[str]) -> Given:
    """The same with the command line's -p over it, as values of the types that the chapters have."""
    known = notebooks.load_all()
    everywhere, by_chapter = _split(pairs)
    every = {p.name: p for n in known.values() for p in n.parameters.values()}
    chapters = {name: dict(values) for name, values in given.chapters.items()}
    for name, texts in by_chapter.items():
        chapter = notebooks.find(name, known)
        chapters.setdefault(chapter.id, {}).update(typed(texts, chapter.parameters))
    return given._replace(chapters=chapters, parameters={**given.parameters, **typed(everywhere, every)})


def _split(pairs: Iterable[str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """-p k=v and -p chapter.k=v -> ({k: text}, {chapter: {k: text}})."""
    everywhere: dict[str, str] = {}
    by_chapter: dict[str, dict[str, str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BadInput(
                f"read -p {pair!r}", saw="no = in it", do="Write -p PARAMETER=VALUE, or -p CHAPTER.PARAMETER=VALUE."
            )
        chapter, dot, parameter = name.partition(".")
        if dot:
            by_chapter.setdefault(chapter, {})[parameter] = value
        else:
            everywhere[name] = value
    return everywhere, by_chapter


def typed(texts: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Texts of the command line as the type of the chapter's example."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        as_text = name not in known or isinstance(known[name].default, str)
        try:
            found[name] = text if as_text else yaml.safe_load(text)
        except yaml.YAMLError:
            found[name] = text
    return found
