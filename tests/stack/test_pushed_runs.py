"""What the script of docs/stack.md pushes: where it shows in Prometheus, and what raises no alarm."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, push_to_gateway

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.stack.ports import free_port
from quantum_monitor.stack.server import Server
from tests.conftest import ROOT
from tests.e2e.prometheus_process import Prometheus
from tests.server_process import eventually

PAGE = (ROOT / "docs/stack.md").read_text(encoding="utf-8")
DOCUMENTED = "127.0.0.1:9091"


@pytest.fixture
def gateway(server_binary: Callable[[str], Path], tmp_path: Path) -> Iterator[Server]:
    """A Pushgateway that answers."""
    port = free_port(0)
    command: list[str | Path] = [server_binary("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"]
    server = Server("Pushgateway", command, port=port, log=tmp_path / "pushgateway.log")
    try:
        eventually(server.is_ready, what="the start of the Pushgateway")
        yield server
    finally:
        server.kill()


@pytest.fixture
def prometheus(server_binary: Callable[[str], Path], gateway: Server, tmp_path: Path) -> Iterator[Prometheus]:
    """Prometheus with the compose stack's job of the Pushgateway and with the rules, everything once a second."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    [job] = [job for job in config["scrape_configs"] if job["job_name"] == "pushgateway"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{gateway.port}"]}]
    once_a_second = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    rules = [str(ROOT / "alertmanager/rules/*.rules.yml")]
    text = yaml.safe_dump({"global": once_a_second, "rule_files": rules, "scrape_configs": [job]})
    with Prometheus(server_binary("prometheus"), tmp_path / "prometheus", lambda _: text) as prometheus:
        yield prometheus


def push_as_documented(gateway: Server, folder: Path) -> None:
    """Run the script of the page."""
    [script] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "push_to_gateway" in block]
    assert DOCUMENTED in script
    code = script.replace(DOCUMENTED, f"127.0.0.1:{gateway.port}")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def alarms(prometheus: Prometheus) -> set[str]:
    """Every alert that fires or is about to, but for what always fires and what tells of an end."""
    found = {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"]}
    return found - {"QuantumWatchdog", "QuantumRunFinished"}


def test_pushed_runs_show_on_dashboards_with_an_instance_and_raise_no_alarm(
    gateway: Server,
    prometheus: Prometheus,
    tmp_path: Path,
    new_monitor: Callable[..., QuantumMonitor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FAULTS, "drops", Counter())  # what other tests of this process had to drop is no news here
    push_as_documented(gateway, tmp_path)
    nameless = new_monitor("lih", registry=CollectorRegistry())
    with nameless.start_run("by hand"):
        nameless.log_metrics({"loss": 0.5}, step=0)
    push_to_gateway(f"127.0.0.1:{gateway.port}", job="other", registry=nameless.registry)

    def runs() -> set[tuple[str, str, str]]:
        # As every panel asks.
        found = prometheus.series('quantum_training_loss{job=~".+",instance=~".+",experiment=~".+",run=~".+"}')
        return {(each["metric"]["experiment"], each["metric"]["job"], each["metric"]["instance"]) for each in found}

    shown = {("h2", "quantum-monitor", "nightly-h2"), ("lih", "other", "pushgateway")}
    eventually(lambda: runs() == shown, what="both runs")
    own = prometheus.series('pushgateway_build_info{job="pushgateway"}')
    assert [each["metric"]["instance"] for each in own] == [f"127.0.0.1:{gateway.port}"]
    ended = 'ALERTS{alertname="QuantumRunFinished",alertstate="firing"}'
    eventually(lambda: len(prometheus.series(ended)) == len(shown), what="the news of both ends")
    assert alarms(prometheus) == set()

    [path] = re.findall(rf"curl -X DELETE http://{DOCUMENTED}(/\S+)`", PAGE)
    request = urllib.request.Request(f"{gateway.url}{path}", method="DELETE")
    urllib.request.urlopen(request, timeout=30).close()
    eventually(lambda: {name for name, _, _ in runs()} == {"lih"}, what="the deletion")
    assert alarms(prometheus) == set()

    gateway.kill()
    eventually(lambda: prometheus.series("up == 0"), what="the end of the Pushgateway")
    evaluated = prometheus.ask("rules")["groups"][0]["lastEvaluation"]
    eventually(lambda: prometheus.ask("rules")["groups"][0]["lastEvaluation"] > evaluated, what="an evaluation")
    assert alarms(prometheus) == set()
