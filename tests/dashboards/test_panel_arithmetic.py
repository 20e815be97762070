"""What the less simple queries say of made-up histories, judged by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tests.dashboards.panel_queries import dashboards, queries

RUN = 'job="j", instance="i", experiment="h2", run="r"'
MONEY = f'{RUN}, backend="b", currency="USD", kind="billed"'


class Ask(Protocol):
    """Asserts what a query of a panel says after an hour of series, at a sample a minute."""

    def __call__(
        self,
        panel: str,
        series: Mapping[str, str],
        wanted: Mapping[str, float],
        *,
        ref_id: str = "A",
        rate_interval: str = "1m",
    ) -> None: ...


@pytest.fixture
def ask(server_binary: Callable[[str], Path], tmp_path: Path) -> Ask:
    """The question to promtool, with half an hour as time range."""
    promtool = server_binary("promtool")

    def check(
        panel: str,
        series: Mapping[str, str],
        wanted: Mapping[str, float],
        *,
        ref_id: str = "A",
        rate_interval: str = "1m",
    ) -> None:
        expr = next(
            asked.expr
            for board in dashboards().values()
            for asked in queries(board, time_range="30m", rate_interval=rate_interval)
            if (asked.panel, asked.ref_id) == (panel, ref_id)
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


def run_again(name: str, first: int, *spells: Sequence[float]) -> dict[str, str]:
    """A series of a script that is run several times under the same labels, and when its run began.

    The first is seen from a minute on, a sample a minute; for a minute between two, none is.
    """
    values, starts = ["_"] * first, ["_"] * first
    for began, spell in enumerate(spells, 1_000):
        values += [*map(str, spell), "stale"]
        starts += [*[str(began)] * len(spell), "stale"]
    return {name: " ".join(values), f"quantum_run_start_timestamp_seconds{{{RUN}}}": " ".join(starts)}


@pytest.mark.parametrize(
    ("first", "spells", "gained"),
    [
        pytest.param(40, [[3, 3], [3], [3, 3], [3, 3, 3], [3]], 15, id="of one execution each"),
        pytest.param(40, [[1, 3], [1, 2, 3], [2, 4]], 10, id="of several executions"),
        pytest.param(20, [[1] * 12 + [5], [1, 2, 3], [2, 4]], 11, id="the first began before"),
        pytest.param(10, [[90] * 10 + [100] * 15, [1, 2, 3], [108, 109]], 112, id="the last spent more than the first"),
        pytest.param(0, [[7] * 20, [1] * 25, [2, 4]], 4, id="one ended before, and one spent nothing since"),
    ],
)
def test_scripts_that_are_run_again_under_the_same_names_are_added_up(
    ask: Ask, first: int, spells: list[list[float]], gained: float
) -> None:
    series = run_again(f"quantum_cost_total{{{MONEY}}}", first, *spells)
    ask("Spent in the time range", series, {'{currency="USD", kind="billed"}': gained})
    cells = MONEY.replace('job="j", instance="i", ', "")
    ask("Cost by run and backend", series, {f"{{{cells}}}": gained}, ref_id="B")


def test_executions_of_scripts_that_are_run_again_are_added_up(ask: Ask) -> None:
    executed = f'quantum_circuit_executions_total{{{RUN}, backend="b", status="success"}}'
    ask("Executions", run_again(executed, 35, [4, 10], [10, 10], [7, 10]), {'{status="success"}': 30})


def test_alerts_of_scripts_that_are_run_again_are_counted_as_often_as_the_counter_is_seen_to_fall(ask: Ask) -> None:
    fired = f'quantum_alerts_total{{{RUN}, alert="fidelity_drop", severity="warning"}}'
    ask("How often", run_again(fired, 32, *[[0, 0, 1, 2]] * 5), {'{alert="fidelity_drop", severity="warning"}': 10})
    ask("How often", run_again(fired, 32, [0, 1, 2, 2]), {'{alert="fidelity_drop", severity="warning"}': 2})
    ask("How often", run_again(fired, 32, *[[0, 0]] * 5), {})


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
    ("running", "failed", "up", "state"),
    [
        pytest.param("1x60", "0x60", "1x60", 1, id="running"),
        pytest.param("1x40 0x20", "0x40 1x20", "1x60", 3, id="failed"),
        pytest.param("1x40 0x2 stale", "0x40 1x2 stale", "1x43 stale", 3, id="failed and gone"),
        pytest.param("1x40 stale", "0x40 stale", "1x40 0x20", 5, id="killed"),
        pytest.param("1x40 stale", "0x40 stale", "1x40 0x5 1x14", 5, id="killed, and another answers there by now"),
        pytest.param("1x40 stale", "0x40 stale", "1x40 0x5 stale", 5, id="killed, and its target tidied away"),
        pytest.param("1x40 stale", "0x40 stale", "1x40 stale", 6, id="left in order"),
        pytest.param("1x40 stale", "0x40 stale", "1x40 0 stale", 6, id="left in order, and one scrape failed"),
        pytest.param(
            "1x40 stale", "0x40 stale", "1x40 stale _x9 1x4 0x6", 6, id="left in order, and another was killed"
        ),
    ],
)
def test_the_table_of_runs_tells_how_a_run_stands(ask: Ask, running: str, failed: str, up: str, state: int) -> None:
    series = {
        f'quantum_run_status{{{RUN}, status="running"}}': running,
        f'quantum_run_status{{{RUN}, status="failed"}}': failed,
        'up{job="j", instance="i"}': up,
    }
    ask("All runs", series, {'{experiment="h2", instance="i", run="r"}': state})


def test_only_runs_that_were_running_to_the_last_and_whose_target_failed_have_vanished(ask: Ask) -> None:
    ended, left = RUN.replace('run="r"', 'run="ended"'), RUN.replace('instance="i"', 'instance="left"')
    series = {
        f'quantum_run_status{{{RUN}, status="running"}}': "1x40 stale",
        f'quantum_run_status{{{ended}, status="running"}}': "1x40 0x2 stale",
        f'quantum_run_status{{{left}, status="running"}}': "1x40 stale",
        'up{job="j", instance="i"}': "1x40 0x20",
        'up{job="j", instance="left"}': "1x40 0 stale",
    }
    ask("Vanished", series, {"{}": 1})
    ask("Running", {f'quantum_run_status{{{RUN}, status="running"}}': "1x60"}, {"{}": 1})
    ask("Running", {}, {"{}": 0})


# What is shorter than the time between two points of a long time range


@pytest.mark.parametrize("panel", ["Alerts over time", "annotation Alerts"])
def test_an_alert_that_fired_between_two_points_is_seen(ask: Ask, panel: str) -> None:
    fired = f'{RUN}, alert="fidelity_drop", severity="warning"'
    wanted = '{alert="fidelity_drop"}' if panel == "Alerts over time" else f"{{{fired}}}"
    series = {f"quantum_alert_firing{{{fired}}}": "0x50 1 0x9"}
    ask(panel, series, {wanted: 1}, rate_interval="30m")


def test_the_worst_value_between_two_points_is_drawn(ask: Ask) -> None:
    series = {f'quantum_alert_value{{{RUN}, alert="fidelity_drop"}}': "0.01x50 0.4 0.02x9"}
    ask("Fidelity drop", series, {f'{{{RUN}, alert="fidelity_drop"}}': 0.4}, rate_interval="30m")


def test_a_run_that_began_and_ended_between_two_points_is_seen_with_its_end(ask: Ask) -> None:
    series = {
        f'quantum_run_status{{{RUN}, status="running"}}': "_x40 1x3 0x2 stale",
        f'quantum_run_status{{{RUN}, status="failed"}}': "_x40 0x3 1x2 stale",
    }
    ask("State of the runs", series, {f"{{{RUN}}}": 3}, rate_interval="30m")


# What is wrong now


@pytest.mark.parametrize(
    ("alert", "labels", "shown"),
    [
        ("fidelity_drop", 'experiment="h2", run="r"', 'experiment="h2", run="r", backend="All", dashboard="state"'),
        ("backend_down", 'backend="b"', 'experiment="All", run="All", backend="b", dashboard="circuits"'),
        ("cpu_high", "", 'experiment="All", run="All", backend="All", dashboard="health"'),
        ("hardware_temp", 'experiment="h2", run="r"', 'experiment="h2", run="r", backend="All", dashboard="training"'),
    ],
)
def test_an_alert_of_any_scope_leads_to_a_dashboard_with_everything_chosen_that_it_does_not_name(
    ask: Ask, alert: str, labels: str, shown: str
) -> None:
    own = ", ".join(filter(None, ('job="j", instance="i"', f'alert="{alert}"', labels)))
    series = {f'quantum_alert_firing{{{own}, severity="warning"}}': "1x60", f"quantum_alert_value{{{own}}}": "0.5x60"}
    wanted = {f'{{severity="warning", alert="{alert}", instance="i", {shown}}}': 0.5}
    ask("Value against threshold", series, wanted)


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
