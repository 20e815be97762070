"""What is rendered from the compose stack's configuration, judged by promtool and amtool."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from quantum_monitor import assets
from quantum_monitor.prometheus.discovery import announce
from quantum_monitor.stack import configuration
from tests.conftest import ROOT

ADDRESSES = {"prometheus": "127.0.0.1:19090", "alertmanager": "127.0.0.1:19093"}


def checked(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_for_local_programs_is_valid_and_knows_loopback_only(
    server_binary: Callable[[str], Path], tmp_path: Path
) -> None:
    text = configuration.prometheus(assets.root(), discovery=tmp_path / "targets", addresses=ADDRESSES)
    (tmp_path / "prometheus.yml").write_text(text, encoding="utf-8")
    checked(server_binary("promtool"), "check", "config", tmp_path / "prometheus.yml")
    config = yaml.safe_load(text)
    targets = [t for job in config["scrape_configs"] for s in job.get("static_configs", []) for t in s["targets"]]
    assert sorted(targets) == sorted(ADDRESSES.values())
    [watch] = config["scrape_configs"][0]["file_sd_configs"]
    assert watch["files"] == [f"{tmp_path}/targets/*.json"]


def test_a_scrape_interval_is_that_of_the_rules_too_and_no_timeout_exceeds_it(tmp_path: Path) -> None:
    text = configuration.prometheus(assets.root(), discovery=tmp_path, addresses=ADDRESSES, scrape_interval=1)
    assert yaml.safe_load(text)["global"] == {
        "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"
    }  # fmt: skip


@pytest.mark.parametrize("with_slack", [False, True], ids=["nobody", "slack"])
def test_alertmanager_for_local_programs_is_valid_and_routes_as_the_original(
    server_binary: Callable[[str], Path], tmp_path: Path, with_slack: bool
) -> None:
    webhook = tmp_path / "webhook"
    webhook.write_text("https://hooks.slack.com/services/T0/B0/secret\n", encoding="utf-8")
    routing = configuration.alertmanager(assets.root(), slack_webhook_file=webhook if with_slack else None)
    (tmp_path / "alertmanager.yml").write_text(routing.text, encoding="utf-8")
    assert "1 templates" in checked(server_binary("amtool"), "check-config", tmp_path / "alertmanager.yml")
    config, original = (
        yaml.safe_load(routing.text),
        yaml.safe_load((ROOT / "alertmanager/alertmanager.yml").read_text()),
    )
    assert (config["route"], config["inhibit_rules"]) == (original["route"], original["inhibit_rules"])
    assert bool(routing.told) is with_slack
    assert "smtp" not in routing.text
    assert "email" not in routing.text
    assert "secret" not in routing.text.replace(str(webhook), "")


def test_the_local_routing_is_the_original_with_mailpit_for_the_mail_server_and_no_slack() -> None:
    assert (ROOT / "alertmanager/alertmanager.local.yml").read_text(encoding="utf-8") == configuration.with_mailpit()
    config = yaml.safe_load(configuration.with_mailpit())
    assert config["global"]["smtp_smarthost"] == "mailpit:1025"
    assert not any("auth" in name or "slack" in name for name in config["global"])
    assert not any("slack_configs" in receiver for receiver in config["receivers"])
    assert any("email_configs" in receiver for receiver in config["receivers"])


def test_what_a_process_announces_is_scraped_where_a_container_reaches_it(
    server_binary: Callable[[str], Path], tmp_path: Path
) -> None:
    scraped_at = {
        "127.0.0.1": "host.docker.internal:9888",  # Docker Desktop: the loopback of the host has this name
        "172.17.0.1": "172.17.0.1:9888",  # Linux: the address of Docker's bridge
        "trainer": "trainer:9888",  # another container
    }
    for host in scraped_at:
        announce(tmp_path / host, host=host, port=9888, refresh_every=None)
    config: dict[str, Any] = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    [job] = [job for job in config["scrape_configs"] if job["job_name"] == "quantum-monitor"]
    job["file_sd_configs"][0]["files"] = [f"{tmp_path / host}/*.json" for host in scraped_at]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}), encoding="utf-8")
    command = (server_binary("promtool"), "check", "service-discovery", "--timeout=1s")
    found = json.loads(checked(*command, tmp_path / "prometheus.yml", "quantum-monitor"))
    by_folder = {
        Path(target["discoveredLabels"]["__meta_filepath"]).parent.name: target["labels"]["__address__"]
        for target in found
    }
    assert by_folder == scraped_at
