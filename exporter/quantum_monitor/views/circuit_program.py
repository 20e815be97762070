"""OpenQASM text as a list of gates, as they are written: what the text defines is one box, not what it is made of.

Loops over constants are unrolled, both branches of an ``if`` are listed with their conditions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeAlias

from quantum_monitor.physics.qasm import Program
from quantum_monitor.physics.qasm_numbers import constant_range, evaluate
from quantum_monitor.physics.qasm_parser import Parser
from quantum_monitor.physics.qasm_syntax import (
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
    split,
    tokenise,
)
from quantum_monitor.views.circuit_gates import SHAPES, Gate, GateList, Parameter, gate

_Scope: TypeAlias = "ChainMap[str, Any]"
_LONGEST = 200  # characters that a gate takes, amply
_ASIDES = frozenset(["measure", "barrier", "reset"])


@dataclass(frozen=True)
class _Conditional(Choice):
    """An ``if`` with the text of its condition."""

    condition: str


def read_program(text: str, limit: int) -> GateList:
    """Return the first gates of an OpenQASM program.

    Raises:
        ValueError: malformed text, or a program that cannot be unrolled, with the line.
    """
    statements = _statements(text, limit)
    program = _DrawnProgram()
    gates = list(islice(program.gates(statements, ChainMap(program.names), 0, ""), limit))
    physical = sorted(program.physical, key=lambda name: int(name[1:]))
    places = {name: program.n_qubits + place for place, name in enumerate(physical)}

    def label(wire: int) -> str:
        return program.label(wire) if wire < program.n_qubits else physical[wire - program.n_qubits]

    return GateList(program.n_qubits + len(physical), label, [_placed(gate, places) for gate in gates])


def _statements(text: str, limit: int) -> list[Statement]:
    """Parse a text, or of one that is far longer than ``limit`` gates can be, its beginning."""
    beginning = text[: text.find("\n", limit * _LONGEST)] if "\n" in text[limit * _LONGEST :] else text
    parser = _DrawnParser(tokenise(beginning))
    statements: list[Statement] = []
    while parser.tokens[parser.at].kind != "end":
        try:
            statements += parser.statement()
        except ValueError:
            if beginning is text:
                raise
            break  # the statement that was cut
    return statements


def _placed(drawn: Gate, places: dict[str, int]) -> Gate:
    """The gate with its physical qubits numbered behind the declared ones."""
    if not places:
        return drawn
    changed = [tuple([places.get(str(qubit), qubit) for qubit in part]) for part in (drawn.controls, drawn.targets)]
    zeros = tuple([places.get(str(qubit), qubit) for qubit in drawn.zeros])
    return drawn._replace(controls=changed[0], targets=changed[1], zeros=zeros)


class _DrawnParser(Parser):
    """Keeps what only a drawing needs: measurements, barriers, resets and conditions."""

    def statement(self) -> list[Statement]:
        first = self.at
        token = self.tokens[first]
        if token.text in _ASIDES:
            self.at += 1
            words = self.until(";")
            arrow = next((at for at, word in enumerate(words) if word.text == "->"), len(words))
            return [Call(token.line, token.text, [words[arrow + 1 :]], split(words[:arrow]))]
        statements = super().statement()
        words = self.tokens[first : self.at]
        at = next((at for at, word in enumerate(words) if word.text == "measure"), 0)
        if at and len(statements) == 1 and isinstance(statements[0], Assign):
            return [Call(token.line, "measure", [_assigned(words[: at - 1])], split(words[at + 1 : -1]))]
        return statements

    def choice(self) -> list[Statement]:
        first = self.at
        condition = _text(self.bracketed("("))
        self.at = first
        return [
            _Conditional(made.line, made.branches, condition) for made in super().choice() if isinstance(made, Choice)
        ]


def _assigned(words: list[Token]) -> list[Token]:
    """Return the name, with an index, that stands at the end of the left side of an assignment."""
    start = next((at for at, word in enumerate(words) if word.kind == "name" and word.text != "bit"), 0)
    return words[start:]


class _DrawnProgram(Program):
    """Runs the statements and yields gates where the counting one yields their qubits."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[int] = []
        self.registers: list[tuple[str, bool]] = []

    def declare(self, statement: Register | Definition, scope: _Scope) -> None:
        start = self.n_qubits
        super().declare(statement, scope)
        if isinstance(statement, Register):
            self.starts.append(start)
            self.registers.append((statement.name, bool(statement.size)))

    def label(self, wire: int) -> str:
        """What the text calls a declared qubit."""
        at = bisect_right(self.starts, wire) - 1
        name, is_array = self.registers[at]
        return f"{name}[{wire - self.starts[at]}]" if is_array else name

    def gates(self, statements: list[Statement], scope: _Scope, depth: int, condition: str) -> Iterator[Gate]:
        if depth > NESTING_LIMIT:
            fail(statements[0].line if statements else 0, f"blocks nested more than {NESTING_LIMIT} deep")
        for statement in statements:
            if isinstance(statement, Call):
                yield from self.called(statement, scope, condition)
            elif isinstance(statement, Choice):
                yield from self.chosen(statement, scope, depth, condition)
            elif isinstance(statement, Loop):
                yield from self.repeated(statement, scope, depth, condition)
            elif isinstance(statement, Assign):
                if statement.call is not None and statement.call.name in self.definitions:
                    yield from self.called(statement.call, scope, condition)
                list(self.assign(replace(statement, call=None), scope, depth))
            elif isinstance(statement, AtRunTime):
                fail(statement.line, f"{statement.what} depends on the run and cannot be drawn")
            else:
                self.declare(statement, scope)

    def chosen(self, choice: Choice, scope: _Scope, depth: int, condition: str) -> Iterator[Gate]:
        given = choice.condition if isinstance(choice, _Conditional) else ""
        whens = (given, f"not ({given})") if given else [""] * len(choice.branches)
        for branch, when in zip(choice.branches, whens, strict=False):
            both = f"{condition} && {when}" if condition and when else condition or when
            yield from self.gates(branch, scope.new_child(), depth + 1, both)

    def repeated(self, loop: Loop, scope: _Scope, depth: int, condition: str) -> Iterator[Gate]:
        numbers = [evaluate(value, scope, loop.line) for value in loop.values]
        for value in constant_range(numbers, loop.line) if loop.is_range else numbers:
            self.count(loop.line)
            yield from self.gates(loop.body, scope.new_child({loop.variable: value}), depth + 1, condition)

    def called(self, call: Call, scope: _Scope, condition: str) -> Iterator[Gate]:
        if call.name in _ASIDES:
            operands = [self.wires(self.qubits(operand, scope, call.line)) for operand in call.operands]
            together = tuple([wire for operand in operands for wire in operand]) or tuple(range(self.n_qubits))
            clbits = _clbits(call.arguments[0], len(together)) if call.name == "measure" else ()
            yield Gate(call.name, call.name, (), (), together, (), clbits, condition)
            return
        definition = self.definitions.get(call.name)
        if definition is not None and definition.is_subroutine:
            given = [*call.arguments, *call.operands]
            taken = zip(definition.parameters, given, strict=False)
            named = [self.qubits(operand, scope, call.line) for name, operand in taken if name in definition.qubits]
            wires = self.wires([qubit for part in named for qubit in part])
            yield Gate(call.name, call.name, targets=wires, condition=condition)
            return
        values = [_value(argument, scope) for argument in call.arguments]
        n_controls, zeros, name = self.modified(call, scope)
        for qubits in self.broadcast(call, scope):
            self.count(call.line)
            wires = self.wires(qubits)
            plain = (
                definition is not None and call.name not in SHAPES
            )  # the text's own gate, whatever its name suggests
            if plain or name != call.name:
                made = Gate(name, name, tuple(values), wires[:n_controls], wires[n_controls:])
            else:
                made = gate(name, wires, values, controls=n_controls, base=name if n_controls else "")
            yield made._replace(zeros=tuple([wires[at] for at in zeros]), condition=condition)

    def modified(self, call: Call, scope: _Scope) -> tuple[int, list[int], str]:
        """Return how many controls the modifiers add, which of them must be 0, and the name with the other ones."""
        n_controls, zeros, name = 0, [], call.name
        for word, argument in call.modifiers:
            if word == "inv":
                name += "\N{DAGGER}"
            elif word == "pow":
                name += f"^{_text(argument)}"
            else:
                added = evaluate(argument, scope, call.line) if argument else 1
                zeros += list(range(n_controls, n_controls + added)) if word == "negctrl" else []
                n_controls += added
        return n_controls, zeros, name

    def wires(self, qubits: Any) -> tuple[int, ...]:
        return tuple(qubits)


def _clbits(into: Tokens, count: int) -> tuple[str, ...]:
    written = _text(into)
    if count == 1 or not written or written.endswith("]"):
        return (written,) * count if written else ()
    return tuple([f"{written}[{at}]" for at in range(count)])


def _value(argument: Tokens, scope: _Scope) -> Parameter:
    written = _text(argument)
    try:
        return float(written)
    except ValueError:
        named = [str(scope[word.text]) if isinstance(scope.get(word.text), int) else word.text for word in argument]
        return "".join(named)


def _text(tokens: Tokens) -> str:
    return "".join(
        [
            f" {token.text} " if token.text in {"==", "!=", "<", ">", "<=", ">=", "&&", "||"} else token.text
            for token in tokens
        ]
    )
