"""How fast money goes, and what will have been spent in six hours: as the Prometheus rule reckons it."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from quantum_monitor.costs.burn import Burn, Due

RULES = Path(__file__).parents[2] / "alertmanager/rules/budget.rules.yml"
MINUTE, HOUR = 60.0, 3_600.0
INTERPOLATED = 8 * 0.1  # delta() of Prometheus reaches up to one sample, here 0.1, beyond the first


def _watch(spent: Callable[[float], float], minutes: int, budget: float | None = None) -> tuple[Burn, list[Due]]:
    burn, due = Burn(0.0), []
    for second in range(0, int(minutes * MINUTE) + 1, 20):
        warning = burn.look(float(second), {"USD": spent(second / MINUTE)}, budget)
        if warning is not None:
            due.append(warning)
    return burn, due


@pytest.mark.parametrize(
    ("spent", "minutes", "told"),
    [
        (lambda minute: 14 + 0.1 * minute, 30, 29.40),  # `brim` in alertmanager/rules/tests/budget.test.yml
        (lambda minute: 1 + 0.1 * minute, 50, 34.40),  # `a`
        (lambda minute: min(14 + 0.1 * minute, 20), 50, 47.40),  # `brim` again
    ],
)
def test_the_forecast_is_that_of_the_prometheus_rule(
    spent: Callable[[float], float], minutes: int, told: float
) -> None:
    burn, _ = _watch(spent, minutes)
    assert burn.forecast(minutes * MINUTE, "USD", spent(minutes)) == pytest.approx(told, abs=INTERPOLATED)


def test_prometheus_itself_forecasts_the_same_by_the_rule_from_the_second_hour_on(
    tmp_path: Path, server_binary: Callable[[str], Path]
) -> None:
    (rule,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    forecast = re.match(r"max_over_time\(\s*\((.*?)\n\s*\)\[1h:5m\]", rule["expr"], re.DOTALL)
    assert forecast is not None
    chance = random.Random(5)
    spent = [1.0]
    for minute in range(300):  # in bumps, with a pause
        dear = chance.choice([0.1, 0.2, 0.5, 3.0]) if chance.random() < 0.4 and not 120 < minute < 150 else 0.0
        spent.append(round(spent[-1] + dear, 3))
    burn, ours = Burn(0.0), {}
    times = [90, 125, 160, 200, 245, 300]
    for minute, money in enumerate(spent):
        burn.look(minute * MINUTE, {"USD": money}, None)
        if minute in times:
            ours[minute] = burn.forecast(minute * MINUTE, "USD", money)
    labels = 'alert="cost_budget",job="j",instance="i",experiment="e",run="r"'
    recorded = {"groups": [{"name": "g", "rules": [{"record": "forecast", "expr": forecast[1]}]}]}
    series = [{"series": f"quantum_alert_value{{{labels}}}", "values": " ".join(map(str, spent))}]
    asked = [
        {
            "expr": "forecast",
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f"forecast{{{labels}}}", "value": -1}],
        }
        for minute in times
    ]
    (tmp_path / "rule.yml").write_text(yaml.safe_dump(recorded))
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": asked}]
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["rule.yml"], "evaluation_interval": "1m", "tests": tests})
    )
    command = [str(server_binary("promtool")), "test", "rules", "test.yml"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    got = re.findall(r"got:.*?\}\s*([0-9.E+-]+)", told.stdout + told.stderr, re.DOTALL)  # -1 is what nobody forecasts
    assert [float(value) for value in got] == pytest.approx([ours[minute] for minute in times], abs=1e-6)


def test_a_steady_rate_is_kept_up_for_six_hours() -> None:
    burn, _ = _watch(lambda minute: minute / 10, 180)
    now = 180 * MINUTE
    assert burn.per_hour(now, "USD", 18.0) == pytest.approx(6.0)
    assert burn.forecast(now, "USD", 18.0) == pytest.approx(18.0 + 36.0)
    assert burn.hours_left(now, "USD", 18.0, 12.0) == pytest.approx(2.0)


def test_one_lump_is_no_rate() -> None:
    burn, due = _watch(lambda minute: 0.0 if minute < 20 else 10.0, 70, budget=15.0)
    assert burn.forecast(70 * MINUTE, "USD", 10.0) == 10.0
    assert burn.hours_left(70 * MINUTE, "USD", 10.0, 5.0) is None
    assert burn.per_hour(70 * MINUTE, "USD", 10.0) == pytest.approx(10.0)  # what was spent is another question
    assert not due


def test_a_young_run_is_told_by_what_it_spent_since_it_began() -> None:
    burn, _ = _watch(lambda minute: minute, 10)
    assert burn.per_hour(10 * MINUTE, "USD", 10.0) == pytest.approx(60.0)
    assert Burn(0.0).per_hour(30.0, "USD", 1.0) is None


def test_a_warning_comes_once_and_five_minutes_after_the_forecast_is_over_the_budget() -> None:
    _, due = _watch(lambda minute: 1 + 0.1 * minute, 180, budget=20.0)
    assert [(warning.currency, warning.budget) for warning in due] == [("USD", 20.0)]
    early, _ = _watch(lambda minute: 1 + 0.1 * minute, 35)
    assert early.forecast(35 * MINUTE, "USD", 4.5) == pytest.approx(20.5)  # from here on above: the rule's test says so
    assert not _watch(lambda minute: 1 + 0.1 * minute, 39, budget=20.0)[1]
    assert _watch(lambda minute: 1 + 0.1 * minute, 41, budget=20.0)[1]


def test_a_budget_that_is_over_already_has_its_own_alert() -> None:
    assert not _watch(lambda minute: 30 + 0.1 * minute, 120, budget=20.0)[1]


def test_a_warning_comes_again_only_after_an_hour_of_quiet() -> None:
    def spent(minute: float) -> float:
        return 0.1 * min(minute, 60) + 0.1 * max(0.0, minute - 300)

    _, due = _watch(spent, 420, budget=25.0)
    assert len(due) == 2


def test_a_forecast_that_dips_for_less_than_an_hour_brings_no_second_warning() -> None:
    def spent(minute: float) -> float:
        return 0.1 * min(minute, 60) + 0.1 * max(0.0, minute - 85)

    dipped, _ = _watch(spent, 90)
    assert dipped.forecast(90 * MINUTE, "USD", spent(90)) < 25.0
    risen, _ = _watch(spent, 150)
    assert risen.forecast(150 * MINUTE, "USD", spent(150)) > 25.0
    assert len(_watch(spent, 150, budget=25.0)[1]) == 1


def test_a_bill_that_differs_from_the_estimate_is_no_spending_of_that_minute() -> None:
    burn, _ = _watch(lambda minute: 0.1 * minute, 120)
    before = burn.forecast(120 * MINUTE, "USD", 12.0)
    burn.correct("USD", 5.0)
    assert burn.forecast(120 * MINUTE, "USD", 17.0) == pytest.approx(before + 5.0)
    assert burn.per_hour(120 * MINUTE, "USD", 17.0) == pytest.approx(6.0)


def test_memory_does_not_grow_with_the_run() -> None:
    burn, _ = _watch(lambda minute: minute, 600)
    assert len(burn._times) == len(burn._spent) <= 70


def test_currencies_are_forecast_apart() -> None:
    burn = Burn(0.0)
    for minute in range(121):
        burn.look(minute * MINUTE, {"USD": 0.1 * minute, "HQC": float(minute)}, None)
    assert burn.per_hour(2 * HOUR, "USD", 12.0) == pytest.approx(6.0)
    assert burn.per_hour(2 * HOUR, "HQC", 120.0) == pytest.approx(60.0)
