"""A comparison as strict JSON; ``docs/comparison.md`` has the keys."""

from __future__ import annotations

import json
from typing import Any

from quantum_monitor.comparison import words
from quantum_monitor.comparison.courses import Band, Course
from quantum_monitor.comparison.differences import Sample
from quantum_monitor.comparison.result import Comparison, Difference
from quantum_monitor.comparison.runs import Group
from quantum_monitor.store.runfile import plain

VERSION = 1
"""Of the keys; a key that goes or means something else makes it higher."""


def as_json(comparison: Comparison) -> str:
    """What a comparison says; NaN and infinity are null."""
    content = {
        "version": VERSION,
        "answer": words.answer(comparison),
        "confidence": comparison.confidence,
        "pairs": comparison.pairs,
        "pairing": comparison.pairing,
        "tests": comparison.tests,
        "a": _group(comparison.a),
        "b": _group(comparison.b),
        "metrics": [_difference(d, comparison) for d in comparison.differences],
        "over_steps": [_course(course) for course in comparison.courses],
        "parameters": [
            {"name": s.name, "mixed": s.mixed, "a": _counts(s.a), "b": _counts(s.b)} for s in comparison.settings
        ],
        "notes": comparison.notes,
    }
    return json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _group(group: Group) -> dict[str, Any]:
    runs = [
        {"name": m.name, "run_id": m.run_id, "experiment": m.experiment, "status": m.status, "seed": m.seed,
         "values": m.values}
        for m in group.members
    ]  # fmt: skip
    return {"name": group.name, "runs": runs, "left_out": [{"name": n, "why": why} for n, why in group.left_out]}


def _difference(d: Difference, comparison: Comparison) -> dict[str, Any]:
    outcome = d.outcome
    return {
        "key": d.metric.key,
        "title": d.metric.title,
        "unit": d.metric.unit,
        "better_is": d.metric.better,
        "a": _sample(d.a),
        "b": _sample(d.b),
        "difference": outcome.difference,
        "low": outcome.low,
        "high": outcome.high,
        "test": outcome.test,
        "why": outcome.why,
        "p": outcome.p,
        "p_adjusted": d.adjusted,
        "effect": None if outcome.effect is None else outcome.effect._asdict(),
        "pairs": outcome.pairs,
        "needed": outcome.needed,
        "verdict": d.verdict,
        "sentence": words.sentence(d, comparison),
    }


def _sample(sample: Sample | None) -> dict[str, Any] | None:
    return None if sample is None else sample._asdict()


def _course(course: Course) -> dict[str, Any]:
    return {
        "field": course.field,
        "unit": course.unit,
        "by_step": course.by_step,
        "paired": course.paired,
        "step": course.step,
        "a": _band(course.a),
        "b": _band(course.b),
        "difference": course.difference,
        "low": course.low,
        "high": course.high,
    }


def _band(band: Band) -> dict[str, Any]:
    return {"median": band.median, "low_quartile": band.low, "high_quartile": band.high, "runs": band.runs}


def _counts(values: tuple[tuple[str | None, int], ...]) -> list[dict[str, Any]]:
    return [{"value": value, "runs": count} for value, count in values]
