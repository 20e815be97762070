"""The alert vocabulary: the table agrees with itself and with the catalog, and wrong thresholds are refused."""

from __future__ import annotations

import math

import pytest

from quantum_monitor.alerts.rules import ALERTS, BY_KEY, MetricRule, Severity, read_alert_config
from quantum_monitor.prometheus.catalog import Scope


def test_the_table_has_every_alert_once_with_its_default() -> None:
    assert {rule.key: rule.default for rule in ALERTS} == {
        "fidelity_drop": 0.05,
        "entanglement_loss": None,
        "gradient_explosion": 10.0,
        "loss_not_finite": 0.0,
        "barren_plateau": 1e-6,
        "training_stalled": 300.0,
        "queue_time_limit": 300.0,
        "cost_spike": 2.0,
        "cost_budget": None,
        "circuit_failures": 0.2,
        "error_rate_increase": 0.02,
        "backend_down": 0.0,
        "cpu_high": 0.95,
        "memory_high": 0.95,
    }
    assert len(BY_KEY) == len(ALERTS)


def test_each_severity_has_one_word_for_python_and_one_for_prometheus() -> None:
    pairs = {(severity.word, severity.label) for severity in Severity}
    assert pairs == {("high", "critical"), ("medium", "warning"), ("low", "info")}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.key)
def test_every_rule_is_complete(rule: object) -> None:
    rule = BY_KEY[rule.key]  # type: ignore[attr-defined]
    assert rule.scope in {scope.name.lower() for scope in Scope} - {"circuit"}
    assert rule.reads
    assert rule.help.endswith(".")
    assert rule.default is not None or rule.example is not None


def test_prometheus_names_are_camel_case() -> None:
    assert BY_KEY["fidelity_drop"].prometheus_name == "QuantumFidelityDrop"
    assert BY_KEY["cpu_high"].prometheus_name == "QuantumCpuHigh"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.key)
def test_a_default_is_a_threshold_that_is_accepted(rule: object) -> None:
    rule = BY_KEY[rule.key]  # type: ignore[attr-defined]
    threshold = rule.default if rule.default is not None else rule.example
    assert read_alert_config({rule.key: threshold}) == ({rule.key: threshold}, [])


@pytest.mark.parametrize(
    ("key", "value", "mend"),
    [
        ("gradient_explosoin", 10.0, "did you mean gradient_explosion?"),
        ("gradient_explosoin", None, "did you mean gradient_explosion?"),
        ("hardware_temp", 5, "known are "),
        ("gradient_explosion", "10", "give a number such as 10"),
        ("gradient_explosion", True, "give a number such as 10"),
        ("gradient_explosion", math.nan, "not a finite number"),
        ("gradient_explosion", math.inf, "not a finite number"),
        ("gradient_explosion", -1, "0 or more"),
        ("gradient_explosion", 10**400, "not a finite number"),
        ("gradient_explosion", {"above": 5}, "is a rule"),
        ("cost_budget", True, "give a number such as 50"),
        ("cpu_high", 95, "from 0 to 1"),
        ("temp", {"above": 1, "below": 0}, "either"),
        ("temp", {"severity": "high"}, "either"),
        ("temp", {"abvoe": 1}, "did you mean above?"),
        ("temp", {"above": "hot"}, "give a number"),
        ("temp", {"above": 1, "severity": "critical"}, "high, medium, low"),
        ("temp", {"above": 1, "severity": ["high"]}, "high, medium, low"),
        ("temp", {"above": 1, "for": "soon"}, "give seconds"),
        ("temp", {"above": 1, "for": -5}, "negative"),
        ("", {"above": 1}, "1 to 128 characters"),
        ("x" * 129, {"above": 1}, "1 to 128 characters"),
        (5, {"above": 1}, "1 to 128 characters"),
    ],
)
def test_a_wrong_entry_is_refused_with_the_mend(key: object, value: object, mend: str) -> None:
    entries, problems = read_alert_config({key: value, "cost_budget": 1 if key != "cost_budget" else value})
    assert set(entries) <= {"cost_budget"}
    assert problems[0][0] == str(key)[:128]
    assert mend in problems[0][1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1.5h", 5_400), ("1d", 86_400), (7, 7), (0.5, 0.5)]
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(text: object, seconds: float) -> None:
    entries, _ = read_alert_config({"temp": {"above": 1, "for": text}})
    assert entries == {"temp": MetricRule("temp", 1.0, hold_seconds=seconds)}


def test_a_configuration_that_was_read_can_be_read_again() -> None:
    once, _ = read_alert_config({"temp": {"below": 1}, "cost_spike": False, "cost_budget": 5})
    assert read_alert_config(once) == (once, [])


def test_what_is_no_mapping_is_one_problem() -> None:
    assert read_alert_config(None) == ({}, [])
    assert len(read_alert_config([("cost_budget", 5)])[1]) == 1
