"""The budget of a run: raised before, in one currency, by bills where there are any, whatever thread asks."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.costs import BudgetExceeded, budget
from quantum_monitor.costs.burn import Burn
from quantum_monitor.run import Run

Spend = Callable[..., None]


@pytest.fixture
def monitor(new_monitor: Callable[..., QuantumMonitor]) -> QuantumMonitor:
    made = new_monitor(alert_config={"cost_budget": 10.0})
    made.start_run("a")
    return made


@pytest.fixture
def run(monitor: QuantumMonitor) -> Run:
    active = monitor._run
    assert active is not None
    return active


@pytest.fixture
def spend(run: Run) -> Spend:
    def spend(cost: float, currency: str = "USD", backend: str = "Garnet", kind: str = "estimated") -> None:
        run.execution({"cost": cost}, backend=backend, status="success", currency=currency, cost_kind=kind)

    return spend


def test_what_would_break_the_budget_raises_with_numbers_and_the_mend(run: Run, spend: Spend) -> None:
    spend(9.0)
    budget.check(run, 1.0, "USD")
    with pytest.raises(BudgetExceeded) as raised:
        budget.check(run, 1.75, "USD", what="1 circuit on Garnet")
    error = raised.value
    assert (error.budget, error.spent, error.needed, error.currency) == (10.0, 9.0, 1.75, "USD")
    assert "Not run: 1 circuit on Garnet, estimated at 1.75. Take" in str(error)
    assert 'set_threshold("cost_budget", 10.75)' in str(error)


def test_the_exception_travels_to_another_process() -> None:
    error = BudgetExceeded("no", budget=1.0, spent=2.0, needed=3.0, currency="USD")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert (str(again), again.budget, again.spent, again.needed, again.currency) == ("no", 1.0, 2.0, 3.0, "USD")


@pytest.mark.parametrize("name", ["Forte 1", "Forte-1", "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"])
def test_a_bill_finds_its_backend_by_any_of_its_names(
    name: str, monitor: QuantumMonitor, run: Run, spend: Spend
) -> None:
    spend(8.0, backend="Forte 1")
    spend(0.5, backend="Forte Enterprise 1")
    monitor.log_bill(7.0, backend_info=name)
    assert budget.spent(run) == {"USD": 7.5}


def test_a_monitor_says_whether_the_budget_is_broken(monitor: QuantumMonitor, spend: Spend) -> None:
    monitor.check_budget()
    spend(9.9)
    monitor.check_budget()
    with pytest.raises(BudgetExceeded):
        monitor.check_budget(0.2)
    spend(0.2)
    with pytest.raises(BudgetExceeded):
        monitor.check_budget()


def test_money_that_adds_up_to_the_budget_does_not_break_it(monitor: QuantumMonitor, run: Run, spend: Spend) -> None:
    monitor.alert_system.set_threshold("cost_budget", 0.3)
    spend(0.1)
    spend(0.1)
    assert sum(budget.spent(run).values()) + 0.1 > 0.3  # by a rounding
    budget.check(run, 0.1, "USD")
    with pytest.raises(BudgetExceeded):
        budget.check(run, 0.101, "USD")


def test_several_currencies_are_never_added_up(run: Run, spend: Spend) -> None:
    spend(9.0, "USD")
    spend(9.0, "HQC")
    budget.check(run, 1.0, "HQC")
    with pytest.raises(BudgetExceeded):
        budget.check(run, 1.5, "HQC")
    assert budget.spent(run) == {"USD": 9.0, "HQC": 9.0}


def test_without_a_budget_nothing_is_ever_too_dear(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.check_budget(1e9)
    monitor.end_run()
    monitor.check_budget(1e9)


def test_a_budget_that_is_changed_while_the_run_goes_on_counts_from_there(monitor: QuantumMonitor, run: Run) -> None:
    monitor.alert_system.set_threshold("cost_budget", 100.0)
    budget.check(run, 50.0, "USD")
    monitor.alert_system.set_threshold("cost_budget", 1.0)
    with pytest.raises(BudgetExceeded):
        budget.check(run, 50.0, "USD")
    monitor.alert_system.set_threshold("cost_budget", None)
    budget.check(run, 50.0, "USD")


def test_a_bill_takes_the_place_of_the_estimates_that_it_is_for(
    monitor: QuantumMonitor, run: Run, spend: Spend
) -> None:
    spend(4.0)
    spend(2.0, backend="Emerald")
    monitor.log_bill(3.5, backend_info="Garnet")
    assert budget.spent(run) == {"USD": 5.5}
    spend(1.0)
    assert budget.spent(run) == {"USD": 6.5}
    monitor.log_bill(1.5, backend_info="Garnet")
    assert budget.spent(run) == {"USD": 7.0}
    monitor.log_bill(0.5, backend_info="Garnet")  # for something that nobody had estimated
    assert budget.spent(run) == {"USD": 7.5}


def test_a_bill_for_some_executions_leaves_the_estimates_of_the_others(
    monitor: QuantumMonitor, run: Run, spend: Spend
) -> None:
    spend(4.0)
    spend(2.0)
    monitor.log_bill(5.0, backend_info="Garnet", estimated=4.0)
    assert budget.spent(run) == {"USD": 7.0}
    monitor.log_bill(1.0, backend_info="Garnet", estimated=50.0)  # more than is open
    assert budget.spent(run) == {"USD": 6.0}


def test_a_bill_counts_in_the_alert_and_is_a_kind_of_its_own(monitor: QuantumMonitor, run: Run, spend: Spend) -> None:
    spend(4.0)
    monitor.log_bill(30.0, backend_info="Garnet")
    assert run.alerts.board.entries["cost_budget"].state.present == 30.0
    assert monitor.registry.get_sample_value(
        "quantum_cost_total",
        {"experiment": run.experiment, "run": "a", "backend": "Garnet", "currency": "USD", "kind": "billed"},
    ) == pytest.approx(30.0)
    told = monitor.get_comprehensive_summary()["execution_summary"]
    assert told["total_cost"] == 30.0
    assert told["spending"]["USD"] == {
        "spent": 30.0, "reported": None, "estimated": 4.0, "billed": 30.0, "per_hour": None, "budget_left": -20.0,
        "hours_left": None,
    }  # fmt: skip


def test_a_bill_is_no_execution(monitor: QuantumMonitor, run: Run) -> None:
    monitor.log_bill(3.0, backend_info="Garnet")
    assert monitor.get_comprehensive_summary()["execution_summary"]["backends_used"] == []
    assert not run.circuits["Garnet"].executed


def test_money_is_set_aside_until_an_execution_is_counted(run: Run, spend: Spend) -> None:
    fields = [{"shots": 1000.0}] * 3
    amounts = budget.set_aside(run, "Garnet", fields)
    assert amounts == {"USD": pytest.approx(5.25)}
    with pytest.raises(BudgetExceeded, match=r"5\.25 more are on their way\. Not run: 3 circuits on Garnet,"):
        budget.set_aside(run, "Garnet", fields)
    spend(1.0)
    budget.give_back(run, amounts)
    assert run.set_aside == {"USD": 0.0}
    budget.set_aside(run, "Garnet", fields)


def test_threads_that_begin_at_once_do_not_spend_the_same_money(run: Run) -> None:
    outcomes: list[bool] = []
    gate = threading.Barrier(8)

    def begin() -> None:
        gate.wait()
        for _ in range(5):
            try:
                budget.set_aside(run, "Garnet", [{"shots": 1000.0}])
            except BudgetExceeded:
                outcomes.append(False)
            else:
                outcomes.append(True)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count(True), len(outcomes)) == (5, 40)  # 5 x 1.75 are within 10, 6 are not


def test_what_only_time_tells_is_expected_to_cost_what_it_did_last(run: Run, spend: Spend) -> None:
    assert budget.set_aside(run, "ibm_fez", [{"shots": 100.0}]) == {}
    assert budget.set_aside(run, "SV1", [{"shots": 100.0}]) == {"USD": pytest.approx(0.00375)}  # three seconds
    spend(6.0, backend="ibm_fez")
    with pytest.raises(BudgetExceeded):
        budget.set_aside(run, "ibm_fez", [{"shots": 100.0}])
    with pytest.raises(BudgetExceeded, match="1 circuit on ibm_fez"):
        budget.set_aside(run, "ibm-flex", [{"shots": 100.0}], label="ibm_fez")


def test_one_that_failed_and_cost_nothing_does_not_make_the_next_one_free(run: Run, spend: Spend) -> None:
    spend(4.0, backend="ibm_fez")
    run.execution({"cost": 0.0}, backend="ibm_fez", status="cancelled", currency="USD", cost_kind="estimated")
    assert budget.set_aside(run, "ibm_fez", [{"shots": 100.0}]) == {"USD": 4.0}


def test_thousandths_are_told_as_such(new_monitor: Callable[..., QuantumMonitor]) -> None:
    monitor = new_monitor(alert_config={"cost_budget": 0.004})
    monitor.start_run("a")
    with pytest.raises(
        BudgetExceeded,
        match=r"cost_budget is 0\.004: 0\.00 USD are spent\. Not run: what comes next, estimated at 0\.00625",
    ):
        monitor.check_budget(0.00625)


def test_what_has_no_price_runs_until_the_budget_is_broken(run: Run, spend: Spend) -> None:
    spend(10.0)
    assert budget.set_aside(run, "nobody's", [{}]) == {}
    spend(0.1)
    with pytest.raises(BudgetExceeded, match=r"Not run: 1 circuit on nobody's, of no known price\. Take"):
        budget.set_aside(run, "nobody's", [{}])


def test_several_circuits_are_named_as_such(run: Run) -> None:
    with pytest.raises(BudgetExceeded, match=r"Not run: 9 circuits on Garnet, estimated at 15\.75\. Take"):
        budget.set_aside(run, "Garnet", [{"shots": 1000.0}] * 9)


def test_a_simulator_on_this_machine_takes_money_only_by_a_table_of_ones_own(
    run: Run, spend: Spend, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "{provider: us, date: 2026-01-31, currency: USD, prices: "
        "{sim: {model: task_and_shot, backends: ['aer_sim*'], per_task: 6, per_shot: 0}}}",
        encoding="utf-8",
    )
    assert budget.set_aside(run, "aer_simulator", [{"shots": 1.0}], own, local=True) == {"USD": 6.0}
    with pytest.raises(BudgetExceeded):
        budget.set_aside(run, "aer_simulator", [{"shots": 1.0}], own, local=True)
    spend(100.0)
    for tables in (None, own):  # what has the name of something sold, and is here, is free even then
        assert budget.set_aside(run, "Garnet", [{"shots": 1.0}], tables, local=True) == {}


def test_what_is_free_runs_even_then(run: Run, spend: Spend) -> None:
    spend(100.0)
    assert budget.set_aside(run, "ionq.simulator", [{}]) == {}


def test_a_forecast_above_the_budget_is_logged_once_by_the_thread_that_looks(
    run: Run, spend: Spend, caplog: pytest.LogCaptureFixture
) -> None:
    spend(1.0)
    alerts = run.alerts
    began = alerts.board.system.monotonic()
    with run.lock:
        alerts.burn = Burn(began)
        for minute in range(90):
            alerts.execution({"cost": 0.05}, "Garnet", "success", "USD", began)
            alerts.look(began + 60.0 * minute, None, {})
    said = [message for message in caplog.messages if "will not last" in message]
    assert len(said) == 1
    assert "run a" in said[0]
    assert "its budget is 10.00" in said[0]
