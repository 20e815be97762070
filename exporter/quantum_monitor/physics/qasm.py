"""OpenQASM 2 and 3 text: which gates act on which qubits.

What is read, and how it counts:

- registers, physical qubits (``$0``), aliases, index expressions of constants, ranges and sets; a gate on registers is
  broadcast to their qubits;
- a gate the text defines is expanded, unless it has the name of a standard gate (some writers define those in every
  file); with ``ctrl @`` each gate inside gets the control, ``pow(k) @`` repeats, ``inv @`` reverses. Any other name is
  one gate, so nothing has to be included and no file is opened;
- a ``for`` over constants is unrolled, a subroutine (``def``) is expanded where it is called;
- of the branches of an ``if`` or ``switch`` the one with the most statements counts, as if it ran;
- measurements, barriers, resets, delays, calibrations and global phases are no gates;
- while loops, ``break``, loops over run-time values and indices known only at run time cannot be counted and are
  a ValueError, as is a program that unrolls to more than a million operations.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, TypeAlias

from quantum_monitor.physics.circuit_objects import EXPANSION_LIMIT, NESTING_LIMIT, Wires
from quantum_monitor.physics.qasm_numbers import constant_range, evaluate
from quantum_monitor.physics.qasm_parser import parse
from quantum_monitor.physics.qasm_syntax import (
    Assign,
    AtRunTime,
    Call,
    Choice,
    Definition,
    Loop,
    Register,
    Statement,
    Tokens,
    fail,
    matching,
    split,
)

_Scope: TypeAlias = "ChainMap[str, Any]"
_Qubits: TypeAlias = "Sequence[int | str]"

STANDARD_GATES = frozenset(
    """
    id x y z h s sdg t tdg sx sxdg p phase r rx ry rz u u0 u1 u2 u3 U
    cx CX cy cz ch cs csdg csx cp cphase crx cry crz cu cu1 cu3 swap iswap dcx ecr rxx ryy rzz rzx
    xx_plus_yy xx_minus_yy ccx ccz cswap rccx rcccx c3x c3sx c3sqrtx c4x
    """.split()  # noqa: SIM905 - a table of names reads better than sixty quoted strings
)


def read_qasm(text: str) -> tuple[list[Wires], int]:
    """Return the qubits of each gate in order, and the number of qubits of the program.

    Raises:
        ValueError: malformed text, or a program that cannot be counted, with the line.
    """
    program = Program()
    wires = list(program.run(parse(text), ChainMap(program.names), 0))
    return wires, program.n_qubits + len(program.physical)


class Program:
    """What running the text has met so far."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.definitions: dict[str, Definition] = {}
        self.physical: set[str] = set()
        self.n_qubits = 0
        self.steps = 0

    def run(self, statements: list[Statement], scope: _Scope, depth: int) -> Iterator[Wires]:
        """Yield the qubits of each gate; ``depth`` 0 is the text itself, which has no limit but its length."""
        if depth > NESTING_LIMIT:
            fail(
                statements[0].line if statements else 0, f"definitions and blocks nested more than {NESTING_LIMIT} deep"
            )
        for statement in statements:
            if depth:
                self.count(statement.line)
            if isinstance(statement, Call):
                yield from self.call(statement, scope, depth)
            elif isinstance(statement, Choice):
                longest = max(statement.branches, key=len)
                yield from self.run(longest, scope.new_child(), depth + 1)
            elif isinstance(statement, Loop):
                yield from self.loop(statement, scope, depth)
            elif isinstance(statement, Assign):
                yield from self.assign(statement, scope, depth)
            elif isinstance(statement, AtRunTime):
                fail(statement.line, f"{statement.what} depends on the run and cannot be counted")
            else:
                self.declare(statement, scope)

    def count(self, line: int, *, free: bool = False) -> None:
        self.steps += not free
        if self.steps > EXPANSION_LIMIT:
            fail(line, f"the program unrolls to more than {EXPANSION_LIMIT} operations")

    def declare(self, statement: Register | Definition, scope: _Scope) -> None:
        if isinstance(statement, Definition):
            self.definitions[statement.name] = statement
            return
        size = evaluate(statement.size, scope, statement.line) if statement.size else 1
        if size < 1:
            fail(statement.line, f"register {statement.name} has size {size}; it needs one qubit or more")
        scope[statement.name] = range(self.n_qubits, self.n_qubits + size)
        self.n_qubits += size

    def assign(self, statement: Assign, scope: _Scope, depth: int) -> Iterator[Wires]:
        if statement.call is not None and statement.call.name in self.definitions:
            yield from self.call(statement.call, scope, depth)
        if statement.alias:
            scope[statement.name] = self.qubits(statement.value or [], scope, statement.line)
            return
        for names in scope.maps:  # from here on its value depends on the run, unless it is a declaration by constants
            if names.get(statement.name) is not None:
                names[statement.name] = None
        if statement.value is not None:
            try:
                scope[statement.name] = evaluate(statement.value, scope, statement.line)
            except ValueError:
                scope[statement.name] = None

    def loop(self, loop: Loop, scope: _Scope, depth: int) -> Iterator[Wires]:
        numbers = [evaluate(value, scope, loop.line) for value in loop.values]
        for value in constant_range(numbers, loop.line) if loop.is_range else numbers:
            self.count(loop.line)
            yield from self.run(loop.body, scope.new_child({loop.variable: value}), depth + 1)

    def call(self, call: Call, scope: _Scope, depth: int) -> Iterator[Wires]:
        definition = None if call.name in STANDARD_GATES else self.definitions.get(call.name)
        if definition is not None and definition.is_subroutine:
            body_scope = self.bind(definition, [*call.arguments, *call.operands], scope, call.line)
            yield from self.run(definition.body, body_scope, depth + 1)
            return
        if not call.operands and not call.arguments:
            fail(call.line, f"{call.name} acts on no qubit")
        controls, times, backwards = self.modifiers(call, scope)
        if definition is not None and len(call.operands) != controls + len(definition.qubits):
            expected = controls + len(definition.qubits)
            fail(call.line, f"{call.name} acts on {expected} qubits, {len(call.operands)} are given")
        for wires in self.broadcast(call, scope):
            self.count(call.line, free=depth == 0 and definition is None)
            if definition is None:
                yield wires
                continue
            bound = {name: [wire] for name, wire in zip(definition.qubits, wires[controls:], strict=True)}
            body: Iterator[Wires] | list[Wires] = self.run(definition.body, ChainMap(bound, self.names), depth + 1)
            if backwards or times != 1:
                body = list(body)[:: -1 if backwards else 1]
            for _ in range(times):
                self.count(call.line)
                for gate in body:
                    self.count(call.line)
                    yield wires[:controls] + gate

    def modifiers(self, call: Call, scope: _Scope) -> tuple[int, int, bool]:
        """Return the number of controls, how often the gate is repeated, and whether it is reversed."""
        controls, times, backwards = 0, 1, False
        for name, argument in call.modifiers:
            if name == "inv":
                backwards = not backwards
            elif name != "pow":
                controls += evaluate(argument, scope, call.line) if argument else 1
            elif call.name in self.definitions and call.name not in STANDARD_GATES:  # one gate to any power is one gate
                power = evaluate(argument, scope, call.line)
                times *= abs(power)
                backwards ^= power < 0
        return controls, times, backwards

    def bind(self, definition: Definition, given: list[Tokens], scope: _Scope, line: int) -> _Scope:
        """Return the scope of a subroutine's body: qubits as they are, constants where they are known."""
        if len(given) != len(definition.parameters):
            fail(line, f"{definition.name} takes {len(definition.parameters)} arguments, {len(given)} are given")
        bound: dict[str, Any] = {}
        for name, tokens in zip(definition.parameters, given, strict=True):
            if name in definition.qubits:
                bound[name] = self.qubits(tokens, scope, line)
                continue
            try:
                bound[name] = evaluate(tokens, scope, line)
            except ValueError:  # an angle or a run-time value: an error only if an index needs it
                bound[name] = None
        return ChainMap(bound, self.names)

    def broadcast(self, call: Call, scope: _Scope) -> Iterator[Wires]:
        """Yield the qubits of each application of a gate; registers of one size go along together."""
        operands = [self.qubits(operand, scope, call.line) for operand in call.operands]
        sizes = {len(operand) for operand in operands} - {1}
        if len(sizes) > 1 or 0 in sizes:
            fail(call.line, f"{call.name} is applied to registers of different or no size: {sorted(sizes)}")
        applications = max(sizes, default=1) if operands else 0
        together = [operand if len(operand) > 1 else repeat(operand[0], applications) for operand in operands]
        for wires in zip(*together, strict=True):
            if len(set(wires)) < len(wires):
                fail(call.line, f"{call.name} names a qubit twice")
            if applications > 1:
                self.count(call.line)
            yield wires

    def qubits(self, tokens: Tokens, scope: _Scope, line: int) -> _Qubits:
        """Return the qubits of an operand: a register, a part of it, a physical qubit, or several joined by ``++``."""
        parts = [self.qubit_term(part, scope, line) for part in split(tokens, "++")]
        if len(parts) == 1:
            return parts[0]
        if sum(map(len, parts)) > EXPANSION_LIMIT:
            fail(line, f"an alias of more than {EXPANSION_LIMIT} qubits")
        return [qubit for part in parts for qubit in part]

    def qubit_term(self, tokens: Tokens, scope: _Scope, line: int) -> _Qubits:
        if not tokens:
            fail(line, "a qubit is missing")
        first, rest = tokens[0], tokens[1:]
        if first.kind == "physical" and not rest:
            self.physical.add(first.text)
            return [first.text]
        chosen: _Qubits | None = scope.get(first.text)
        if not isinstance(chosen, (range, list)):
            fail(line, f"{first.text!r} is not a qubit or a register declared before")
        for _ in range(NESTING_LIMIT):
            if not rest:
                return chosen
            end = matching(rest, line) if rest[0].text == "[" else 0
            if end == 0:
                fail(line, f"{first.text} is followed by {rest[0].text!r}; expected an index in square brackets")
            chosen = _indexed(chosen, rest[1:end], scope, line, first.text)
            rest = rest[end + 1 :]
        return fail(line, f"{first.text} has more than {NESTING_LIMIT} indices")


def _indexed(qubits: _Qubits, index: Tokens, scope: _Scope, line: int, name: str) -> _Qubits:
    size = len(qubits)
    parts = split(index, ":")
    if len(parts) > 1:
        defaults = (0, size - 1) if len(parts) == 2 else (0, 1, size - 1)
        numbers = [evaluate(part, scope, line) if part else defaults[at] for at, part in enumerate(parts[:3])]
        for end in (0, -1):
            numbers[end] += size if numbers[end] < 0 else 0
        places: Sequence[int] = constant_range(numbers, line)
    elif index and index[0].text == "{":
        places = [evaluate(part, scope, line) for part in split(index[1:-1])]
    else:
        places = [evaluate(index, scope, line)]
    if len(places) > EXPANSION_LIMIT:
        fail(line, f"an index of more than {EXPANSION_LIMIT} qubits")
    for place in places:
        if not -size <= place < size:
            fail(line, f"{name}[{place}] is outside 0 to {size - 1}")
    return [qubits[place] for place in places]
