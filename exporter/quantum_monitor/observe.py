"""From what a caller hands over to fields of a record: conversion, names, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import numpy as np

from quantum_monitor import plugins
from quantum_monitor.faults import FAULTS
from quantum_monitor.physics.circuits import circuit_facts
from quantum_monitor.prometheus import catalog
from quantum_monitor.run import Run
from quantum_monitor.tensors import to_float, to_vector

T = TypeVar("T")

_LABEL_LENGTH = 128
_OPERATIONS_AT_MOST = 20
_STATUSES = {
    **{status: status for status in catalog.EXECUTION_STATUSES},
    **dict.fromkeys(("ok", "done", "completed", "succeeded"), "success"),
    **dict.fromkeys(("error", "failure"), "failed"),
    "canceled": "cancelled",
}


def usable(convert: Callable[[Any, str], T], value: Any, name: str) -> T | None:
    """The converted value, or None where there is none or it cannot be used, which is counted."""
    if value is None:
        return None
    try:
        return convert(value, name)
    except ValueError as error:
        FAULTS.rejected(name, error)
        return None


def cut(name: Any) -> str:
    """A name as a label value: text of at most 128 characters."""
    return str(name)[:_LABEL_LENGTH]


def metrics(run: Run, values: Any, step: int | None, *, is_step: bool) -> None:
    """Log values by name: those the catalog knows into their own metric, the others as custom ones.

    Args:
        run: the run they belong to.
        values: name to number or array.
        step: their training step.
        is_step: whether a loss with a step counts as a training step.
    """
    if not isinstance(values, Mapping):
        message = f"metrics is {type(values).__name__}: hand over a mapping of names to numbers"
        raise ValueError(message)  # noqa: TRY004 - bad input is one kind of error here, which the log call counts
    known = catalog.settable()
    by_kind: dict[str, dict[str, float]] = {}
    for key, value in values.items():
        name = cut(key)
        metric = known.get(name)
        for field, number in _numbers(metric.field if metric and metric.field else name, value).items():
            kind = metric.kind if metric and metric.kind and field == metric.field else "custom"
            by_kind.setdefault(kind, {})[field] = number
    for kind, fields in by_kind.items():
        if kind == "custom":
            run.custom_values(step, fields)
        elif kind == "circuit":
            run.circuit_values("unknown", step, fields)
        else:
            run.values(kind, step, fields, is_step=is_step and step is not None and "loss" in fields)


def _numbers(name: str, value: Any) -> dict[str, float]:
    """A scalar under its name; an array as its statistics. What is not a number is counted and left out."""
    if isinstance(value, (float, int)):
        return {name: float(value)}
    vector = usable(to_vector, value, "log_metrics")
    if value is None:
        FAULTS.rejected("log_metrics", f"{name} is None: leave out what was not measured")
    if vector is None:
        return {}
    if len(vector) == 1:
        return {name: float(vector[0])}
    return {
        f"{name}_mean": float(vector.mean()),
        f"{name}_std": float(vector.std()),
        f"{name}_min": float(vector.min()),
        f"{name}_max": float(vector.max()),
    }


def custom(run: Run, step: int | None, fields: Mapping[str, float]) -> None:
    """Log what plug-ins measured."""
    if fields:
        run.custom_values(step, {cut(name): value for name, value in fields.items()})


def execution(run: Run, circuit: Any, amounts: Mapping[str, Any], backend_info: Any, status: Any) -> None:
    """Log one execution; see `QuantumMonitor.log_circuit_execution`.

    Args:
        run: the run it belongs to.
        circuit: a description or a circuit object; None if unknown.
        amounts: ``execution_time``, ``queue_time``, ``cost`` and ``shots``.
        backend_info: where it was executed.
        status: how it ended.
    """
    backend = backend_name(backend_info)
    numbers = {name: usable(_amount, value, name) for name, value in amounts.items()}
    fields = {name: number for name, number in numbers.items() if number is not None}
    if not fields.get("queue_time") and not run.queues_known(backend):
        fields.pop("queue_time", None)
    if not fields.get("cost") and not run.costs_known(backend):
        fields.pop("cost", None)
    if circuit is not None:
        fields.update(_facts(circuit))
        if plugins.CIRCUIT:
            custom(run, None, plugins.evaluate("circuit", circuit))
    outcome = _STATUSES.get(str(status).lower())
    if outcome is None:
        FAULTS.rejected("status", f"status is {cut(status)!r}: say success, failed or cancelled; counted as failed")
        outcome = "failed"
    currency = backend_info.get("currency", "USD") if isinstance(backend_info, Mapping) else "USD"
    run.execution(fields, backend=backend, status=outcome, currency=cut(currency), cost_kind="reported")


def _facts(circuit: Any) -> dict[str, float]:
    try:
        facts = circuit_facts(circuit)
    except ValueError as error:
        FAULTS.rejected("circuit_description", error)
        return {}
    values = {name: getattr(facts, name) for name in ("depth", "two_qubit_depth", "gates", "two_qubit_gates", "qubits")}
    return {name: value for name, value in values.items() if value is not None}


def backend_name(info: Any) -> str:
    """The label of a backend: its own name, the ``name`` of a mapping or object, or ``unknown``."""
    if info is None:
        return "unknown"
    if isinstance(info, Mapping):
        info = next((info[key] for key in ("name", "backend_name", "backend") if info.get(key)), "unknown")
    if not isinstance(info, str):
        name = getattr(info, "name", None)
        info = name() if callable(name) else name if name is not None else type(info).__name__
    return cut(info) or "unknown"


def backend_fields(
    values: Mapping[str, Any], error_rates: Mapping[str, Any] | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Fields and error rates of a backend's status, without what is unknown or unusable."""
    readers: dict[str, Callable[[Any, str], float]] = {
        "t1": _median,
        "t2": _median,
        "calibration_time": _timestamp,
        "utilization": _ratio,
        "up": lambda up, _: float(bool(up)),
    }
    fields = {name: usable(readers.get(name, _amount), value, name) for name, value in values.items()}
    if error_rates is not None and not isinstance(error_rates, Mapping):
        raise ValueError(f"error_rates is {type(error_rates).__name__}: hand over a mapping of operation to ratio")
    ratios = {}
    for operation, rate in list((error_rates or {}).items())[:_OPERATIONS_AT_MOST]:
        ratios[cut(operation)] = usable(_ratio, rate, "error_rates")
    return (
        {name: value for name, value in fields.items() if value is not None},
        {operation: ratio for operation, ratio in ratios.items() if ratio is not None},
    )


def _amount(value: Any, name: str) -> float:
    number = to_float(value, name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is {number}: hand over a finite number of at least 0")
    return number


def _ratio(value: Any, name: str) -> float:
    number = to_float(value, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} is {number}: hand over a ratio from 0 to 1")
    return number


def _median(value: Any, name: str) -> float:
    vector = to_vector(value, name)
    return _amount(float(np.nanmedian(vector)) if np.isfinite(vector).any() else math.nan, name)


def _timestamp(value: Any, name: str) -> float:
    return value.timestamp() if isinstance(value, datetime) else _amount(value, name)
