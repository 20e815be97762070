"""The numbers at the head of a run: what a person wants to know first, without what was not measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from quantum_monitor.views.live.runs import Entry
from quantum_monitor.views.observed import AlertReport, Amount, Observed
from quantum_monitor.views.words import duration, number


class Tile(NamedTuple):
    """A number with its name, and a few words below it; ``kind`` is ``bad`` where it calls for attention."""

    label: str
    value: str
    note: str = ""
    kind: str = ""


def tiles(entry: Entry, observed: Observed, now: float) -> list[Tile]:
    """What a run amounts to, in a few numbers.

    Args:
        entry: the run.
        observed: what its records amount to.
        now: Unix time in seconds.
    """
    return [*_time(entry, observed, now), *_training(observed), *_states(observed), *_cost(observed), _alerts(observed)]


def firing(observed: Observed) -> list[AlertReport]:
    """The alerts whose latest report says that they fire."""
    latest = {report.alert: report for report in observed.alerts}
    return [report for report in latest.values() if report.firing]


def _time(entry: Entry, observed: Observed, now: float) -> Iterator[Tile]:
    if entry.start is None:
        return
    until = now if entry.status == "running" else entry.end or observed.last_time
    if until is not None:
        label = "Running for" if entry.status == "running" else "Duration"
        yield Tile(label, duration(max(0.0, float(round(until - entry.start, 0 if until - entry.start > 10 else 2)))))


def _training(observed: Observed) -> Iterator[Tile]:
    loss = observed.one("training", "loss")
    if loss is None:
        return
    step = f"last is step {number(loss.last_step)}" if math.isfinite(loss.last_step) else ""
    yield Tile("Steps", number(loss.count), step)
    yield Tile("Loss", number(loss.last), "" if math.isfinite(loss.last) else "not finite",
               "" if math.isfinite(loss.last) else "bad")  # fmt: skip
    if loss.finite:
        at = f"at step {number(loss.lowest_at)}" if math.isfinite(loss.lowest_at) else ""
        yield Tile("Best loss", number(loss.lowest), at)


def _states(observed: Observed) -> Iterator[Tile]:
    fidelity = observed.one("state", "fidelity")
    if fidelity is not None:
        yield Tile("Fidelity", number(fidelity.last), f"best {number(fidelity.highest)}" if fidelity.finite else "")


def _cost(observed: Observed) -> Iterator[Tile]:
    """Each currency by itself, and what was reported, estimated and billed apart."""
    spent: dict[tuple[str, str], list[Amount]] = {}
    for amount in observed.of("circuit", "cost"):
        known = dict(amount.labels)
        spent.setdefault((known.get("currency", "unknown"), known.get("cost_kind", "unknown")), []).append(amount)
    for (currency, kind), amounts in spent.items():
        yield Tile("Cost", f"{number(sum(amount.total for amount in amounts))} {currency}", kind)


def _alerts(observed: Observed) -> Tile:
    now = firing(observed)
    reported = f"{number(observed.alerts_reported)} reported" if observed.alerts_reported else "none reported"
    return Tile("Alerts firing", number(len(now)), reported, "bad" if now else "")
