"""Chosen runs side by side, quick enough for a page that refreshes: their curves, and where they have come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from quantum_monitor.comparison.metrics import Metric, at_the_end, kind_of
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.observed import Curve, Observed


class Overlaid(NamedTuple):
    """The curve of one run; ``place`` is that of the run among those given, so that its colour stays."""

    place: int
    name: str
    curve: Curve


@dataclass(frozen=True)
class SideBySide:
    """Where runs have come to.

    Attributes:
        metrics: the columns, in the order of their first appearance.
        names: name of each run, and ``statuses`` their statuses.
        rows: for each run the values in the order of ``metrics``; None where it has none, NaN and infinity as they are.
    """

    metrics: tuple[Metric, ...]
    names: tuple[str, ...]
    statuses: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]


def overlay(runs: Iterable[tuple[StoredRun, Observed]], field: str = "loss") -> list[Overlaid]:
    """The curves of a field, of those runs that have it.

    Args:
        runs: runs, each with what was observed of it so far.
        field: ``loss``, ``gradient_norm`` or ``fidelity``, or the name of a custom metric.
    """
    found = []
    for place, (run, observed) in enumerate(runs):
        amount = observed.one(kind_of(field), field) or observed.one("custom", field)
        if amount is not None and amount.curve is not None:
            found.append(Overlaid(place, _name(run), amount.curve))
    return found


def side_by_side(runs: Sequence[tuple[StoredRun, Observed]]) -> SideBySide:
    """The common metrics of runs, whatever their status: a look, no test."""
    metrics: dict[str, Metric] = {}
    values = []
    for run, observed in runs:
        found = {m: value for m, value in at_the_end(run.info, observed, lambda amount: amount.last) if m.common}
        metrics |= {m.key: m for m in found}
        values.append({m.key: value for m, value in found.items()})
    return SideBySide(
        tuple(metrics.values()),
        tuple(_name(run) for run, _ in runs),
        tuple(run.status for run, _ in runs),
        tuple(tuple(row.get(key) for key in metrics) for row in values),
    )


def _name(run: StoredRun) -> str:
    return str(run.info.get("name") or run.directory.name)
