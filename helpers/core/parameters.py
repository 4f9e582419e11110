"""A chapter's parameters: read from its parameters cell, by example, and checked before anything is touched."""

from __future__ import annotations

import ast
import difflib
import io
import ipaddress
import re
import tokenize
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, cast

from helpers.core import address_pools
from helpers.core.errors import BadInput

MODES = ("install", "verify", "plan", "remove")

_NAMES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}

#: "one of cluster, node or loadbalancer: who ..." at the start of a parameter's comment
_ONE_OF = re.compile(r"one of ((?:[\w.-]+, )*[\w.-]+(?: or [\w.-]+)?)(?=[:;,.]|$)")


class Parameter(NamedTuple):
    """One line of the parameters cell. choices: the values that it may have; empty when the comment names none."""

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()


def read(source: str) -> Iterator[Parameter]:
    """The parameters of a cell's source."""
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            comment = comments.get(node.lineno, "")
            named = _ONE_OF.match(comment)
            choices = tuple(re.split(r", | or ", named.group(1))) if named else ()
            yield Parameter(node.targets[0].id, ast.literal_eval(node.value), comment, choices)


def filled(source: str, values: Mapping[str, Any]) -> str:
    """The source of a parameters cell with these values in place of its defaults; comments stay."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = token.line.partition(" = ")[0]
        if token.type == tokenize.COMMENT and name in values:
            start = f"{name} = {values[name]!r}"
            lines[token.start[0] - 1] = "{:<{}}{}\n".format(start + "  ", token.start[1], token.string)
    return "".join(lines)


def check(chapter: str, known: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The known parameters with `given` over their defaults. BadInput names the first one that does not fit.

    Types are those of the example values in the parameters cell, also inside lists; a comment that begins with
    "one of a, b or c" names all that is allowed. By name: *port and *ports are 1 to 65535, *cidr a network like
    10.1.0.0/16 (or empty), *pool ranges of addresses for MetalLB, *_servers IP addresses, channel a version and a
    risk level, mode one of install, verify, plan, remove, origin an address without a password; *_dir loses slashes at
    its end, so that a note has one name for it.
    """
    check_names(given, known, "chapter " + chapter)
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if name.endswith("_dir") and isinstance(value, str):
            value = value.rstrip("/") or value
        values[name] = value
        problem = _problem(parameter, value)
        if problem:
            example = f"For example: {name} = {parameter.default!r}"
            do = example + ("  # " + parameter.help if parameter.help else "")
            raise BadInput(f"set {name} = {_told(name, value)} in chapter {chapter}", saw=problem, do=do)
    return values


def _told(name: str, value: Any) -> str:
    """A value as an error says it: no address with its password."""
    return re.sub(r"(?s)^(\W*\w+:/*).*@", r"\1*****@", repr(value)) if name == "origin" else repr(value)


def check_names(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """BadInput, with the nearest name, when a given parameter is not among the known ones."""
    there = list(known)
    for name in given:
        if name not in there:
            do = nearest(name, there) or "There are: " + ", ".join(there)
            raise BadInput(f"set the parameter {name!r} of {where}", saw="there is no such parameter", do=do)


def nearest(name: object, known: Iterable[str]) -> str:
    """A question with the nearest known name; empty when none is near."""
    close = difflib.get_close_matches(str(name), list(known), 1, 0.5)
    return f"Did you mean {close[0]}?" if close else ""


def _problem(parameter: Parameter, value: Any) -> str | None:
    items: list[Any] = list(cast("list[Any]", value)) if isinstance(value, list) else [value]
    for why_not in (_wrong_type, _unsafe, _no_choice):
        problem = why_not(parameter, value, items)
        if problem:
            return problem
    for suffixes, why in _BY_NAME:
        if parameter.name.endswith(suffixes):
            return why(items if isinstance(value, list) else value)
    return None


def _wrong_type(parameter: Parameter, value: Any, items: list[Any]) -> str | None:
    example: object = parameter.default
    kinds: tuple[type, ...] = (int, float) if isinstance(example, float) else (type(example),)
    fits = isinstance(value, kinds)
    if not fits or isinstance(example, bool) != isinstance(value, bool):
        return f"it must be {_NAMES[type(example)]}, not {type(value).__name__}"
    first = cast("list[Any]", example)[:1] if isinstance(example, list) else []
    if first and any(type(item) is not type(first[0]) for item in items):
        return f"each must be {_NAMES[type(first[0])]}, like {first[0]!r}"
    return None


def _unsafe(parameter: Parameter, value: Any, items: list[Any]) -> str | None:
    # Parameters stand in commands of the chapters, so what a shell or a program would interpret is refused at the door.
    if any(isinstance(i, str) and (re.search(r"[^\w./:@%+=,-]", i) or i.startswith("-")) for i in items):
        return "only letters, digits and . / : @ % + = , - _ are allowed, and no - at the start"
    return None


def _no_choice(parameter: Parameter, value: Any, items: list[Any]) -> str | None:
    if parameter.choices and str(value) not in parameter.choices:
        return "it is one of {}. {}".format(", ".join(parameter.choices), nearest(value, parameter.choices)).strip()
    return None


def _mode(value: str) -> str | None:
    return None if value in MODES else f"there is no such mode. {nearest(value, MODES) or 'Modes: ' + ', '.join(MODES)}"


def _port(value: int | list[object]) -> str | None:
    good = all(isinstance(item, int) and 1 <= item <= 65535 for item in (value if isinstance(value, list) else [value]))
    return None if good else "a port is 1 to 65535"


def _network(value: str) -> str | None:
    try:
        ipaddress.ip_network(value or "0.0.0.0/0")
    except ValueError as e:
        return str(e)
    return None


def _pool(value: str) -> str | None:
    try:
        address_pools.parse_ranges(value)
    except BadInput as e:
        return e.saw
    return None


def _servers(value: list[Any]) -> str | None:
    try:
        for item in value:
            ipaddress.ip_address(str(item))
    except ValueError as e:
        return str(e)
    return None


def _channel(value: str) -> str | None:
    good = re.fullmatch(r"[0-9]+\.[0-9]+(/(stable|candidate|beta|edge))?", value)
    return None if good else "a channel is a version and a risk level, like 1.20/stable"


def _origin(value: str) -> str | None:
    # It stands in run records, notebooks, pages and curl's arguments.
    return "no user and no password in an address: a mirror asks for none" if "@" in value else None


#: what a parameter's name says of its value
_BY_NAME: list[tuple[str | tuple[str, ...], Callable[[Any], str | None]]] = [
    ("mode", _mode),
    ("origin", _origin),
    (("port", "ports"), _port),
    ("cidr", _network),
    ("pool", _pool),
    ("_servers", _servers),
    ("channel", _channel),
]
