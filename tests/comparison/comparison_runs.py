"""Runs to compare: real stores, written quickly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

STEPS = 5


def write_run(
    directory: Path,
    losses: Iterable[float],
    *,
    steps: Sequence[int | None] | None = None,
    status: str = "completed",
    params: Mapping[str, Any] | None = None,
    seconds: float = 10.0,
    records: Iterable[Record] = (),
    **info: Any,
) -> Path:
    """A run with these losses, which ended unless its status is `running`."""
    described = {
        "experiment": directory.parent.name,
        "name": directory.name,
        "run_id": directory.name,
        "start_time": 100.0,
    }
    store = RunStore(directory, {**described, "params": dict(params or {}), **info})
    for number, loss in enumerate(losses):
        step = number if steps is None else steps[number]
        store.put(Record("training", 100.0 + number, step, {"loss": loss}))
    for record in records:
        store.put(record)
    if status != "running":
        store.describe(status=status, end_time=100.0 + seconds)
    assert store.close(20)
    return directory


def write_group(folder: Path, ends: Iterable[float], *, seeds: Iterable[Any] | None = None, **options: Any) -> Path:
    """A run for each final loss, which it comes down to in equal steps from 1 above."""
    known = list(seeds or ())
    for number, end in enumerate(ends):
        params = {"seed": known[number]} if known else {}
        losses = [end + 1.0 - step / (STEPS - 1) for step in range(STEPS - 1)] + [end]
        write_run(folder / f"run-{number}", losses, params=params, **options)
    return folder


def execution(seconds: float, cost: float, *, currency: str = "USD", kind: str = "reported") -> Record:
    """One execution."""
    labels = {"backend": "aer", "status": "success", "currency": currency, "cost_kind": kind}
    return Record("circuit", 101.0, None, {"execution_time": seconds, "cost": cost}, labels)


NAN, INF = math.nan, math.inf
