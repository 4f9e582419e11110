"""The expressions of rules:if and only:variables: `$A == "b" && $C`."""

from __future__ import annotations

import re


class ExpressionError(Exception):
    """It cannot be read."""


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
                raise ExpressionError
            self.tokens.append(found.groups())
            place = found.end()

    def is_true(self) -> bool:
        value = self._or()
        if self.tokens:
            raise ExpressionError
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
        return bool(regex(str(right)).search(str(left or ""))) == (operator == "=~")

    def _value(self) -> object:
        if self._next("("):
            value = self._or()
            if not self._next(")"):
                raise ExpressionError
            return value
        if not self.tokens or self.tokens[0][0]:
            raise ExpressionError
        _, name, double, single, pattern, _ = self.tokens.pop(0)
        if name:
            return self.variables.get(name)
        return next((text for text in (double, single, pattern) if text is not None), None)


def regex(text: str) -> re.Pattern[str]:
    found = re.fullmatch(r"/(.+)/([ismU]*)", text, re.DOTALL)
    if not found:
        raise ExpressionError
    return re.compile(found.group(1), re.I if "i" in found.group(2) else 0)


def is_expression(text: object) -> bool:
    try:
        Expression(str(text), {}).is_true()
    except (ExpressionError, re.error):
        return False
    return isinstance(text, str)
