"""Words and statements of OpenQASM 2 and 3, as far as they decide which gates act on which qubits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeAlias

NESTING_LIMIT = 64

_TOKENS = re.compile(
    r"""(?P<blank>^[^\S\n]*(?:\#?pragma\b|@\w)[^\n]*|\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>"[^"\n]*"|'[^'\n]*')
    |(?P<number>0[xX][\da-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<physical>\$\d+)
    |(?P<symbol>->|==|!=|<=|>=|&&|\|\||\+\+|(?:\*\*|<<|>>|[-+*/%&|^~])=?|[=!<>@(){}\[\];:,.])""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
CLOSING = {"(": ")", "[": "]", "{": "}"}


class Token(NamedTuple):
    """A word of the text: its kind (string, number, name, physical, symbol, end), itself, and its line from 1."""

    kind: str
    text: str
    line: int


Tokens: TypeAlias = Sequence[Token]


@dataclass(frozen=True)
class Call:
    """A gate or subroutine applied: ``modifiers @ name(arguments) operands;``."""

    line: int
    name: str
    arguments: list[Tokens]
    operands: list[Tokens]
    modifiers: list[tuple[str, Tokens]] = field(default_factory=list)


@dataclass(frozen=True)
class Register:
    """``qubit[size] name;`` or ``qreg name[size];``; a single qubit has no size."""

    line: int
    name: str
    size: Tokens


@dataclass(frozen=True)
class Assign:
    """A classical value, or where ``alias`` a set of qubits, given to a name; None where only running could tell."""

    line: int
    name: str
    value: Tokens | None
    call: Call | None = None
    alias: bool = False


@dataclass(frozen=True)
class Loop:
    """``for`` over the values of a range (2 or 3 parts) or a set."""

    line: int
    variable: str
    values: list[Tokens]
    is_range: bool
    body: list[Statement]


@dataclass(frozen=True)
class Choice:
    """``if``/``else``, ``switch`` (one of the branches runs) or a plain block (its only branch does)."""

    line: int
    branches: list[list[Statement]]


@dataclass(frozen=True)
class Definition:
    """``gate`` (parameters are angles, qubits come apart) or ``def`` (``qubits`` are some of the ``parameters``)."""

    line: int
    name: str
    is_subroutine: bool
    parameters: list[str]
    qubits: list[str]
    body: list[Statement]


@dataclass(frozen=True)
class AtRunTime:
    """What only running the program could count."""

    line: int
    what: str


Statement: TypeAlias = "Call | Register | Assign | Loop | Choice | Definition | AtRunTime"


def fail(line: int, reason: str) -> NoReturn:
    """Raise the one kind of error this reader raises."""
    raise ValueError(f"circuit: OpenQASM line {line}: {reason}")


def split(tokens: Tokens, separator: str = ",") -> list[Tokens]:
    """Split at separators that stand outside all brackets; no tokens give no parts."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "symbol":
            depth += (token.text in CLOSING) - (token.text in ")]}")
            if depth == 0 and token.text == separator:
                parts.append([])
                continue
        parts[-1].append(token)
    return list(parts) if tokens else []


def matching(tokens: Tokens, line: int) -> int:
    """Return the index of the bracket that closes the one the tokens begin with."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.kind == "symbol":
            depth += (token.text in CLOSING) - (token.text in ")]}")
            if depth == 0:
                return index
    return fail(line, f"this {tokens[0].text} is never closed")


def tokenise(text: str) -> list[Token]:
    """Cut a text into words, without comments, pragmas and annotations; the last one is of kind ``end``."""
    tokens: list[Token] = []
    position, line = 0, 1
    for match in _TOKENS.finditer(text):
        if match.start() != position:
            break
        position = match.end()
        kind = match.lastgroup
        if kind == "blank":
            line += match.group().count("\n")
        elif text.startswith("/*", match.start()):
            fail(line, "this comment is never closed")
        else:
            tokens.append(Token(str(kind), match.group(), line))
    if position < len(text):
        fail(line, f"unexpected character {text[position]!r}")
    tokens.append(Token("end", "the end of the text", line))
    return tokens
