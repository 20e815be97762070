"""OpenQASM 2 and 3 text into statements.

Angles, types and classical arithmetic are stepped over. Nothing here recurses deeper than `NESTING_LIMIT`.
"""

from __future__ import annotations

from collections.abc import Callable

from quantum_monitor.physics.qasm_syntax import (
    CLOSING,
    NESTING_LIMIT,
    Assign,
    AtRunTime,
    Call,
    Choice,
    Definition,
    Loop,
    Register,
    Statement,
    Token,
    Tokens,
    fail,
    matching,
    split,
    tokenise,
)

_CLASSICAL_TYPES = frozenset(
    (
        *("bit", "creg", "int", "uint", "float", "angle", "bool", "complex", "duration", "stretch", "array"),
        *("const", "input", "output", "readonly", "mutable"),
    )
)
_SKIPPED = frozenset(
    (
        *("OPENQASM", "include", "opaque", "extern", "defcalgrammar", "return", "end"),
        *("measure", "barrier", "reset", "delay", "nop"),
    )
)
_AT_RUN_TIME = {"break": "a loop ended by break", "continue": "a loop shortened by continue"}
_ASSIGNMENTS = frozenset(["=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "~=", "**=", "<<=", ">>="])


def parse(text: str) -> list[Statement]:
    """Parse a whole program.

    Raises:
        ValueError: malformed text, with the line.
    """
    return Parser(tokenise(text)).program()


class Parser:
    """Walks the tokens once; ``at`` is the next one."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.readers: dict[str, Callable[[], list[Statement]]] = {
            "gate": self.gate_definition,
            "def": self.subroutine,
            "qubit": self.qubit,
            "qreg": self.qreg,
            "let": self.alias,
            "for": self.loop,
            "while": self.while_loop,
            "if": self.choice,
            "switch": self.switch,
            "box": self.box,
            "cal": self.calibration,
            "defcal": self.calibration,
        }

    def program(self) -> list[Statement]:
        statements: list[Statement] = []
        while self.tokens[self.at].kind != "end":
            statements += self.statement()
        return statements

    def statement(self) -> list[Statement]:
        token = self.tokens[self.at]
        if token.text == "{":
            return [Choice(token.line, [self.body()])]
        if reader := self.readers.get(token.text):
            self.at += 1
            return reader()
        if token.kind != "name" and token.text != ";":
            fail(token.line, f"expected a statement, found {token.text!r}")
        words = self.until(";")
        if not words or token.text in _SKIPPED:
            return []
        if token.text in _AT_RUN_TIME:
            return [AtRunTime(token.line, _AT_RUN_TIME[token.text])]
        return _simple(words, token.line)

    def body(self) -> list[Statement]:
        """Read a block, or the single statement that may stand in its place."""
        self.depth += 1
        if self.depth > NESTING_LIMIT:
            fail(self.tokens[self.at].line, f"blocks nested more than {NESTING_LIMIT} deep")
        statements: list[Statement] = []
        if self.tokens[self.at].text != "{":
            statements += self.statement()
        else:
            opened = self.take("{")
            while self.tokens[self.at].text != "}":
                if self.tokens[self.at].kind == "end":
                    fail(opened.line, "this { is never closed")
                statements += self.statement()
            self.at += 1
        self.depth -= 1
        return statements

    def gate_definition(self) -> list[Statement]:
        name = self.take_kind("name")
        parameters = self.bracketed("(") if self.tokens[self.at].text == "(" else []
        angles = [_only_name(part, name.line) for part in split(parameters)]
        qubits = [_only_name(part, name.line) for part in split(self.until("{", keep=True))]
        return [Definition(name.line, name.text, False, angles, qubits, self.body())]

    def subroutine(self) -> list[Statement]:
        name = self.take_kind("name")
        parts = split(self.bracketed("("))
        if not all(part and part[-1].kind in {"name", "symbol"} for part in parts):
            fail(name.line, f"the parameters of {name.text} cannot be read")
        names = [next((token.text for token in reversed(part) if token.kind == "name"), "") for part in parts]
        qubits = [named for named, part in zip(names, parts, strict=True) if part[0].text in {"qubit", "qreg"}]
        self.until("{", keep=True)
        return [Definition(name.line, name.text, True, names, qubits, self.body())]

    def qubit(self) -> list[Statement]:
        size = self.bracketed("[") if self.tokens[self.at].text == "[" else []
        name = self.take_kind("name")
        self.take(";")
        return [Register(name.line, name.text, size)]

    def qreg(self) -> list[Statement]:
        name = self.take_kind("name")
        size = self.bracketed("[") if self.tokens[self.at].text == "[" else []
        self.take(";")
        return [Register(name.line, name.text, size)]

    def alias(self) -> list[Statement]:
        name = self.take_kind("name")
        self.take("=")
        return [Assign(name.line, name.text, self.until(";"), alias=True)]

    def loop(self) -> list[Statement]:
        line = self.tokens[self.at - 1].line
        head = self.until("in")
        if not head or head[-1].kind != "name":
            fail(line, "expected `for TYPE NAME in [FIRST:LAST]` or `in {VALUES}`")
        opening = self.tokens[self.at].text
        if opening not in {"[", "{"}:
            what = f"a loop over {opening}"
            while self.tokens[self.at].text not in {"{", ";"} and self.tokens[self.at].kind != "end":
                self.at += 1
            self.body()
            return [AtRunTime(line, what)]
        values = split(self.bracketed(opening), ":" if opening == "[" else ",")
        return [Loop(line, head[-1].text, values, opening == "[", self.body())]

    def while_loop(self) -> list[Statement]:
        line = self.tokens[self.at - 1].line
        self.bracketed("(")
        self.body()
        return [AtRunTime(line, "a while loop")]

    def choice(self) -> list[Statement]:
        line = self.tokens[self.at - 1].line
        self.bracketed("(")
        branches = [self.body()]
        if self.tokens[self.at].text == "else":
            self.at += 1
            branches.append(self.body())
        return [Choice(line, branches)]

    def switch(self) -> list[Statement]:
        line = self.tokens[self.at - 1].line
        self.bracketed("(")
        self.take("{")
        branches: list[list[Statement]] = []
        while self.tokens[self.at].text in {"case", "default"}:
            self.until("{", keep=True)
            branches.append(self.body())
        self.take("}")
        return [Choice(line, branches)] if branches else []

    def box(self) -> list[Statement]:
        line = self.tokens[self.at - 1].line
        if self.tokens[self.at].text == "[":
            self.bracketed("[")
        return [Choice(line, [self.body()])]

    def calibration(self) -> list[Statement]:
        self.until("{", keep=True)
        self.bracketed("{")
        return []

    def take(self, text: str) -> Token:
        token = self.tokens[self.at]
        if token.text != text:
            fail(token.line, f"expected {text!r}, found {token.text!r}")
        self.at += 1
        return token

    def take_kind(self, kind: str) -> Token:
        token = self.tokens[self.at]
        if token.kind != kind:
            fail(token.line, f"expected a {kind}, found {token.text!r}")
        self.at += 1
        return token

    def until(self, text: str, *, keep: bool = False) -> list[Token]:
        """Take everything before a word, and the word too unless ``keep``."""
        start, first = self.at, self.tokens[self.at].line
        while (token := self.tokens[self.at]).text != text:
            if token.kind == "end" or (token.text in {"{", "}", ";"} and text != "}" and not self.in_set(token)):
                fail(first, f"expected {text!r} before {token.text!r}")
            self.at += 1
        taken = self.tokens[start : self.at]
        self.at += not keep
        return taken

    def in_set(self, token: Token) -> bool:
        """Tell whether a brace belongs to a set such as ``q[{0, 2}]``, and step over what is inside it."""
        if token.text != "{" or self.at == 0 or self.tokens[self.at - 1].text not in {"[", "=", ",", "("}:
            return False
        self.bracketed("{")
        self.at -= 1
        return True

    def bracketed(self, opening: str) -> list[Token]:
        """Take a bracket and return what is inside it."""
        opened = self.take(opening)
        start, depth = self.at, 1
        while depth:
            token = self.tokens[self.at]
            if token.kind == "end":
                fail(opened.line, f"this {opening} is never closed")
            if token.kind == "symbol":
                depth += (token.text == opening) - (token.text == CLOSING[opening])
            self.at += 1
        return self.tokens[start : self.at - 1]


def _simple(tokens: list[Token], line: int) -> list[Statement]:
    """Read a statement that ends in a semicolon: a classical declaration, an assignment, or a gate."""
    equals = next(
        (index for index, token in enumerate(tokens) if token.text in _ASSIGNMENTS and token.kind == "symbol"), None
    )
    if equals is not None:
        return _assignment(tokens, equals, line)
    if tokens[0].text in _CLASSICAL_TYPES:
        return []
    return [_call(tokens, line)]


def _assignment(tokens: list[Token], equals: int, line: int) -> list[Statement]:
    left, right = tokens[:equals], tokens[equals + 1 :]
    if not left or not right:
        fail(line, "an assignment needs a name before and a value after its sign")
    declared = left[0].text in _CLASSICAL_TYPES
    named = left[-1] if declared else left[0]
    call = None
    if right[0].kind == "name" and len(right) > 1 and right[1].text == "(" and right[-1].text == ")":
        call = _call(right, line)
    return [Assign(line, named.text, right if declared and call is None else None, call)]


def _call(tokens: list[Token], line: int) -> Call:
    *modified, last = split(tokens, "@")
    modifiers = []
    for part in modified:
        if not part or part[0].text not in {"ctrl", "negctrl", "inv", "pow"}:
            fail(line, "before @ stands ctrl, negctrl, inv or pow")
        modifiers.append((part[0].text, part[2:-1] if len(part) > 3 else []))
    if not last or last[0].kind != "name":
        fail(line, f"expected the name of a gate, found {last[0].text if last else 'nothing'!r}")
    name, rest = last[0].text, last[1:]
    arguments: Tokens = []
    for opening in ("(", "["):  # angles, and in OpenQASM 3 a duration behind them
        if rest and rest[0].text == opening:
            end = matching(rest, line)
            arguments = rest[1:end] if opening == "(" else arguments
            rest = rest[end + 1 :]
    operands = split(rest)
    if not all(operands):
        fail(line, f"{name} is missing a qubit beside a comma")
    return Call(line, name, split(arguments), operands, modifiers)


def _only_name(tokens: Tokens, line: int) -> str:
    if len(tokens) != 1 or tokens[0].kind != "name":
        fail(line, f"expected a name, found {' '.join(token.text for token in tokens)!r}")
    return tokens[0].text
