"""The chapters of a report that are numbers: training, states, circuits, cost, backends, and every metric."""

from __future__ import annotations

import math
from collections import Counter

from quantum_monitor.prometheus import catalog
from quantum_monitor.prometheus.catalog import EXECUTION_STATUSES
from quantum_monitor.views.observed import Amount, Curve
from quantum_monitor.views.report_data import Facts
from quantum_monitor.views.report_model import Chapter, Course, Courses, Paragraph, Table, chapter
from quantum_monitor.views.words import Cell, Exact, moment, number

_METRICS_AT_MOST = 2_000

_KNOWN = {(metric.kind, metric.field): metric for metric in catalog.METRICS}
_DRAWN = {
    ("training", "loss"): "Loss",
    ("training", "gradient_norm"): "Gradient norm",
    ("state", "fidelity"): "Fidelity",
}


def curves(facts: Facts) -> Chapter:
    """Loss, gradient norm and fidelity over the steps."""
    amounts = facts.observed.amounts.values()
    return chapter("Course", Courses([_curve(a, a.curve) for a in amounts if a.curve and _is_drawn(a)]))


def _is_drawn(amount: Amount) -> bool:
    return (amount.kind, amount.field) in _DRAWN and not amount.labels


def _curve(amount: Amount, curve: Curve) -> Course:
    broken, count = amount.count - amount.finite, number(amount.count)
    note = f"{number(broken)} of {count} values are NaN or infinite: see the marks." if broken else ""
    ends = (amount.first_step, amount.last_step) if curve.by_step else (1, amount.count)
    first, last = (f"{'step' if curve.by_step else 'value'} {number(end)}" for end in ends)
    return Course(_DRAWN[amount.kind, amount.field], curve.line, (first, last), note)


def training(facts: Facts) -> Chapter:
    """What the training amounts to."""
    rows: list[tuple[Cell, ...]] = []
    loss = facts.observed.one("training", "loss")
    if loss is not None:
        rows += [("Steps with a loss", loss.count), ("First loss", loss.first), ("Last loss", loss.last)]
        if loss.finite:
            rows.append((f"Best loss{_at(loss.lowest_at)}", loss.lowest))
        if loss.finite < loss.count:
            rows.append(("Losses that are NaN or infinite", loss.count - loss.finite))
        if math.isfinite(loss.last_step):
            rows.append(("Last step's number", loss.last_step))
        if loss.count > 1:
            rows.append(("Mean time from step to step, seconds", (loss.last_time - loss.first_time) / (loss.count - 1)))
    norm = facts.observed.one("training", "gradient_norm")
    if norm is not None:
        rows.append(("Last gradient norm", norm.last))
        if norm.finite:
            rows.append((f"Largest gradient norm{_at(norm.highest_at)}", norm.highest))
    for field in (
        "gradient_variance",
        "gradient_component_variance",
        "parameter_norm",
        "parameter_change",
        "parameters",
    ):
        amount = facts.observed.one("training", field)
        if amount is not None:
            name = field.replace("_", " ")
            rows.append((name.capitalize() if field == "parameters" else f"Last {name}", amount.last))
    return chapter("Training", Table(("Quantity", "Value"), rows, "What the training amounts to"))


def _at(step: float) -> str:
    return f" (step {number(step)})" if math.isfinite(step) else ""


def states(facts: Facts) -> Chapter:
    """The quantum states."""
    amounts = list(facts.observed.of("state"))
    logged = sum(amount.count for amount in amounts if amount.field == "norm")
    rows = [
        (_title(a.field), _unit(a), a.count, a.last, *_finite(a, a.mean, a.lowest, a.highest))
        for a in amounts
    ]  # fmt: skip
    columns = ("Measure", "Unit", "Values", "Last", "Mean", "Lowest", "Highest")
    sentence = Paragraph(f"States logged: {number(logged)}.") if logged else None
    return chapter("Quantum states", sentence, Table(columns, rows, "Measures of the quantum states"))


def circuits(facts: Facts) -> Chapter:
    """What was executed where."""
    executions: dict[str, Counter[str]] = {}
    for (kind, labels), count in facts.observed.records.items():
        known = dict(labels)
        if kind == "circuit" and "status" in known:
            executions.setdefault(known.get("backend", "unknown"), Counter())[known["status"]] += count
    counts, times = list[tuple[Cell, ...]](), list[tuple[Cell, ...]]()
    for backend, statuses in executions.items():
        shots = _of_backend(facts, "shots", backend)
        counts.append((backend, *(statuses[status] for status in EXECUTION_STATUSES), shots and shots[1]))
        for name, field in (("execution", "execution_time"), ("queue", "queue_time")):
            spent = _of_backend(facts, field, backend)
            if spent is not None:
                times.append((backend, name, *spent))
    return chapter(
        "Circuits",
        Table(("Backend", "Succeeded", "Failed", "Cancelled", "Shots"), counts, "Executions by backend"),
        Table(("Backend", "Seconds of", "Executions", "Total", "Mean", "Longest"), times, "Times by backend"),
    )


def _of_backend(facts: Facts, field: str, backend: str) -> tuple[int, float, float, float] | None:
    """Number, sum, mean and maximum of a field over the executions on a backend; None where none has it."""
    found = [a for a in facts.observed.of("circuit", field) if dict(a.labels).get("backend", "unknown") == backend]
    finite = sum(amount.finite for amount in found)
    if not finite:
        return None
    total = sum(amount.total for amount in found)
    return finite, total, total / finite, max(amount.highest for amount in found if amount.finite)


def costs(facts: Facts) -> Chapter:
    """What was spent: each currency by itself, and what was reported, estimated and billed apart."""
    spent: dict[tuple[str, str], dict[str, list[Amount]]] = {}
    for amount in facts.observed.of("circuit", "cost"):
        known = dict(amount.labels)
        money = (known.get("currency", "unknown"), known.get("cost_kind", "unknown"))
        spent.setdefault(money, {}).setdefault(known.get("backend", "unknown"), []).append(amount)
    rows = [
        _cost(money, backend, amounts) for money, backends in spent.items() for backend, amounts in backends.items()
    ]
    totals = [
        _cost(money, "All backends", [amount for amounts in backends.values() for amount in amounts])
        for money, backends in spent.items()
        if len(backends) > 1
    ]
    columns = ("Backend", "Currency", "Kind", "Executions", "Cost in all", "Dearest")
    return chapter("Cost", Table(columns, rows, "Cost by backend, currency and kind", totals))


def _cost(money: tuple[str, str], backend: str, amounts: list[Amount]) -> tuple[Cell, ...]:
    finite = [amount for amount in amounts if amount.finite]
    count = sum(amount.finite for amount in finite)
    dearest = max((amount.highest for amount in finite), default=math.nan)
    return (backend, *money, count, Exact(sum(amount.total for amount in finite)), Exact(dearest))


def backends(facts: Facts) -> Chapter:
    """What was reported of the backends."""
    rows: list[tuple[Cell, ...]] = []
    for a in facts.observed.of("backend"):
        values: tuple[Cell, ...] = (a.last, *_finite(a, a.lowest, a.highest))
        unit = _unit(a)
        if a.field == "calibration_time":
            values, unit = tuple(moment(v) if isinstance(v, float) else v for v in values), "UTC"
        rows.append((dict(a.labels).get("backend", "unknown"), _title(a.field), unit, a.count, *values))
    rows.sort(key=lambda row: str(row[0]))
    columns = ("Backend", "Quantity", "Unit", "Reports", "Last", "Lowest", "Highest")
    return chapter("Backends", Table(columns, rows, "What was reported of the backends"))


def metrics(facts: Facts) -> Chapter:
    """Every metric."""
    observed = facts.observed
    in_order = sorted(observed.amounts.values(), key=lambda a: a.kind == "custom")  # which may crowd out their own only
    amounts = in_order[:_METRICS_AT_MOST]
    rows = [_metric(a) for a in amounts]
    left = len(observed.amounts) - len(amounts) + len(observed.left_out)
    more = (
        Paragraph(f"{number(left)} more series are in the run's store; export_metrics writes them.") if left else None
    )
    columns = ("Metric", "Of", "Unit", "Values", "First", "Last", "Lowest", "Highest", "Mean", "Not finite")
    told = "Lowest, highest and mean are those of the finite values; NaN and infinity are not finite."
    said = Paragraph(told, soft=True) if rows else None
    return chapter("All metrics", said, Table(columns, rows, "Every metric"), more)


def _metric(a: Amount) -> tuple[Cell, ...]:
    extremes = _finite(a, a.lowest, a.highest, a.mean)
    return (a.field, _origin(a), _unit(a), a.count, a.first, a.last, *extremes, a.count - a.finite)


def _title(field: str) -> str:
    name = field.replace("_", " ")
    return name[:1].upper() + name[1:]


def _unit(amount: Amount) -> Cell:
    field = "error_ratio" if amount.kind == "backend" and amount.field.startswith("error_ratio_") else amount.field
    metric = _KNOWN.get((amount.kind, field))
    if metric is None or not metric.unit:
        return ""
    return "Unix time" if metric.name.endswith("_timestamp_seconds") else metric.unit


def _origin(amount: Amount) -> str:
    return " · ".join((amount.kind, *(value for _, value in amount.labels)))


def _finite(amount: Amount, *values: float) -> tuple[float | None, ...]:
    return values if amount.finite else (None,) * len(values)
