"""The gate: an alert without a rule, a firing test, a silent test or a runbook fails the build."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from quantum_monitor.alerts.rules import ALERTS
from tests.alertmanager.rule_files import (
    NEVER_SILENT,
    RULES,
    RUNBOOKS,
    VOCABULARY,
    UnitTest,
    gaps,
    unit_tests_in,
)

NAMES = [alert.prometheus_name for alert in VOCABULARY]
TESTS = unit_tests_in(RULES)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Rules, unit tests and runbooks of our own to damage."""
    shutil.copytree(RULES, tmp_path / "rules")
    shutil.copytree(RUNBOOKS, tmp_path / "runbooks")
    return tmp_path


def gaps_of(copy: Path) -> list[str]:
    return gaps(copy / "rules", copy / "runbooks")


def change(folder: Path, pattern: str, edit: Callable[[Any], None]) -> None:
    for path in folder.glob(pattern):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        edit(content)
        path.write_text(yaml.safe_dump(content), encoding="utf-8")


def forget_claims(copy: Path, name: str, *, firing: bool) -> None:
    """Take out every claim that an alert fires, or every one that it does not."""

    def edit(content: Any) -> None:
        for group in content["tests"]:
            claims = group.get("alert_rule_test", [])
            group["alert_rule_test"] = [
                claim for claim in claims if claim["alertname"] != name or bool(claim.get("exp_alerts")) != firing
            ]

    change(copy / "rules" / "tests", "*.test.yml", edit)


def forget_rule(copy: Path, name: str) -> None:
    def edit(content: Any) -> None:
        for group in content["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule["alert"] != name]

    change(copy / "rules", "*.rules.yml", edit)


# The gate


def test_every_alert_has_a_rule_a_firing_test_a_silent_test_and_a_runbook() -> None:
    assert gaps() == []


@pytest.mark.parametrize("name", ["QuantumFidelityDrop", "QuantumRunVanished", "QuantumWatchdog"])
def test_the_gate_finds_a_missing_firing_test(copy: Path, name: str) -> None:
    forget_claims(copy, name, firing=True)
    assert gaps_of(copy) == [f"{name}: no test in which it fires"]


@pytest.mark.parametrize("name", ["QuantumBackendDown", "QuantumBudgetForecast"])
def test_the_gate_finds_a_missing_silent_test(copy: Path, name: str) -> None:
    forget_claims(copy, name, firing=False)
    assert gaps_of(copy) == [f"{name}: no test in which it stays silent"]


@pytest.mark.parametrize("alert", VOCABULARY[::7], ids=lambda alert: alert.key)
def test_the_gate_finds_a_missing_runbook(copy: Path, alert: Any) -> None:
    (copy / "runbooks" / f"{alert.key}.md").unlink()
    assert gaps_of(copy) == [f"{alert.prometheus_name}: no runbook"]


@pytest.mark.parametrize("name", ["QuantumCpuHigh", "QuantumCustomAlert"])
def test_the_gate_finds_an_alert_without_a_rule(copy: Path, name: str) -> None:
    forget_rule(copy, name)
    assert gaps_of(copy) == [f"{name}: no rule"]


def test_the_gate_finds_a_rule_that_the_vocabulary_does_not_know_and_one_that_stands_twice(copy: Path) -> None:
    rules = [{"alert": "QuantumNobody", "expr": "vector(1)"}, {"alert": "QuantumCpuHigh", "expr": "vector(1)"}]
    (copy / "rules" / "more.rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "more", "rules": rules}]}))
    assert gaps_of(copy) == [
        "QuantumNobody: a rule, but not in the vocabulary",
        "QuantumCpuHigh: more than one rule",
    ]


# What each alert is tested with


def groups_with(name: str) -> list[UnitTest]:
    return [test for test in TESTS if name in test.fires | test.silent]


def values_of(label: str, tests: list[UnitTest]) -> set[str]:
    series = " ".join(series for test in tests for series, _ in test.series)
    return set(re.findall(rf'\b{label}="([^"]*)"', series))


@pytest.mark.parametrize("alert", VOCABULARY, ids=lambda alert: alert.key)
def test_an_alert_is_tested_with_two_of_its_kind_and_two_processes_in_one_prometheus(alert: Any) -> None:
    tests = groups_with(alert.prometheus_name)
    assert len(values_of("instance", tests)) >= 2
    if alert.scope in ("run", "backend"):
        assert len(values_of(alert.scope, tests)) >= 2
        assert values_of("team", tests) != set()  # ... one of which has a constant label


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_tested_with_series_that_end_and_with_nan(name: str) -> None:
    values = [values for test in groups_with(name) for _, values in test.series]
    assert any("stale" in text for text in values)
    assert any("NaN" in text for text in values)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.key)
def test_an_alert_with_a_threshold_is_tested_exactly_at_it(rule: Any) -> None:
    levels: dict[str, set[str]] = {"value": set(), "threshold": set()}
    for test in groups_with(rule.prometheus_name):
        for series, values in test.series:
            match = re.fullmatch(rf'quantum_alert_(value|threshold)\{{alert="{rule.key}",(.*)\}}', series)
            if match and re.fullmatch(r"[\d.e+-]+x\d+", values):
                levels[match[1]].add(f"{match[2]} {values}")
    assert levels["value"] & levels["threshold"] != set()


@pytest.mark.parametrize("name", sorted(set(NAMES) - NEVER_SILENT))
def test_an_alert_is_over_at_the_end_of_its_test(name: str) -> None:
    def ends_silent(group: Any) -> bool:
        claims = [claim for claim in group["alert_rule_test"] if claim["alertname"] == name]
        fired = any(claim["exp_alerts"] for claim in claims)
        return fired and not claims[-1]["exp_alerts"]

    files = (RULES / "tests").glob("*.test.yml")
    groups = [group for path in files for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]
    assert any(map(ends_silent, groups))
