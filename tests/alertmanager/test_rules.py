"""The rule files: accepted by promtool, in step with vocabulary and catalog, and worded so that a person can act."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from quantum_monitor.alerts.documentation import READS, markdown
from quantum_monitor.alerts.rules import ALERTS, BY_KEY, PROMETHEUS_ALERTS
from quantum_monitor.prometheus import catalog
from tests.alertmanager.rule_files import RULES, VOCABULARY, Rule, nodes, rules_in, selectors

FILES = sorted(RULES.glob("*.rules.yml"))
RULE_OF = {rule.name: rule for rule in rules_in(RULES)}
SCOPE_LABELS = {"run": ("experiment", "run"), "backend": ("backend",), "process": (), "instance": ()}
OF_PROMETHEUS = frozenset({"up", "ALERTS"})
JOINS = frozenset({"and", "or", "unless"})
DASHBOARDS = "http://localhost:3000/d/"
RUNBOOKS = "https://github.com/quantum-monitor/quantum-monitor/blob/main/docs/runbooks/"

each_alert = pytest.mark.parametrize("alert", VOCABULARY, ids=lambda alert: alert.key)
each_rule = pytest.mark.parametrize("rule", RULE_OF.values(), ids=lambda rule: rule.name)


def expressions() -> list[str]:
    """Every expression of every file, recording rules included."""
    groups = [group for path in FILES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def flat(text: str) -> str:
    return " ".join(text.split())


# promtool


def test_promtool_has_no_complaint(server_binary: Callable[[str], Path]) -> None:
    done = run(server_binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *FILES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules found", done.stdout))) == len(expressions())


@pytest.mark.parametrize("path", sorted((RULES / "tests").glob("*.test.yml")), ids=lambda path: path.name)
def test_every_unit_test_passes(server_binary: Callable[[str], Path], path: Path) -> None:
    done = run(server_binary("promtool"), "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


# The vocabulary


@each_alert
def test_severity_and_duration_are_those_of_the_vocabulary(alert: Any) -> None:
    rule = RULE_OF[alert.prometheus_name]
    assert rule.hold == (f"{alert.hold_seconds / 60:g}m" if alert.hold_seconds else "")
    if alert.key == "custom_alert":
        assert dict(rule.labels) == {}  # severity and name are those of the series
    else:
        assert rule.labels["severity"] == alert.severity.label


@each_alert
def test_the_label_alert_is_the_key(alert: Any) -> None:
    rule = RULE_OF[alert.prometheus_name]
    if alert.key in BY_KEY:
        assert "alert" not in rule.labels  # it is that of the series, which the comparison keeps
    elif alert.key != "custom_alert":
        assert rule.labels["alert"] == alert.key


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.key)
def test_an_alert_judged_in_the_process_compares_its_two_series_and_nothing_else(alert: Any) -> None:
    side, limit = ("<", "max") if alert.below else (">", "min")  # of several limits, the stricter one
    on = ", ".join(("job", "instance", *SCOPE_LABELS[alert.scope]))
    assert flat(RULE_OF[alert.prometheus_name].expr) == (
        f'quantum_alert_value{{alert="{alert.key}"}} {side} on ({on}) group_left () '
        f'{limit} by ({on}) (quantum_alert_threshold{{alert="{alert.key}"}})'
    )


def test_the_catch_all_leaves_out_exactly_the_alerts_that_have_a_rule_of_their_own() -> None:
    found = selectors(RULE_OF["QuantumCustomAlert"].expr)
    assert [selector.name for selector in found] == ["quantum_alert_firing", "quantum_alerts_total"]
    for selector in found:
        (matcher,) = selector.matchers.matchers
        assert (matcher.name, matcher.op) == ("alert", promql.MatchOp.NotRe)
        assert matcher.value.split("|") == list(BY_KEY)


@pytest.mark.parametrize("expr", expressions())
def test_every_matcher_on_an_alert_names_one_that_there_is(expr: str) -> None:
    matchers = [matcher for selector in selectors(expr) for matcher in selector.matchers.matchers]
    named = {key for matcher in matchers if matcher.name == "alert" for key in matcher.value.split("|")}
    assert named <= set(BY_KEY)


# PromQL


@pytest.mark.parametrize("expr", expressions())
def test_every_metric_is_known_to_the_catalog(expr: str) -> None:
    names = {selector.name for selector in selectors(expr)}
    assert names <= {*OF_PROMETHEUS, *catalog.BY_NAME}


def test_a_metric_that_the_catalog_does_not_know_is_found() -> None:
    names = [selector.name for selector in selectors("max_over_time((rate(quantum_los[5m]) + 1)[1h:1m]) > 0")]
    assert names == ["quantum_los"]


@each_rule
def test_every_join_names_the_labels_that_it_joins_on(rule: Rule) -> None:
    for node in nodes(promql.parse(rule.expr)):
        if not isinstance(node, promql.BinaryExpr):
            continue
        of_two_vectors = str(node.op) in JOINS or not any(
            isinstance(side, promql.NumberLiteral) for side in (node.lhs, node.rhs)
        )
        if of_two_vectors:
            assert node.modifier is not None, node.prettify()
            assert str(node.modifier.matching).startswith("on (job, instance"), node.prettify()


@each_alert
def test_a_join_of_series_of_a_run_or_backend_names_its_labels(alert: Any) -> None:
    for node in nodes(promql.parse(RULE_OF[alert.prometheus_name].expr)):
        matching = getattr(getattr(node, "modifier", None), "matching", None)
        if isinstance(node, promql.BinaryExpr) and matching is not None:
            of_the_target = {selector.name for selector in selectors(node.rhs.prettify())} == {"up"}
            scope = () if of_the_target else SCOPE_LABELS.get(alert.scope, ())
            assert set(matching.labels) >= {"job", "instance", *scope}


# Texts


@each_alert
def test_every_alert_says_what_where_and_what_to_do(alert: Any) -> None:
    annotations = RULE_OF[alert.prometheus_name].annotations
    assert set(annotations) >= {"summary", "description", "runbook_url", "dashboard_url"}
    assert "\n" not in annotations["summary"]
    assert annotations["description"].rstrip().endswith(".")
    assert annotations["runbook_url"] == f"{RUNBOOKS}{alert.key}.md"
    assert re.match(rf"{DASHBOARDS}{alert.dashboard}(\?|$)", annotations["dashboard_url"])


@each_alert
def test_an_alert_leads_to_its_own_run_backend_or_process(alert: Any) -> None:
    url = RULE_OF[alert.prometheus_name].annotations["dashboard_url"]
    for label in SCOPE_LABELS.get(alert.scope, ()):
        assert f"var-{label}={{{{ urlquery $labels.{label} }}}}" in url
    if alert.key != "watchdog":
        assert "var-instance={{ urlquery $labels.instance }}" in url
    assert "{{ $labels" not in url  # nothing stands in an address unescaped


@each_alert
def test_the_summary_names_what_the_alert_belongs_to(alert: Any) -> None:
    summary = RULE_OF[alert.prometheus_name].annotations["summary"]
    for label in SCOPE_LABELS.get(alert.scope, ()):
        assert f"$labels.{label}" in summary


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.key)
def test_an_alert_with_a_threshold_says_both_numbers(alert: Any) -> None:
    annotations = RULE_OF[alert.prometheus_name].annotations
    assert annotations["value"]
    assert annotations["threshold"]
    if alert.key != "backend_down":  # which has two words instead
        assert annotations["value"] in annotations["description"]
        assert flat(annotations["threshold"]) in flat(annotations["description"])


@each_rule
def test_no_label_carries_the_value(rule: Rule) -> None:
    assert [text for text in rule.labels.values() if "{{" in text or "$value" in text] == []


@each_rule
def test_numbers_are_written_for_people(rule: Rule) -> None:
    for text in rule.annotations.values():
        for action in re.findall(r"\{\{(.*?)\}\}", text, re.DOTALL):
            if re.search(r"\$value|\| value", action):
                assert re.search(r"\| (humanize\w*|printf \"%\.\d[fg]\")\s*$", action), action


@each_rule
def test_a_name_gets_into_a_query_only_quoted(rule: Rule) -> None:
    for text in rule.annotations.values():
        for pattern in re.findall(r"printf\s+`([^`]*)`", text):
            assert re.fullmatch(r'(min|max)?\(?\w+\{(\w+=(%q|"\w+"),?)+\}\)?', pattern), pattern


# docs/alerts.md


@pytest.mark.parametrize("alert", PROMETHEUS_ALERTS, ids=lambda alert: alert.key)
def test_the_documentation_names_the_series_that_a_rule_reads(alert: Any) -> None:
    read = dict.fromkeys(selector.name for selector in selectors(RULE_OF[alert.prometheus_name].expr))
    assert READS[alert.key] == tuple(read)


def test_the_documentation_has_every_alert_once() -> None:
    named = re.findall(r"^\| `(Quantum\w+)` \|", markdown(), re.MULTILINE)
    assert named == [alert.prometheus_name for alert in VOCABULARY]


def test_the_documentation_has_as_many_cells_in_each_row_as_columns() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", markdown(), re.MULTILINE)
    assert [len({line.count("|") for line in table.splitlines()}) for table in tables] == [1] * len(tables)
