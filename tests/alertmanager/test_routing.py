"""The shipped configuration of Alertmanager: valid in each of its forms, and every alert has its receiver."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from quantum_monitor.alerts.rules import ALERTS, PROMETHEUS_ALERTS, AlertRule, PrometheusAlert, Severity
from quantum_monitor.alerts.state import HELD_SECONDS
from tests.alertmanager.alertmanager_process import (
    SHIPPED,
    Alertmanager,
    switched_on,
)

CONFIG = SHIPPED / "alertmanager.yml"
DOCUMENTATION = SHIPPED.parent / "docs/alerting.md"
ENDINGS = {
    "QuantumRunFailed": "run-failed",
    "QuantumRunFinished": "run-finished",
    "QuantumRunVanished": "run-vanished",
}
SWITCHES = {"PagerDuty": "pagerduty_configs", "the dead man's switch": "webhook_configs"}
VOCABULARY: tuple[AlertRule | PrometheusAlert, ...] = (*ALERTS, *PROMETHEUS_ALERTS)
SEVERITIES = {rule.prometheus_name: rule.severity.label for rule in VOCABULARY}
INTERVAL = 15
"""Seconds between scrapes, and between evaluations of the rules."""
RECEIVERS: dict[str, str] = {**SEVERITIES, **ENDINGS, "QuantumWatchdog": "watchdog"}


def shipped() -> str:
    return CONFIG.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def amtool(server_binary: Callable[[str], Path]) -> Callable[..., str]:
    program = server_binary("amtool")

    def run(*arguments: object) -> str:
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a variant of the configuration beside the shipped templates."""

    def write(text: str) -> Path:
        folder = tmp_path / "alertmanager"
        shutil.copytree(SHIPPED / "templates", folder / "templates")
        path = folder / "alertmanager.yml"
        path.write_text(text)
        return path

    return write


# The file


def test_the_shipped_configuration_is_valid(amtool: Callable[..., str]) -> None:
    said = amtool("check-config", CONFIG)
    assert "SUCCESS" in said
    assert "1 templates" in said


@pytest.mark.parametrize("what", SWITCHES)
def test_what_is_switched_on_is_valid(what: str, amtool: Callable[..., str], save: Callable[[str], Path]) -> None:
    text = switched_on(shipped(), what)
    assert f"\n    {SWITCHES[what]}:\n" in text
    # `url_file` came with Alertmanager 0.26, the server here may be 0.25
    text = text.replace("url_file: /etc/alertmanager/secrets/watchdog_url", "url: https://example.org/ping")
    amtool("check-config", save(text))


@pytest.mark.parametrize(("medium", "setting"), [("slack_configs", "slack_"), ("email_configs", "smtp_")])
def test_without_slack_or_without_mail_it_is_still_valid(
    medium: str, setting: str, amtool: Callable[..., str], save: Callable[[str], Path]
) -> None:
    config = yaml.safe_load(shipped())
    config["global"] = {key: value for key, value in config["global"].items() if not key.startswith(setting)}
    for receiver in config["receivers"]:
        receiver.pop(medium, None)
    amtool("check-config", save(yaml.safe_dump(config)))


def test_it_starts_before_any_secret_is_there(
    server_binary: Callable[[str], Path], save: Callable[[str], Path]
) -> None:
    with Alertmanager(server_binary("prometheus-alertmanager"), save(shipped())) as alertmanager:
        assert alertmanager.ask("GET", "status")["config"]["original"]


def test_secrets_stand_in_files_and_each_has_an_example() -> None:
    text = switched_on(switched_on(shipped(), "PagerDuty"), "the dead man's switch")
    named = re.findall(r"(\w+_file): (\S+)", text)
    examples = {path.name for path in (SHIPPED / "secrets.example").iterdir()} - {"README"}
    assert {Path(path).name for _, path in named} == examples
    assert all(path.startswith("/etc/alertmanager/secrets/") for _, path in named), (
        "a relative path is not of this file"
    )
    secret = re.compile(r"\b(api_url|smtp_auth_password|routing_key|service_key|url): (?!')")
    assert not secret.search(text)


def test_the_examples_have_no_line_break_at_the_end() -> None:
    examples = [path for path in (SHIPPED / "secrets.example").iterdir() if path.name != "README"]
    assert all(path.read_text() == path.read_text().strip() for path in examples)


def test_mail_needs_tls() -> None:
    assert yaml.safe_load(shipped())["global"]["smtp_require_tls"] is True


def test_everybody_hears_that_an_alert_is_over_except_where_that_says_nothing() -> None:
    config = yaml.safe_load(switched_on(switched_on(shipped(), "PagerDuty"), "the dead man's switch"))
    told = {
        receiver["name"]: {entry["send_resolved"] for key in receiver if key != "name" for entry in receiver[key] or []}
        for receiver in config["receivers"]
    }
    silent = {"run-failed", "run-finished", "run-vanished", "watchdog"}
    assert told == {name: {name not in silent} for name in told}


def test_no_deprecated_matching_is_used() -> None:
    assert not re.search(r"\b(match|match_re|source_match|target_match)(_re)?:", shipped())


def test_the_examples_of_the_documentation_work(amtool: Callable[..., str], save: Callable[[str], Path]) -> None:
    second_webhook, own_route = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    text = shipped()
    for old, new in {
        "  - name: info\n    slack_configs:\n      - *slack\n": second_webhook + "    email_configs: [*email]\n",
        '    - matchers: [severity="critical"]\n      receiver: critical\n': own_route,
        "receivers:\n": "receivers:\n  - name: chemistry\n",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new + (old if new is own_route else ""))
    config = save(text)
    amtool("check-config", config)
    route(amtool, "chemistry,critical", {"team": "chemistry", "severity": "critical"}, config=config)


# Routes


def route(amtool: Callable[..., str], receivers: str, labels: dict[str, str], *, config: Path = CONFIG) -> None:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    amtool("config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receivers}", *pairs)


@pytest.mark.parametrize("name", RECEIVERS)
def test_every_alert_reaches_the_receiver_of_its_severity(name: str, amtool: Callable[..., str]) -> None:
    labels = {"alertname": name, "severity": SEVERITIES[name]}
    of_a_run = {"experiment": "h2", "run": "a", "job": "quantum-monitor", "instance": "127.0.0.1:9888"}
    for scope in ({}, of_a_run, {"backend": "ibm_kyiv", "team": "x"}):
        route(amtool, RECEIVERS[name], {**labels, **scope})


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_an_alert_of_a_plug_in_is_routed_by_its_own_severity(severity: str, amtool: Callable[..., str]) -> None:
    route(amtool, severity, {"alertname": "QuantumCustomAlert", "severity": severity, "alert": "hardware_temp"})


def group_waits(node: dict[str, Any], labels: dict[str, str], inherited: str = "30s") -> list[float]:
    """Seconds until each group that takes an alert tells of it first, as Alertmanager walks its routes."""
    wait = node.get("group_wait", inherited)
    found: list[float] = []
    for child in node.get("routes", []):
        if all(matches(matcher, labels) for matcher in child["matchers"]):
            found += group_waits(child, labels, wait)
            if not child.get("continue", False):
                break
    return found or [float(wait[:-1]) * {"s": 1, "m": 60}[wait[-1]]]


def matches(matcher: str, labels: dict[str, str]) -> bool:
    match = re.fullmatch(r'(\w+)="(.*)"', matcher)
    assert match is not None, f"{matcher} is of a kind that this test does not know"
    return labels.get(match[1]) == match[2]


def held() -> list[dict[str, str]]:
    """The labels of every alert that may last for no longer than its value is held."""
    built_in = [rule for rule in ALERTS if not rule.hold_seconds]
    return [
        *({"alertname": rule.prometheus_name, "severity": rule.severity.label} for rule in built_in),
        *({"alertname": "QuantumCustomAlert", "severity": severity.label} for severity in Severity),
    ]


@pytest.mark.parametrize("labels", held(), ids=lambda labels: f"{labels['alertname']}-{labels['severity']}")
def test_an_event_of_one_step_is_not_over_before_its_group_tells_of_it(labels: dict[str, str]) -> None:
    root = yaml.safe_load(switched_on(shipped(), "PagerDuty"))["route"]
    # A scrape and an evaluation pass at most until its rule finds it, and a restart of Alertmanager may cost some more.
    assert max(group_waits(root, labels)) + 2 * INTERVAL < HELD_SECONDS


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_lesser_alerts_wait_for_the_evaluation_that_finds_the_critical_one(severity: str) -> None:
    root = yaml.safe_load(shipped())["route"]
    assert min(group_waits(root, {"alertname": "QuantumBarrenPlateau", "severity": severity})) > INTERVAL


def test_an_alert_of_an_unknown_severity_is_told_to_somebody(amtool: Callable[..., str]) -> None:
    route(amtool, "warning", {"alertname": "DiskFull", "severity": "page"})
    route(amtool, "warning", {"alertname": "DiskFull"})


def test_pagerduty_gets_what_is_critical_besides_the_others(
    amtool: Callable[..., str], save: Callable[[str], Path]
) -> None:
    config = save(switched_on(shipped(), "PagerDuty"))
    for name, severity in SEVERITIES.items():
        receivers = f"pagerduty,{RECEIVERS[name]}" if severity == "critical" else RECEIVERS[name]
        route(amtool, receivers, {"alertname": name, "severity": severity, "experiment": "h2"}, config=config)


def test_the_tree_of_routes_fits_on_a_screen(amtool: Callable[..., str]) -> None:
    shown = amtool("config", "routes", "show", f"--config.file={CONFIG}")
    assert len(shown.splitlines()) < 20
    assert max(map(len, shown.splitlines())) < 100
