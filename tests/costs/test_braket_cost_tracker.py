"""The same sums as the cost tracker of the Braket SDK, on the same events and the same public prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from braket.tracking import Tracker, pricing
from braket.tracking.tracking_context import broadcast_event
from braket.tracking.tracking_events import _TaskCompletionEvent, _TaskCreationEvent, _TaskStatusEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantum_monitor.costs import price_of

QPUS = {  # as in the price list of 2026-09-04: region, device name, per shot
    "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1": ("us-east-1", "Forte-1", "0.08"),
    "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet": ("eu-north-1", "Garnet", "0.00145"),
    "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald": ("eu-north-1", "Emerald", "0.0016"),
    "arn:aws:braket:eu-north-1::device/qpu/aqt/Ibex-Q1": ("eu-north-1", "IBEX-Q1", "0.0235"),
    "arn:aws:braket:us-east-1::device/qpu/quera/Aquila": ("us-east-1", "Aquila", "0.01"),
}
SIMULATORS = {
    "arn:aws:braket:::device/quantum-simulator/amazon/sv1": ("us-east-1", "SV1", "0.075"),
    "arn:aws:braket:::device/quantum-simulator/amazon/dm1": ("us-east-1", "DM1", "0.075"),
    "arn:aws:braket:::device/quantum-simulator/amazon/tn1": ("us-east-1", "TN1", "0.275"),
}
FIELDS = ("Region Code", "Device Name", "DeviceName", "Version", "operation", "Product Family", "Unit", "PricePerUnit")


def _row(*values: str) -> dict[str, str]:
    return {**dict(zip(FIELDS, values, strict=True)), "Currency": "USD"}


@pytest.fixture(autouse=True)
def _price_list(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the tracker would fetch from the network."""
    rows = []
    for region, name, per_shot in QPUS.values():
        rows.append(_row(region, "", name, "", "", "Quantum Task", "Task", "0.3"))
        rows.append(_row(region, "", name, "", "", "Quantum Task-Shot", "Shot", per_shot))
    rows += [
        _row(region, "", "", version, "CompleteTask", "Simulator Task", "minutes", price)
        for region, version, price in SIMULATORS.values()
    ]
    pricing.Pricing.price_search.cache_clear()
    monkeypatch.setattr(pricing._pricing, "_price_list", rows)
    yield
    pricing.Pricing.price_search.cache_clear()


@dataclass(frozen=True)
class Task:
    device: str
    shots: int
    status: str
    milliseconds: int | None
    reserved: bool = False


def _broadcast(number: int, task: Task) -> None:
    """The events that the SDK sends about a task, in its order."""
    region = (QPUS | SIMULATORS)[task.device][0]
    arn = f"arn:aws:braket:{region}:123456789012:quantum-task/{number}"
    broadcast_event(_TaskCreationEvent(arn=arn, shots=task.shots, is_job_task=False, device=task.device))
    broadcast_event(_TaskStatusEvent(arn=arn, status=task.status))
    if task.status == "COMPLETED":  # the result is there, and the time that it took
        broadcast_event(_TaskCompletionEvent(arn, task.milliseconds, task.status, task.reserved))


def _ours(task: Task) -> float:
    fields = {"shots": float(task.shots), "reserved": float(task.reserved)}
    if task.milliseconds is not None:
        fields["execution_time"] = task.milliseconds / 1000
    price = price_of(task.device, fields, failed=task.status != "COMPLETED")
    assert price is not None
    assert price[1] == "USD"
    return price[0]


def _tasks(device: str, simulated: bool) -> st.SearchStrategy[Task]:
    return st.builds(
        Task,
        device=st.just(device),
        shots=st.integers(1, 10_000),
        status=st.sampled_from(["COMPLETED", "COMPLETED", "FAILED", "CANCELLED"]),
        milliseconds=st.integers(1, 600_000) if simulated else st.none(),
        reserved=st.booleans(),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(st.one_of([*(_tasks(d, simulated=False) for d in QPUS), *(_tasks(d, simulated=True) for d in SIMULATORS)]))
)
def test_any_mix_of_tasks_costs_what_the_sdks_own_tracker_says(tasks: list[Task]) -> None:
    with Tracker() as tracker:
        for number, task in enumerate(tasks):
            _broadcast(number, task)
    qpus, simulators = [0.0], [0.0]
    for task in tasks:
        (qpus if task.device in QPUS else simulators).append(_ours(task))
    assert sum(qpus) == pytest.approx(float(tracker.qpu_tasks_cost()), rel=1e-12)
    assert sum(simulators) == pytest.approx(float(tracker.simulator_tasks_cost()), rel=1e-12)


def test_a_short_simulation_and_several_tasks_by_hand() -> None:
    sv1, garnet = next(iter(SIMULATORS)), "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
    tasks = [
        Task(sv1, 1000, "COMPLETED", 35),
        Task(sv1, 1000, "FAILED", None),
        Task(garnet, 1000, "COMPLETED", None),
        Task(garnet, 1000, "CANCELLED", None),
        Task(garnet, 1, "FAILED", None),
    ]
    with Tracker() as tracker:
        for number, task in enumerate(tasks):
            _broadcast(number, task)
    total = float(tracker.qpu_tasks_cost() + tracker.simulator_tasks_cost())
    ours = sum(_ours(task) for task in tasks if task.milliseconds or task.device == garnet)
    assert ours == pytest.approx(total, rel=1e-12)
    assert total == pytest.approx(3 * 0.075 / 60 + 1.75)
