"""A real Alertmanager on loopback, with the shipped configuration."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from tests.server_process import ServerProcess

SHIPPED = Path(__file__).resolve().parents[2] / "alertmanager"


def switched_on(text: str, what: str) -> str:
    """The configuration with the blocks of PagerDuty or of the dead man's switch switched on, as a person would."""
    lines, inside, found = [], False, False
    for line in text.splitlines():
        if line.strip() == "# ---":
            inside = False
        lines.append(line.replace("# ", "", 1) if inside else line)
        if line.strip().startswith(f"# --- switch on {what}"):
            inside = found = True
    assert found, f"there is no block {what} to switch on"
    return "\n".join(lines) + "\n"


def loopback_config(folder: Path, *, webhook: str, smarthost: str, wait: str = "1s", interval: str = "1s") -> Path:
    """Write the shipped configuration with everything switched on, for receivers on loopback.

    Replaced are what a person replaces, too (the global block and the secrets), and the times: a group waits for
    `wait`, then says what is new after `interval`, and repeats nothing within an hour; the watchdog every `interval`.

    Args:
        folder: where the configuration and its secrets go.
        webhook: address of an HTTP server that gets `/slack`, `/pagerduty` and `/watchdog`.
        smarthost: `host:port` of an SMTP server without TLS.
        wait: every `group_wait` but that of the watchdog; that of the exporter's route is three times as long.
        interval: every `group_interval`.
    """
    text = (SHIPPED / "alertmanager.yml").read_text(encoding="utf-8")
    config = yaml.safe_load(switched_on(switched_on(text, "PagerDuty"), "the dead man's switch"))
    secrets = folder / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "slack_api_url").write_text(f"{webhook}/slack")
    (secrets / "pagerduty_routing_key").write_text("a-routing-key")
    config["templates"] = [str(SHIPPED / "templates/*.tmpl")]
    config["global"] = {
        "smtp_smarthost": smarthost,
        "smtp_from": "alerts@example.org",
        "smtp_require_tls": False,
        "slack_api_url_file": str(secrets / "slack_api_url"),
        "pagerduty_url": f"{webhook}/pagerduty",
    }
    for receiver in config["receivers"]:
        for pagerduty in receiver.get("pagerduty_configs", []):
            pagerduty["routing_key_file"] = str(secrets / "pagerduty_routing_key")
        for dead_mans_switch in receiver.get("webhook_configs", []):
            del dead_mans_switch["url_file"]  # Alertmanager 0.25 knows only `url`
            dead_mans_switch["url"] = f"{webhook}/watchdog"
    seconds = int(wait.removesuffix("s"))
    _set_times(config["route"], seconds, interval)
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _set_times(route: dict[str, Any], wait: int, interval: str) -> None:
    is_watchdog = route.get("receiver") == "watchdog"
    longer = 3 if "QuantumExporterDown" in str(route.get("matchers")) else 1
    route["group_wait"] = "0s" if is_watchdog else f"{longer * wait}s"
    route["group_interval"] = interval
    route["repeat_interval"] = "1ms" if is_watchdog else "1h"
    for child in route.get("routes", []):
        _set_times(child, wait, interval)


class Alertmanager(ServerProcess):
    """A running Alertmanager and its API.

    Args:
        program: the server's program.
        config: its configuration; data and log go beside it.
    """

    def __init__(self, program: Path, config: Path) -> None:
        super().__init__(config.parent)
        self._program, self._config = program, config

    def command(self) -> list[str | Path]:
        """Its command."""
        return [
            self._program, f"--config.file={self._config}", f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address={self.address}", f"--web.external-url=http://{self.address}",
            "--cluster.listen-address=", "--log.level=warn",
        ]  # fmt: skip

    def fire(self, *alerts: dict[str, Any]) -> None:
        """Hand alerts over as Prometheus does: `{"labels": ..., "annotations": ...}`."""
        self.ask("POST", "alerts", alerts)

    def resolve(self, *alerts: dict[str, Any]) -> None:
        """Say that alerts are over."""
        now = datetime.fromtimestamp(time.time(), timezone.utc).isoformat()
        self.ask("POST", "alerts", [{**alert, "endsAt": now} for alert in alerts])

    def states(self, *matchers: str) -> dict[str, str]:
        """The state (active, suppressed) of the alerts that match, by alert name and run."""
        query = urllib.parse.urlencode([("filter", matcher) for matcher in matchers])
        found = self.ask("GET", f"alerts?{query}")
        names = [" ".join(filter(None, (a["labels"]["alertname"], a["labels"].get("run")))) for a in found]
        return {name: alert["status"]["state"] for name, alert in zip(names, found, strict=True)}

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """An answer of the API, version 2."""
        content = None if body is None else json.dumps(body)
        status, answer = self.request(method, f"/api/v2/{path}", content)
        assert status == 200, answer
        return json.loads(answer) if answer else None


def silence_matchers(link: str) -> list[str]:
    """The matchers that Alertmanager's page for a new silence reads from a link."""
    _, _, query = urllib.parse.unquote(link.replace("+", "%2B")).partition("#/silences/new?filter=")
    assert query.startswith("{"), link
    assert query.endswith("}"), link
    return re.findall(r'\w+="(?:[^"\\]|\\.)*"', query)
