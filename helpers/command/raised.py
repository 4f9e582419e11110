"""The errors that the code can raise, read from its source: what each says, what it saw, what it tells to do."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

from helpers.core import errors
from helpers.core.paths import REPO

SOME = "…"  # what only a run knows
_MOST = 16  # texts of one part: a product of alternatives ends somewhere
_PARTS = ("what", "host", "saw", "do", "entry")
#: the positions of an error's parts where they are not those of RunbookError
_ORDER = {"Unmet": ("what", "saw", "entry"), "NotYet": ("saw",)}


class Raised(NamedTuple):
    """One error that a function makes. row: the function's address, that of all its errors.

    Its texts have … for what only a run knows; where it can say one of several things, they are all there. proof: it
    tells what a check or a wait saw, and these have a row that says more.
    """

    row: str
    module: str
    what: list[str]
    saw: list[str]
    do: list[str]
    entry: list[str]
    proof: bool


Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache  # a second of work, which the site's pages ask for again and again
def load(helpers: Path = REPO / "helpers") -> list[Raised]:
    """All of them, in the order of the files."""
    trees = {_module(helpers, path): _walked(path) for path in sorted(helpers.rglob("*.py"))}
    kinds = _kinds(trees.values())
    makes = [(name, nodes) for name, nodes in trees.items() if name != errors.__name__ and _names(nodes) & set(kinds)]
    return [found for name, nodes in makes for found in _Module(name, nodes, kinds).raised()]


def _walked(path: Path) -> list[ast.AST]:
    """All nodes of a file, the module first: to walk through it takes longest, and is done once."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    return {getattr(node, "id", None) or getattr(node, "attr", "") for node in nodes}


def _module(helpers: Path, path: Path) -> str:
    parts = path.relative_to(helpers.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _kinds(trees: Iterable[list[ast.AST]]) -> dict[str, str]:
    """{an error class: the one of core.errors whose parts it has}; classes that tell for themselves are not there."""
    found = {name: name for name, kind in vars(errors).items() if _is_error(kind)}
    classes = [node for nodes in trees for node in nodes if isinstance(node, ast.ClassDef)]
    for _ in range(3):  # a class of a class of one
        for node in classes:
            base = next((found[b.id] for b in node.bases if isinstance(b, ast.Name) and b.id in found), None)
            if base and not _own_init(node):
                found.setdefault(node.name, base)
    return found


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.RunbookError)


def _own_init(node: ast.ClassDef) -> Function | None:
    return next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)


def words(node: ast.expr) -> str:
    """What an expression of no function says: a cell's text with … in it."""
    empty = _Module("", [], {})
    return " / ".join(_Words(empty, ast.parse("def f(): pass").body[0], {}).of(node))  # type: ignore[arg-type]


class _Module:
    """One module's errors."""

    def __init__(self, name: str, nodes: list[ast.AST], kinds: dict[str, str]):
        self.name, self.kinds = name, kinds
        self.values = _assigned(getattr(nodes[0], "body", []) if nodes else [])
        self.functions = [(name, function, list(_own_calls(function))) for name, function in _functions(nodes)]
        self._assigned: dict[Function, dict[str, list[ast.expr]]] = {}

    def assigned(self, function: Function) -> dict[str, list[ast.expr]]:
        """{name: what the function assigns to it}."""
        if function not in self._assigned:
            self._assigned[function] = _assigned(ast.walk(function))
        return self._assigned[function]

    def raised(self) -> Iterator[Raised]:
        for name, function, calls in self.functions:
            for call in calls:
                if self._kind(call):
                    yield from self._of(name, function, call)

    def _kind(self, call: ast.Call) -> str | None:
        """The class of core.errors that a call makes one of, also as `BadInput.__init__(self, ...)`."""
        function = call.func.value if isinstance(call.func, ast.Attribute) and _is_init(call) else call.func
        return self.kinds.get(getattr(function, "id", None) or getattr(function, "attr", ""))

    def _of(self, name: str, function: Function, call: ast.Call) -> Iterator[Raised]:
        row, proof = errors.row_of(self.name, name), self._kind(call) in _ORDER
        for bound in self._turns(function, call):
            texts: dict[str, list[str]] = {part: [] for part in _PARTS}
            for part, node in self._parts(call):
                texts[part] += _Words(self, function, bound).of(node)
            yield Raised(row, self.name, texts["what"], texts["saw"], texts["do"], texts["entry"], proof)

    def _turns(self, function: Function, call: ast.Call) -> list[dict[str, list[ast.expr]]]:
        """What a loop over a table gives its names in each turn, where the call is in one."""
        for loop in (node for node in ast.walk(function) if isinstance(node, ast.For) and call in ast.walk(node)):
            name = loop.iter.id if isinstance(loop.iter, ast.Name) else ""
            tables = self.values.get(name) or self.assigned(function).get(name) or [loop.iter]
            turns = [turn for table in tables for turn in getattr(table, "elts", [])]
            if turns:
                return [{n: [v] for n, v in _unpacked(loop.target, turn)} for turn in turns]
        return [{}]

    def _parts(self, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
        kind = self._kind(call) or ""
        yield from zip(_ORDER.get(kind, _PARTS), call.args[1:] if _is_init(call) else call.args, strict=False)
        yield from ((k.arg, k.value) for k in call.keywords if k.arg in _PARTS)
        yield from (("what", k.value) for k in call.keywords if k.arg == "expected")

    def given(self, name: str, function: Function) -> Iterator[tuple[ast.expr, Function]]:
        """What the function's callers in this module give for its parameter, with these callers."""
        names = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
        for caller, call in self._callers(function) if name in names else ():
            by_name = next((k.value for k in call.keywords if k.arg == name), None)
            at = names.index(name)
            node = by_name or (call.args[at] if at < len(call.args) else None)
            if node is not None:
                yield node, caller

    def _callers(self, function: Function) -> Iterator[tuple[Function, ast.Call]]:
        known_as = next((name for name, one, _ in self.functions if one is function), function.name)
        for _, caller, calls in self.functions:
            for call in calls:
                named = getattr(call.func, "id", None) or getattr(call.func, "attr", None)
                if named == known_as and caller is not function:
                    yield caller, call


class _Words:
    """What an expression in a function can say."""

    def __init__(self, module: _Module, function: Function, bound: Mapping[str, list[ast.expr]], depth: int = 5):
        self.module, self.function, self.bound, self.depth = module, function, bound, depth
        self.assigned = module.assigned(function)

    def of(self, node: ast.expr) -> list[str]:
        if self.depth == 0:
            return [SOME]
        return list(dict.fromkeys(text for text in self._alternatives(node) if text.strip()))[:_MOST]

    def _alternatives(self, node: ast.expr) -> list[str]:
        match node:
            case ast.Constant(value=value):
                return [str(value)] if value is not None else []
            case ast.Name(id=name):
                return self._named(name)
            case ast.JoinedStr(values=values):
                return _joined([[str(v.value)] if isinstance(v, ast.Constant) else [SOME] for v in values])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _joined([self._alternatives(left) or [""], self._alternatives(right) or [""]])
            case ast.IfExp(body=body, orelse=other):
                return self._alternatives(body) + self._alternatives(other)
            case ast.BoolOp(op=ast.Or(), values=values):
                return [text for value in values for text in self._alternatives(value)]
            case ast.Call(func=ast.Attribute(value=text, attr="format")):
                return [_filled(t) for t in self._alternatives(text)]
            case ast.Call(func=ast.Name(id="aimed"), args=[text, *_]):
                return self._alternatives(text)
            case ast.Call(func=ast.Attribute(value=text, attr="strip")):
                return self._alternatives(text)
            case _:
                return [SOME]

    def _named(self, name: str) -> list[str]:
        """What a name can stand for: of the loop, assigned in the function, given by its callers, or the module's."""
        nodes = self.bound.get(name) or self.assigned.get(name)
        here = [(node, self.function) for node in nodes or ()]
        found = here or list(self.module.given(name, self.function))
        found = found or [(node, self.function) for node in self.module.values.get(name, ())]
        return [t for node, function in found for t in self._in(function).of(node)] or [SOME]

    def _in(self, function: Function) -> _Words:
        return _Words(self.module, function, self.bound if function is self.function else {}, self.depth - 1)


def _is_init(call: ast.Call) -> bool:
    return getattr(call.func, "attr", "") == "__init__"


def _functions(nodes: list[ast.AST]) -> Iterator[tuple[str, Function]]:
    """(name, function), an error class' __init__ by the name of its class."""
    owners = {_own_init(c): c.name for c in nodes if isinstance(c, ast.ClassDef)}
    for node in nodes:
        if isinstance(node, Function):
            yield owners.get(node, node.name), node


def _own_calls(function: Function) -> Iterator[ast.Call]:
    """The calls in a function, not those in functions inside it."""
    todo: list[ast.AST] = list(ast.iter_child_nodes(function))
    while todo:
        node = todo.pop(0)
        if isinstance(node, Function):
            continue
        if isinstance(node, ast.Call):
            yield node
        todo += ast.iter_child_nodes(node)


def _assigned(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """{name: what is assigned to it}, also by `a, b = x, y`."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) else None
        for target in targets if value else ():
            for name, what in _unpacked(target, value):
                found.setdefault(name, []).append(what)
    return found


def _unpacked(target: ast.AST | None, value: Any) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple):
        values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
        for one, what in zip(target.elts, values, strict=False):
            yield from _unpacked(one, what)


def _filled(text: str) -> str:
    """A template with … in each field."""
    parts = text.replace("{{", "\0").replace("}}", "\1").split("{")
    return "".join([parts[0], *(SOME + p.partition("}")[2] for p in parts[1:])]).replace("\0", "{").replace("\1", "}")


def _joined(parts: list[list[str]]) -> list[str]:
    return ["".join(words) for words in islice(product(*parts), _MOST)]
