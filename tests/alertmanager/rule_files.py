"""The rule files and their unit tests as data, and the gate: what an alert lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

from quantum_monitor.alerts.rules import ALERTS, PROMETHEUS_ALERTS, AlertRule, PrometheusAlert

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "alertmanager" / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
VOCABULARY: Sequence[AlertRule | PrometheusAlert] = (*ALERTS, *PROMETHEUS_ALERTS)

NEVER_SILENT = frozenset({"QuantumWatchdog"})
"""Alerts that have no silent test, because they always fire."""


@dataclass(frozen=True)
class Rule:
    """An alerting rule as it stands in a file.

    Attributes:
        name: the name of the alert.
        expr: its PromQL.
        hold: its ``for`` as written; empty without one.
        labels: the labels that it sets.
        annotations: its annotations, templates unexpanded.
    """

    name: str
    expr: str
    hold: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class UnitTest:
    """A group of promtool's unit tests.

    Attributes:
        series: the input series, each with its values.
        fires: alerts that the group expects to fire at some time.
        silent: alerts that it expects not to fire at some time.
    """

    series: Sequence[tuple[str, str]]
    fires: frozenset[str]
    silent: frozenset[str]


def rules_in(folder: Path) -> list[Rule]:
    """The alerting rules of all files of a folder."""
    found = [
        rule
        for path in sorted(folder.glob("*.rules.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    return [
        Rule(r["alert"], r["expr"], r.get("for", ""), r.get("labels", {}), r.get("annotations", {}))
        for r in found
        if "alert" in r
    ]


def unit_tests_in(folder: Path) -> list[UnitTest]:
    """The unit tests of all files below a folder."""
    return [
        _unit_test(group)
        for path in sorted((folder / "tests").glob("*.test.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
    ]


def _unit_test(group: Mapping[str, Any]) -> UnitTest:
    claims = group.get("alert_rule_test", [])
    return UnitTest(
        [(given["series"], str(given["values"])) for given in group["input_series"]],
        frozenset(claim["alertname"] for claim in claims if claim.get("exp_alerts")),
        frozenset(claim["alertname"] for claim in claims if not claim.get("exp_alerts")),
    )


def gaps(folder: Path = RULES, runbooks: Path = RUNBOOKS) -> list[str]:
    """What is missing between vocabulary, rules, unit tests and runbooks; one line each, empty where all is there."""
    names = [rule.name for rule in rules_in(folder)]
    known = {alert.prometheus_name: alert for alert in VOCABULARY}
    missing = [f"{name}: a rule, but not in the vocabulary" for name in names if name not in known]
    missing += [f"{name}: more than one rule" for name in sorted(set(names)) if names.count(name) > 1]
    tests = unit_tests_in(folder)
    fires = frozenset[str]().union(*(test.fires for test in tests))
    silent = frozenset[str]().union(*(test.silent for test in tests)) | NEVER_SILENT
    for name, alert in known.items():
        missing += [f"{name}: no rule"] if name not in names else []
        missing += [f"{name}: no test in which it fires"] if name not in fires else []
        missing += [f"{name}: no test in which it stays silent"] if name not in silent else []
        missing += [f"{name}: no runbook"] if not (runbooks / f"{alert.key}.md").is_file() else []
    return missing


def nodes(expr: Any) -> Iterator[Any]:
    """Every node of a parsed expression, the outermost first."""
    yield expr
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        inner = getattr(expr, name, None)
        if inner is not None:
            yield from nodes(inner)
    for argument in getattr(expr, "args", None) or ():
        yield from nodes(argument)


def selectors(text: str) -> list[Any]:
    """Every series selector of an expression, each with ``name`` and ``matchers``."""
    return [node for node in nodes(promql.parse(text)) if isinstance(node, promql.VectorSelector)]
