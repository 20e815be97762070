"""What the less simple queries say of made-up histories, judged by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.panel_queries import dashboards, queries

RUN = 'job="j", instance="i", experiment="h2", run="r"'
MONEY = f'{RUN}, backend="b", currency="USD", kind="billed"'
Ask = Callable[[str, Mapping[str, str], Mapping[str, float]], None]


@pytest.fixture
def ask(server_binary: Callable[[str], Path], tmp_path: Path) -> Ask:
    """Asserts what a panel's first query says after an hour of series, at a sample a minute."""
    promtool = server_binary("promtool")

    def check(panel: str, series: Mapping[str, str], wanted: Mapping[str, float]) -> None:
        (expr,) = (
            asked.expr
            for board in dashboards().values()
            for asked in queries(board, time_range="30m")
            if (asked.panel, asked.ref_id) == (panel, "A")
        )
        expected = [{"labels": labels, "value": value} for labels, value in wanted.items()]
        test: dict[str, Any] = {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": expr, "eval_time": "60m", "exp_samples": expected}],
        }
        (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
        command = [str(promtool), "test", "rules", "test.yml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return check


# Money gained: half an hour is looked at


def test_the_first_cost_of_a_run_that_began_in_the_time_range_counts(ask: Ask) -> None:
    series = {f"quantum_cost_total{{{MONEY}}}": "_x40 5x20"}
    ask("Spent in the time range", series, {'{currency="USD", kind="billed"}': 5})


def test_what_was_spent_before_the_time_range_does_not_count(ask: Ask) -> None:
    series = {f"quantum_cost_total{{{MONEY}}}": "100x40 103x20"}
    ask("Spent in the time range", series, {'{currency="USD", kind="billed"}': 3})


def test_a_run_that_ended_in_the_time_range_counts(ask: Ask) -> None:
    series = {f"quantum_cost_total{{{MONEY}}}": "100x33 107x5 stale"}
    ask("Spent in the time range", series, {'{currency="USD", kind="billed"}': 7})


def test_a_counter_that_began_again_counts_from_there(ask: Ask) -> None:
    series = {f"quantum_cost_total{{{MONEY}}}": "100x40 2x20"}
    ask("Spent in the time range", series, {'{currency="USD", kind="billed"}': 2})


def test_currencies_and_kinds_stay_apart(ask: Ask) -> None:
    other = MONEY.replace("USD", "EUR")
    estimated = MONEY.replace("billed", "estimated")
    series = {
        f"quantum_cost_total{{{labels}}}": f"_x40 {n}x20" for n, labels in enumerate((MONEY, other, estimated), 1)
    }
    ask(
        "Spent in the time range",
        series,
        {
            '{currency="USD", kind="billed"}': 1,
            '{currency="EUR", kind="billed"}': 2,
            '{currency="USD", kind="estimated"}': 3,
        },
    )


# State of a run


@pytest.mark.parametrize(
    ("running", "failed", "state"),
    [
        pytest.param("1x60", "0x60", 1, id="running"),
        pytest.param("1x40 0x20", "0x40 1x20", 3, id="failed"),
        pytest.param("1x40 0x2 stale", "0x40 1x2 stale", 3, id="failed and gone"),
        pytest.param("1x40 stale", "0x40 stale", 5, id="vanished"),
    ],
)
def test_the_table_of_runs_tells_how_a_run_stands(ask: Ask, running: str, failed: str, state: int) -> None:
    series = {
        f'quantum_run_status{{{RUN}, status="running"}}': running,
        f'quantum_run_status{{{RUN}, status="failed"}}': failed,
    }
    ask("All runs", series, {'{experiment="h2", instance="i", run="r"}': state})


def test_only_runs_that_were_running_to_the_last_have_vanished(ask: Ask) -> None:
    other = RUN.replace('run="r"', 'run="ended"')
    series = {
        f'quantum_run_status{{{RUN}, status="running"}}': "1x40 stale",
        f'quantum_run_status{{{other}, status="running"}}': "1x40 0x2 stale",
    }
    ask("Vanished", series, {"{}": 1})
    ask("Running", {f'quantum_run_status{{{RUN}, status="running"}}': "1x60"}, {"{}": 1})
    ask("Running", {}, {"{}": 0})


# Budget and pace


def test_the_forecast_is_what_is_spent_and_six_times_the_last_hour(ask: Ask) -> None:
    series = {f"quantum_cost_total{{{MONEY}}}": "0+1x60"}
    ask("Forecast by currency", series, {'{currency="USD", kind="billed"}': 60 + 6 * 60})


def test_a_run_that_ended_does_not_stall(ask: Ask) -> None:
    def series(running: int) -> dict[str, str]:
        return {
            f"quantum_training_last_step_timestamp_seconds{{{RUN}}}": "3000x60",
            f'quantum_run_status{{{RUN}, status="running"}}': f"{running}x60",
        }

    ask("Since the last step", series(running=1), {f"{{{RUN}}}": 600})
    ask("Since the last step", series(running=0), {})
