"""Bounded, safe reading of YAML: what is in a configuration file, where, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_BYTES_AT_MOST = 100_000
_DEPTH_AT_MOST = 10

Place = tuple[str, ...]
"""Where a value stands: its key, and the keys around it from the outside in."""


@dataclass
class Document:
    """What a YAML text holds.

    Attributes:
        values: the value of each top-level key.
        lines: the line, from 1, on which each key stands.
        problems: what is wrong with the text, as place, line (0 if it has none) and sentence.
    """

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[tuple[Place, int, str]] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses aliases and deep nesting, and reads 1e-6 as the number that it is."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not read here; write the value out", problem_mark=event.start_mark
            )
        if self.depth > _DEPTH_AT_MOST:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {_DEPTH_AT_MOST} levels; no setting needs that",
                problem_mark=event.start_mark,
            )
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


# YAML 1.1 wants a dot in a float: without this, `barren_plateau: 1e-6` would be a text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_file(path: Path) -> Document:
    """Read a YAML file with one mapping at its top. Whatever is wrong with it stands in the document's ``problems``."""
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_AT_MOST + 1)
    except OSError as error:
        return _hopeless(0, f"cannot be read: {error.strerror}; give the path of a readable YAML file")
    if len(content) > _BYTES_AT_MOST:
        return _hopeless(0, f"has more than {_BYTES_AT_MOST} bytes; no configuration needs that")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _hopeless(line, "is not UTF-8 text; save it as UTF-8")
    return _read_mapping(text)


def read_value(text: str) -> Any:
    """Read one YAML value, for instance from an environment variable.

    Raises:
        ValueError: the text is no YAML, too long or too deep.
    """
    if len(text) > _BYTES_AT_MOST:
        raise ValueError(f"has more than {_BYTES_AT_MOST} characters")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        document = Document()
        _note_keys(node, (), document)
        if document.problems:
            raise ValueError(document.problems[0][2])
        return _construct(loader, node)
    except yaml.YAMLError as error:
        raise ValueError(f"is not valid YAML: {_position(error)[1]}") from None


def _read_mapping(text: str) -> Document:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        return _hopeless(*_position(error))
    document = Document()
    if node is None:
        return document
    if not isinstance(node, yaml.MappingNode):
        return _hopeless(node.start_mark.line + 1, "is not a mapping; write one `field: value` a line")
    _note_keys(node, (), document)
    for key_node, value_node in node.value:
        key = key_node.value
        if not isinstance(key, str) or key in document.values:
            continue  # noted as a problem above
        try:
            document.values[key] = _construct(loader, value_node)
        except (yaml.YAMLError, ValueError) as error:
            reason = _position(error)[1] if isinstance(error, yaml.YAMLError) else str(error)
            document.problems.append(((key,), value_node.start_mark.line + 1, reason))
    return document


def _construct(loader: _Loader, node: yaml.Node) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError:
        raise
    except (ValueError, OverflowError, RecursionError):  # a date such as 2024-13-45, an integer of 5,000 digits
        raise ValueError("is no value that can be read; write a plain text, number or mapping") from None


def _note_keys(node: yaml.Node, place: Place, document: Document) -> None:
    """Note the line of every key below ``node``, and every key that is given twice or is no plain text."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _note_keys(item, place, document)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[Hashable, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append((place, line, "a key is not a plain text; write `key: value`"))
            continue
        key = key_node.value
        inner = (*place, key)
        if key in seen:
            document.problems.append((inner, line, f"is given twice, first on line {seen[key]}; keep one"))
            continue
        seen[key] = document.lines[inner] = line
        _note_keys(value_node, inner, document)


def _hopeless(line: int, reason: str) -> Document:
    return Document(problems=[((), line, reason)])


def _position(error: yaml.YAMLError) -> tuple[int, str]:
    """Line and sentence of a YAML error, without the text around it: that may hold a secret."""
    if isinstance(error, yaml.reader.ReaderError):
        return 0, f"has a character that YAML does not allow (number {error.character:#x}, position {error.position})"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "syntax error"
    if mark is None:
        return 0, str(problem)
    return mark.line + 1, f"column {mark.column + 1}: {problem}"
