"""The `/metrics` page as a whole: valid for Prometheus, in both formats, and the same as the one in the golden file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from quantum_monitor import QuantumMonitor
from quantum_monitor.prometheus.exposition import expose
from tests.prometheus.full_use import log_everything, wait_for_machine

GOLDEN = Path(__file__).with_name("metrics.golden.txt")
ROOT = Path(__file__).resolve().parents[2]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
ODD_NAMES = (
    'say "hi"', "two\nlines", "back\\slash", "<b>&amp;</b>", "../../etc/passwd", "{a=\"b\"} 1", "", " ",
    "e\u0301 \u2202", "\u202e", "a\x00b", "a\ud800b", "x" * 10_000,
)  # fmt: skip

NewMonitor = Callable[..., QuantumMonitor]


def page(monitor: QuantumMonitor, accept: str = "") -> str:
    return expose(monitor.registry, accept=accept)[1].decode()


def samples(families: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of ours; the page is read twice, and the process goes on in between."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.startswith(("process_", "quantum_process_", "quantum_system_"))
        and sample.labels.get("alert") not in {"cpu_high", "memory_high"}
    }


def assert_promtool_has_no_complaint(text: str, promtool: Path) -> None:
    done = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.fixture
def everything(new_monitor: NewMonitor) -> QuantumMonitor:
    monitor = new_monitor()
    log_everything(monitor)
    wait_for_machine(monitor)
    return monitor


@pytest.fixture
def oddities(new_monitor: NewMonitor) -> QuantumMonitor:
    """Two experiments on two backends in one registry, then every odd name wherever a name can stand."""
    registry = CollectorRegistry()
    first, second = (new_monitor(name, registry=registry, labels={"team": 'a "b"'}) for name in ("h2", "lih"))
    log_everything(first, backend="simulator")
    log_everything(second, backend="hardware")
    for name in ODD_NAMES:
        with new_monitor(f"experiment {name}", registry=registry).start_run(name) as monitor:
            monitor.log_metrics({name: 1.0, f"{name}-array": [1.0, 2.0]}, step=0)
            monitor.log_circuit_execution(None, 0.1, cost=1, backend_info={"name": name, "currency": name})
            monitor.log_backend_status(name, up=True, error_rates={name: 0.1})
    with first.start_run("not finite"):
        first.log_training_step(np.nan, [np.inf, -np.inf], [np.nan], 0)
        first.log_metrics({"infinite": np.inf, "nan": np.nan})
    return first


# Prometheus accepts it


def test_promtool_has_no_complaint_about_a_page_with_everything(
    everything: QuantumMonitor, server_binary: Callable[[str], Path]
) -> None:
    assert_promtool_has_no_complaint(page(everything), server_binary("promtool"))


def test_promtool_has_no_complaint_about_two_monitors_and_odd_names(
    oddities: QuantumMonitor, server_binary: Callable[[str], Path]
) -> None:
    assert_promtool_has_no_complaint(page(oddities), server_binary("promtool"))


def test_promtool_has_no_complaint_about_a_page_before_any_run(
    new_monitor: NewMonitor, server_binary: Callable[[str], Path]
) -> None:
    assert_promtool_has_no_complaint(page(new_monitor()), server_binary("promtool"))


# Both formats


@pytest.mark.parametrize("made", ["everything", "oddities"])
def test_both_formats_say_the_same(made: str, request: pytest.FixtureRequest) -> None:
    monitor = request.getfixturevalue(made)
    text, openmetrics = page(monitor), page(monitor, OPENMETRICS)
    assert openmetrics.endswith("# EOF\n")
    in_text, in_openmetrics = samples(parse_text(text)), samples(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]
    assert len(in_text) > 100
    assert in_text.keys() == in_openmetrics.keys()
    assert all(in_text[key] == pytest.approx(in_openmetrics[key], nan_ok=True) for key in in_text)


def test_odd_names_come_back_as_they_were_logged(oddities: QuantumMonitor) -> None:
    found = [dict(labels) for name, labels in samples(parse_text(page(oddities))) if name == "quantum_custom_metric"]
    for name in ODD_NAMES:
        shown = (
            name.replace("\x00", r"\x00").replace("\ud800", r"\ud800").replace("\n", r"\n")
        )  # what Prometheus could not take in
        wanted = {"experiment": f"experiment {shown}"[:128], "name": shown[:128]}
        assert any(wanted.items() <= labels.items() for labels in found), name


def test_no_series_stands_twice_on_the_page(oddities: QuantumMonitor) -> None:
    lines = [line.rpartition(" ")[0] for line in page(oddities).splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))


# The golden file


def settled(text: str) -> str:
    """The page with what differs from run to run replaced by a word in angle brackets.

    That is: times of day, durations that were measured, the id of the run, versions, and the state of the machine.
    The `process_*` metrics of prometheus_client, which not every system has, are left out.
    """
    text = re.sub(r"^(# \w+ )?process_.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'run_id="[0-9a-f]{32}"', 'run_id="<run id>"', text)
    text = re.sub(r'git_commit="[0-9a-f]*"', 'git_commit="<commit>"', text)
    text = re.sub(r'python="[^"]+",version="[^"]+"', 'python="<version>",version="<version>"', text)
    for of, word in (
        (r"quantum_run_(start|end)_timestamp_seconds", "<time>"),
        (r"quantum_training_last_step_timestamp_seconds", "<time>"),
        (r"quantum_backend_last_report_timestamp_seconds", "<time>"),
        (r"quantum_training_step_duration_seconds_sum", "<seconds>"),
        (r'quantum_alert_value\{alert="(cpu|memory)_high"\}', "<ratio>"),
        (r"quantum_training_step_duration_seconds_bucket{[^}]*le=\"[0-9.]+\"[^}]*", "<count>"),
        (r"quantum_monitor_log_duration_seconds_sum", "<seconds>"),
        (r"quantum_(system|process)_cpu_ratio", "<ratio>"),
        (r"quantum_(system|process)_memory_\w+", "<bytes>"),
        (r"quantum_process_threads", "<count>"),
    ):
        text = re.sub(rf"^({of}[^ ]*) \S+$", rf"\1 {word}", text, flags=re.MULTILINE)
    return text


def test_the_page_of_a_fixed_run_is_the_golden_file(tmp_path: Path) -> None:
    # In a process of its own: which frameworks other tests have imported, and what they got wrong, must not show.
    command = [sys.executable, "-m", "tests.prometheus.full_use", str(tmp_path)]
    made = settled(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(made, encoding="utf-8")
    assert made == GOLDEN.read_text(encoding="utf-8"), "if that is meant: UPDATE_GOLDEN=1 make test ARGS='-k golden'"
