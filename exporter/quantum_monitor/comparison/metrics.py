"""What of a run is compared: its metrics, their units, and which way is better."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quantum_monitor.prometheus import catalog
from quantum_monitor.views.observed import Amount, Observed

Better = Literal["lower", "higher"]

COURSES = ("loss", "gradient_norm", "fidelity")
"""The fields that are compared over the steps, too."""

_BETTER: dict[str, Better] = {"loss": "lower", "fidelity": "higher"}
_KIND = {"fidelity": "state"}
_STATES = tuple(str(m.field) for m in catalog.STATE if m.kind and m.field not in {"norm", "qubits"})
_GRADIENTS = ("gradient_norm", "gradient_variance", "gradient_component_variance", "parameter_norm", "parameter_change")
# What is compared unless metrics are named: every further test makes each of them harder to pass.
_ON_REQUEST = {*_STATES, *_GRADIENTS, "shots"} - {"fidelity", "entanglement_entropy"}
_UNITS = {(m.kind, m.field): m.unit for m in catalog.METRICS}
_CUSTOM_AT_MOST = 50
_SHOWN_AT_MOST = 20

LastFinite = Callable[[Amount], "float | None"]
"""Finds the last finite value of a series that ends in NaN or infinity; None if it has none."""


@dataclass(frozen=True)
class Metric:
    """One number that a run amounts to.

    Attributes:
        key: what it is called in ``metrics``, ``--metric`` and JSON: ``final_loss``, ``custom:accuracy``.
        title: its name for people.
        unit: of its values; empty for a plain number.
        better: which way is better; None where nobody said.
        field: the record field that it comes from.
        common: whether it is compared where no metric is named.
    """

    key: str
    title: str
    unit: str = ""
    better: Better | None = None
    field: str = ""
    common: bool = True


def kind_of(field: str) -> str:
    """The record kind of one of `COURSES`."""
    return _KIND.get(field, "training")


def over_steps(field: str) -> Metric:
    """The mean of one of `COURSES` over the steps that all runs have."""
    unit = _UNITS.get((kind_of(field), field), "")
    return Metric(f"{field}_over_steps", f"Mean {_words(field)} over the steps", unit, _BETTER.get(field), field,
                  field not in _ON_REQUEST)  # fmt: skip


def reached(field: str, aim: float) -> Metric:
    """The number of the step at which a field first was at its aim."""
    return Metric(f"steps_to_{field}", f"Step at which the {_words(field)} reaches {aim:g}", "", "lower", field)


def at_the_end(info: Mapping[str, Any], observed: Observed, last_finite: LastFinite) -> Iterator[tuple[Metric, float]]:
    """The metrics of one run and their values, all finite; without those that were not measured."""
    for field in ("loss", *_GRADIENTS):
        yield from _final(observed.one("training", field), last_finite)
    for field in _STATES:
        yield from _final(observed.one("state", field), last_finite)
    loss = observed.one("training", "loss")
    steps = loss.count if loss else observed.records["training", ()]
    if steps:
        yield Metric("steps", "Training steps", field="steps"), float(steps)
    seconds = _duration(info, observed)
    if seconds is not None:
        yield Metric("duration", "Duration", "seconds", "lower", "duration"), seconds
    yield from _circuits(observed)
    for amount in observed.of("custom"):
        yield from _final(amount, last_finite)


def _final(amount: Amount | None, last_finite: LastFinite) -> Iterator[tuple[Metric, float]]:
    """The last finite value of a series; its best, too, where better is known."""
    if amount is None or not amount.finite:
        return
    field, own = amount.field, amount.kind == "custom"
    unit, better = _UNITS.get((amount.kind, field), ""), None if own else _BETTER.get(field)
    last = amount.last if math.isfinite(amount.last) else last_finite(amount)
    if last is not None:
        key = f"custom:{field}" if own else f"final_{field}"
        title = field if own else f"Final {_words(field)}"
        yield Metric(key, title, unit, better, field, own or field not in _ON_REQUEST), last
    if better:
        best = amount.lowest if better == "lower" else amount.highest
        yield Metric(f"best_{field}", f"Best {_words(field)}", unit, better, field), best


def _duration(info: Mapping[str, Any], observed: Observed) -> float | None:
    begin, end = info.get("start_time"), info.get("end_time")
    until = observed.last_time if end is None else end
    if not (isinstance(begin, (int, float)) and isinstance(until, (int, float))):
        return None
    seconds = float(until) - float(begin)
    return seconds if 0 <= seconds < math.inf else None


def _circuits(observed: Observed) -> Iterator[tuple[Metric, float]]:
    executed = sum(
        n for (kind, labels), n in observed.records.items() if kind == "circuit" and "status" in dict(labels)
    )
    if executed:
        yield Metric("executions", "Circuit executions", field="executions"), float(executed)
    for field, title in (("execution_time", "Mean execution time"), ("queue_time", "Mean queue time")):
        finite, total = _sum(observed.of("circuit", field))
        if finite:
            yield Metric(f"mean_{field}", title, "seconds", "lower", field), total / finite
    finite, total = _sum(observed.of("circuit", "shots"))
    if finite:
        yield Metric("shots", "Shots", field="shots", common=False), total
    spent: dict[tuple[str, str], list[Amount]] = {}
    for amount in observed.of("circuit", "cost"):
        known = dict(amount.labels)
        spent.setdefault((known.get("currency", "unknown"), known.get("cost_kind", "unknown")), []).append(amount)
    for (currency, kind), amounts in spent.items():
        finite, total = _sum(amounts)
        if finite:
            yield Metric(f"cost:{currency}:{kind}", f"Cost, {kind}", currency, "lower", "cost"), total


def _sum(amounts: Iterator[Amount] | list[Amount]) -> tuple[int, float]:
    """How many finite values there are, and their sum; none where the sum is not finite."""
    known = [amount for amount in amounts if amount.finite]
    total = math.fsum(amount.total for amount in known) if all(math.isfinite(a.total) for a in known) else math.inf
    return (sum(amount.finite for amount in known), total) if math.isfinite(total) else (0, 0.0)


def wanted(
    known: Mapping[str, Metric], names: Collection[str] | None, aimed: Sequence[Metric] = ()
) -> tuple[list[Metric], str]:
    """The metrics to compare, and what is to be said about those that are not.

    Args:
        known: all that the runs have, by key.
        names: keys, fields, names of the catalog, names of custom metrics, or patterns of those (``*loss*``); the
            common ones unless given.
        aimed: those of `reached`: compared whatever is named, even if no run got there.

    Raises:
        ValueError: no run has a metric of that name, or it takes an aim that is not there.
    """
    if names is None:
        common = [metric for metric in known.values() if metric.common]
        own = [metric for metric in common if metric.key.startswith("custom:")]
        left = own[_CUSTOM_AT_MOST:]
        said = f"{len(left)} more custom metrics are compared when they are named" if left else ""
        return [*(metric for metric in common if metric not in left), *aimed], said
    found: dict[str, Metric] = {}
    for name in names:
        matching = {key: metric for key, metric in known.items() if _is(name, metric)}
        if not matching and not any(_is(name, metric) for metric in aimed):
            field = name.removeprefix("steps_to_")
            if field != name and field in COURSES:
                raise ValueError(f"metrics: {name!r} takes an aim: aims={{{field!r}: VALUE}}, or --reach {field}=VALUE")
            some = ", ".join(list(known)[:_SHOWN_AT_MOST]) + (", ..." if len(known) > _SHOWN_AT_MOST else "")
            raise ValueError(f"metrics: no run has {name!r}; they have {some or 'none'}")
        found |= matching
    return [*found.values(), *aimed], ""


def _is(name: str, metric: Metric) -> bool:
    own = metric.key.startswith("custom:")
    _, field, _ = catalog.judged(name)
    names = {metric.key, metric.field}
    return (not own and field == metric.field) or name in names or any(fnmatch.fnmatchcase(n, name) for n in names)


def _words(field: str) -> str:
    return field.replace("_", " ")
