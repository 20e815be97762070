"""The pins: names and versions only, and a marker where Python 3.10 gets another version."""

from __future__ import annotations

import re
from pathlib import Path

from scripts import constraints

PIN = re.compile(r'[a-z0-9._-]+==[a-z0-9.]+( ; python_version (<|>=) "3\.\d+")?')


def test_a_version_that_both_interpreters_get_has_no_marker() -> None:
    assert constraints.lines({"a": "1"}, {"a": "1"}, "3.11") == ["a==1"]


def test_a_version_that_differs_is_pinned_for_each() -> None:
    assert constraints.lines({"a": "1"}, {"a": "2", "b": "3"}, "3.11") == [
        'a==1 ; python_version < "3.11"',
        'a==2 ; python_version >= "3.11"',
        'b==3 ; python_version >= "3.11"',
    ]


def test_the_file_holds_names_and_versions_and_nothing_else() -> None:
    lines = Path(constraints.TARGET).read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert [line for line in pins if not PIN.fullmatch(line)] == []
