"""Constant integer expressions of OpenQASM: sizes, indices, ranges and powers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantum_monitor.physics.qasm_syntax import NESTING_LIMIT, Tokens, fail

_LARGEST = 2**63
_LONGEST = 1_000
_OPERATORS: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "|": (1, operator.or_),
    "^": (2, operator.xor),
    "&": (3, operator.and_),
    "<<": (4, lambda a, b: a << b),
    ">>": (4, operator.rshift),
    "+": (5, operator.add),
    "-": (5, operator.sub),
    "*": (6, operator.mul),
    "/": (6, lambda a, b: a // b),
    "%": (6, operator.mod),
    "**": (7, lambda a, b: a**b),
}
_UNARY_PRECEDENCE = 6


def evaluate(tokens: Tokens, names: Mapping[str, Any], line: int) -> int:
    """Evaluate an integer expression.

    Args:
        tokens: the expression.
        names: what names stand for: an int is a constant, a sequence of qubits has a ``sizeof``, None is not known.
        line: where it stands, for the error.

    Raises:
        ValueError: it is malformed, needs a value known only at run time, or does not fit 64 bits.
    """
    if len(tokens) > _LONGEST:
        fail(line, f"an expression of {len(tokens)} words, more than {_LONGEST}")
    value, rest = _expression(tokens, names, line, 0, 0)
    if rest:
        fail(line, f"unexpected {rest[0].text!r} in {_text(tokens)!r}")
    return value


def constant_range(numbers: Sequence[int], line: int) -> range:
    """Return the values of ``first:last`` or ``first:step:last``, both ends included, as OpenQASM has it."""
    if len(numbers) not in (2, 3):
        fail(line, "a range is first:last or first:step:last")
    first, last = numbers[0], numbers[-1]
    step = numbers[1] if len(numbers) == 3 else 1
    if step == 0:
        fail(line, "a range of step 0 never ends")
    return range(first, last + (1 if step > 0 else -1), step)


def _expression(tokens: Tokens, names: Mapping[str, Any], line: int, least: int, depth: int) -> tuple[int, Tokens]:
    """Read operators that bind at least as tightly as ``least`` (precedence climbing); return value and rest."""
    if depth > NESTING_LIMIT:
        fail(line, f"an expression nested more than {NESTING_LIMIT} deep")
    value, tokens = _term(tokens, names, line, depth)
    while tokens and tokens[0].text in _OPERATORS and _OPERATORS[tokens[0].text][0] >= least:
        sign = tokens[0].text
        precedence, function = _OPERATORS[sign]
        other, tokens = _expression(tokens[1:], names, line, precedence + (sign != "**"), depth + 1)
        if sign in {"**", "<<", ">>"} and not 0 <= other < 64:
            fail(line, f"{sign} {other} is outside 0 to 63")
        if sign in {"/", "%"} and other == 0:
            fail(line, "a division by zero")
        value = function(value, other)
        if abs(value) > _LARGEST:
            fail(line, "a constant that does not fit 64 bits")
    return value, tokens


def _term(tokens: Tokens, names: Mapping[str, Any], line: int, depth: int) -> tuple[int, Tokens]:
    if not tokens:
        fail(line, "a number is missing")
    first, rest = tokens[0], tokens[1:]
    if first.text in {"-", "+"}:
        value, rest = _expression(rest, names, line, _UNARY_PRECEDENCE, depth + 1)
        return (-value if first.text == "-" else value), rest
    if first.text == "(":
        value, rest = _expression(rest, names, line, 0, depth + 1)
        if not rest or rest[0].text != ")":
            fail(line, "this ( is never closed")
        return value, rest[1:]
    if first.kind == "number":
        return _integer(first.text, line), rest
    if first.text == "sizeof" and len(rest) >= 3 and rest[0].text == "(" and rest[2].text == ")":
        if not hasattr(names.get(rest[1].text), "__len__"):
            fail(line, f"sizeof({rest[1].text}) is of something that is not a register")
        return len(names[rest[1].text]), rest[3:]
    constant = names.get(first.text)
    if not isinstance(constant, int):
        fail(line, f"{first.text!r} is not a constant whole number; what depends on the run cannot be counted")
    return constant, rest


def _integer(text: str, line: int) -> int:
    digits = text.replace("_", "")
    try:
        value = int(digits, 0 if digits[:2].lower() in {"0x", "0b", "0o"} else 10)
    except ValueError:
        fail(line, f"{text[:40]!r} is not a whole number")
    if value > _LARGEST:
        fail(line, f"{text[:40]!r} does not fit 64 bits")
    return value


def _text(tokens: Tokens) -> str:
    return " ".join(token.text for token in tokens)[:80]
