"""Plug-in metrics: what they may return, what happens when they fail, and how they are found."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_monitor import plugins
from quantum_monitor.faults import FAULTS


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    for plugin in (*plugins.STATE, *plugins.CIRCUIT, *plugins.GRADIENT):
        plugins.unregister(plugin.name)


def test_each_decorator_registers_for_its_kind_and_gives_the_function_back() -> None:
    @plugins.state_metric("weight")
    def weight(state: Any) -> float:
        return float(np.sum(np.abs(state) ** 2))

    @plugins.circuit_metric()
    def length(circuit: Any) -> float:
        return len(circuit)

    @plugins.gradient_metric()
    def largest(gradient: Any) -> float:
        return float(np.max(gradient))

    assert weight([1.0, 1.0]) == 2.0
    assert plugins.evaluate("state", np.array([1.0, 1.0])) == {"weight": 2.0}
    assert plugins.evaluate("circuit", [1, 2, 3]) == {"length": 3.0}
    assert plugins.evaluate("gradient", [1.0, 4.0]) == {"largest": 4.0}


def test_the_lists_say_whether_there_is_anything_to_call() -> None:
    assert not plugins.GRADIENT
    plugins.gradient_metric("g")(lambda _: 1.0)
    assert len(plugins.GRADIENT) == 1
    plugins.unregister("g")
    assert not plugins.GRADIENT
    assert plugins.evaluate("gradient", [1.0]) == {}


def test_a_mapping_gives_several_metrics_and_an_empty_one_none() -> None:
    plugins.state_metric("many")(lambda _: {"a": 1, "b": np.float32(2), "c": np.array(3.0), "d": True})
    plugins.state_metric("none")(lambda _: {})
    assert plugins.evaluate("state", None) == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 1.0}


def test_nan_is_a_measurement() -> None:
    plugins.state_metric("nan")(lambda _: float("nan"))
    assert np.isnan(plugins.evaluate("state", None)["nan"])


def test_names_are_cut_at_128_characters() -> None:
    plugins.state_metric("x" * 500)(lambda _: 1.0)
    plugins.state_metric("map")(lambda _: {"y" * 500: 2.0})
    assert plugins.evaluate("state", None) == {"x" * 128: 1.0, "y" * 128: 2.0}
    plugins.unregister("x" * 500)
    assert list(plugins.evaluate("state", None)) == ["y" * 128]


def test_a_cell_run_again_replaces_its_function_even_for_another_kind() -> None:
    plugins.state_metric("again")(lambda _: 1.0)
    plugins.circuit_metric("again")(lambda _: 2.0)
    assert plugins.evaluate("state", None) == {}
    assert plugins.evaluate("circuit", None) == {"again": 2.0}


def test_a_decorator_without_parentheses_or_name_is_refused() -> None:
    with pytest.raises(TypeError, match="parentheses"):
        plugins.state_metric(lambda _: 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        plugins.state_metric(" ")(lambda _: 1.0)


def test_forgetting_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        plugins.unregister("never registered")


@pytest.mark.parametrize(
    "nonsense",
    [
        "0.5",
        None,
        1j,
        np.complex64(1),
        [1.0],
        np.ones(2),
        {"a": "b"},
        {1: 1.0},
        {"": 1.0},
        {"a": 1.0, "b": None},
        object(),
    ],
)
def test_nonsense_is_counted_and_measures_nothing(nonsense: object) -> None:
    plugins.state_metric("nonsense")(lambda _: nonsense)
    plugins.state_metric("sound")(lambda _: 1.0)
    before = FAULTS.errors["plugin:nonsense"]
    assert plugins.evaluate("state", None) == {"sound": 1.0}
    assert FAULTS.errors["plugin:nonsense"] == before + 1


def test_a_plug_in_that_raises_is_counted_logged_once_and_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    calls = iter(range(1_000))

    @plugins.state_metric("raises")
    def raises(_: Any) -> float:
        raise RuntimeError(f"call {next(calls)}")

    with caplog.at_level(logging.WARNING, "quantum_monitor"):
        for _ in range(plugins.FAILURES_IN_A_ROW + 5):
            assert plugins.evaluate("state", None) == {}
    assert next(calls) == plugins.FAILURES_IN_A_ROW
    assert FAULTS.errors["plugin:raises"] == plugins.FAILURES_IN_A_ROW
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "call 0" in told[0]
    assert "switched off" in told[1]
    plugins.state_metric("raises")(lambda _: 1.0)
    assert plugins.evaluate("state", None) == {"raises": 1.0}


def test_failures_that_are_not_in_a_row_switch_nothing_off() -> None:
    seen: list[int] = []

    @plugins.state_metric("sometimes")
    def sometimes(_: Any) -> float:
        seen.append(1)
        if len(seen) % plugins.FAILURES_IN_A_ROW:
            raise RuntimeError("not now")
        return 1.0

    for _ in range(5 * plugins.FAILURES_IN_A_ROW):
        plugins.evaluate("state", None)
    assert len(seen) == 5 * plugins.FAILURES_IN_A_ROW


def test_a_plug_in_cannot_change_the_array_that_was_logged() -> None:
    @plugins.gradient_metric("writes")
    def writes(gradient: Any) -> float:
        gradient[0] = 99.0
        return 0.0

    gradient = np.ones(3)
    assert plugins.evaluate("gradient", gradient) == {}
    assert gradient.tolist() == [1.0, 1.0, 1.0]
    assert gradient.flags.writeable


def test_errors_go_where_the_caller_says() -> None:
    plugins.state_metric("told")(lambda _: None)
    told: list[tuple[str, object]] = []
    plugins.evaluate("state", None, lambda where, cause: told.append((where, cause)))
    assert told[0][0] == "plugin:told"


# Entry points: a real installed distribution, in a process of its own

ENTRY_POINTS = """
[quantum_monitor.metrics]
broken = plugin_broken
exits = plugin_exits
missing = plugin_example:no_such_function
plain = plugin_example:not_decorated
function = plugin_example:decorated
"""
MODULES = {
    "plugin_broken": "raise RuntimeError('broken at import')",
    "plugin_exits": "raise SystemExit(3)",
    "plugin_example": """
from quantum_monitor.plugins import state_metric

@state_metric("from_entry_point")
def decorated(state):
    return 7.0

def not_decorated(state):
    return 8.0
""",
}
PROGRAM = """
import json
from quantum_monitor import plugins
from quantum_monitor.faults import FAULTS

found = {"before": plugins.evaluate("state", None)}
plugins.load_entry_points()
plugins.load_entry_points()
print(json.dumps({**found, "after": plugins.evaluate("state", None), "errors": FAULTS.errors}))
"""


def test_entry_points_are_loaded_once_and_a_broken_one_stops_nothing(tmp_path: Path) -> None:
    info = tmp_path / "plugin_example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-example\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout)
    assert told["before"] == {}
    assert told["after"] == {"from_entry_point": 7.0}
    assert told["errors"] == {f"plugin:{name}": 1 for name in ("broken", "exits", "missing", "plain")}
    assert "put @state_metric() or @alert_rule() there" in process.stderr
