"""What an execution costs by each model: by hand from the providers' pages, and what must hold of any price."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.costs import estimate, price_of
from quantum_monitor.costs.models import Free, GateShots, HardwareCredits, Model, TaskAndShot, Time

GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
CIRCUIT = {"gates": 30.0, "two_qubit_gates": 10.0, "qubits": 5.0}


@pytest.mark.parametrize(
    ("backend", "fields", "amount", "currency"),
    [
        (GARNET, {"shots": 1000.0}, 0.30 + 1000 * 0.00145, "USD"),
        ("Forte-1", {"shots": 100.0}, 8.30, "USD"),
        ("arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3", {"shots": 1000.0}, 1.20, "USD"),
        ("Aquila", {"shots": 1000.0}, 10.30, "USD"),
        (SV1, {"execution_time": 60.0}, 0.075, "USD"),
        (SV1, {"execution_time": 0.2}, 3 * 0.075 / 60, "USD"),  # three seconds at least
        ("ibm_fez", {"execution_time": 99.0, "billed_time": 10.0}, 16.0, "USD"),  # what is billed goes before
        ("ibm_torino", {"execution_time": 2.0}, 3.2, "USD"),
        ("rigetti.qpu.ankaa-3", {"billed_time": 0.07}, 0.091, "USD"),  # 0.013 for each 10 ms
        ("rigetti.qpu.ankaa-3", {"billed_time": 0.071}, 0.104, "USD"),  # ... that has begun
        ("pasqal.qpu.fresnel", {"billed_time": 36.0}, 30.0, "USD"),
        ("ionq.qpu.aria-1", {"shots": 1000.0, **CIRCUIT}, 97.50, "USD"),  # 14.15 is below the minimum
        ("ionq.qpu.aria-1", {"shots": 1000.0, "error_mitigation": 0.0, **CIRCUIT}, 14.15, "USD"),
        ("ionq.qpu.aria-1", {"shots": 10.0, "error_mitigation": 0.0, **CIRCUIT}, 12.4166, "USD"),
        ("ionq.qpu.aria-1", {"shots": 10_000.0, **CIRCUIT}, 20 * 10_000 * 0.000220 + 10 * 10_000 * 0.000975, "USD"),
        ("quantinuum.qpu.h2-1", {"shots": 1000.0, **CIRCUIT}, 5 + 1000 * (20 + 10 * 10 + 5 * 5) / 5000, "HQC"),
        ("H2-1E", {"shots": 1000.0, "measurements": 10.0, **CIRCUIT}, 5 + 1000 * (20 + 100 + 50) / 5000, "eHQC"),
        ("ionq.simulator", {}, 0.0, "USD"),
    ],
)
def test_an_execution_costs_what_the_providers_page_says(
    backend: str, fields: dict[str, float], amount: float, currency: str
) -> None:
    price = price_of(backend, fields)
    assert price is not None
    assert price[0] == pytest.approx(amount, rel=1e-12)
    assert price[1] == currency


@pytest.mark.parametrize(
    ("backend", "fields", "expected"),
    [
        (GARNET, {"shots": 1000.0}, (0.0, "USD")),
        (SV1, {"execution_time": 60.0}, (0.0, "USD")),
        ("ibm_fez", {"execution_time": 60.0, "billed_time": 3.0}, (pytest.approx(4.8), "USD")),
        ("ibm_fez", {"execution_time": 60.0}, None),  # how long it was waited for is not what is billed
        ("ionq.qpu.aria-1", {"shots": 1000.0, **CIRCUIT}, None),  # Microsoft's page does not say
    ],
)
def test_a_failed_execution_is_priced_as_the_provider_does(
    backend: str, fields: dict[str, float], expected: object
) -> None:
    assert price_of(backend, fields, failed=True) == expected


def test_a_task_in_a_reservation_costs_nothing_by_itself() -> None:
    assert price_of(GARNET, {"shots": 1000.0, "reserved": 1.0}) == (0.0, "USD")
    assert price_of(SV1, {"execution_time": 60.0, "reserved": 1.0}) == (0.0, "USD")


def test_what_ran_on_this_machine_has_no_price_whatever_it_is_called() -> None:
    assert price_of("ibm_fez", {"execution_time": 60.0}, local=True) is None


MODELS: list[Model] = [
    TaskAndShot(0.3, 0.01),
    Time(0.5, minimum=3.0),
    Time(1.3, increment=0.01),
    GateShots(0.00022, 0.000975, 12.0),
    HardwareCredits(2.0),
    Free(),
]
counts = st.integers(0, 10**6).map(float)


@st.composite
def executions(draw: st.DrawFn) -> dict[str, float]:
    pairs, singles = draw(counts), draw(counts)
    seconds = draw(st.floats(0, 1e6))
    return {
        "shots": draw(counts), "gates": singles + pairs, "two_qubit_gates": pairs, "qubits": draw(counts),
        "billed_time": seconds,
    }  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@given(fields=executions(), more=counts, name=st.sampled_from(["shots", "gates", "two_qubit_gates", "billed_time"]))
def test_more_of_anything_never_costs_less_and_nothing_costs_less_than_nothing(
    model: Model, fields: dict[str, float], more: float, name: str
) -> None:
    amount = model.amount(fields)
    larger = {**fields, name: fields[name] + more}
    if name == "two_qubit_gates":  # they are among the gates
        larger["gates"] += more
    grown = model.amount(larger)
    assert amount is not None
    assert grown is not None
    assert 0 <= amount <= grown * (1 + 1e-12)


@given(shots=counts, other=counts)
def test_shots_add_up_and_tasks_come_on_top(shots: float, other: float) -> None:
    model = TaskAndShot(0.3, 0.01)
    together, apart = model.amount({"shots": shots + other}), [model.amount({"shots": s}) for s in (shots, other)]
    assert together is not None
    assert math.isclose(sum(filter(None, apart)), together + 0.3, rel_tol=1e-12)


@given(seconds=st.floats(0, 1e5))
def test_an_increment_rounds_up_by_less_than_one(seconds: float) -> None:
    billed = Time(1.0, increment=0.01).amount({"billed_time": seconds})
    assert billed is not None
    assert seconds * (1 - 1e-9) <= billed <= seconds + 0.01 * (1 + 1e-9)


@pytest.mark.parametrize("executions", [1, 900])
@pytest.mark.parametrize("backend", ["Garnet", "H2-1", "ionq.qpu.aria-1", "SV1", "rigetti.qpu.ankaa-3"])
def test_an_estimate_is_the_price_of_an_execution_as_often_as_it_is_run(backend: str, executions: int) -> None:
    bell = [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}]
    told = estimate(bell, backend, 1000, executions=executions, seconds=0.5)
    fields = {"shots": 1000.0, "gates": 2.0, "two_qubit_gates": 1.0, "qubits": 2.0, "billed_time": 0.5}
    assert (told.each, told.currency) == price_of(backend, fields)
    assert told.amount == pytest.approx(executions * told.each)
    assert told.source is not None
    assert told.breakdown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"backend": "nobody's"}, "no price is known"),
        ({"backend": "Forte"}, "did you mean .*braket-ionq-forte"),
        ({"backend": "ibm_fez"}, "seconds: not known, .*; give seconds=$"),
        (
            {"backend": "H2-1", "circuit": {"depth": 3}},
            "gates, two_qubit_gates, qubits: not known, .*; give a circuit$",
        ),
        ({"backend": "Garnet", "shots": -1}, "shots is -1; give a whole number"),
        ({"backend": "Garnet", "shots": 2.5}, "shots is 2.5"),
        ({"backend": "ibm_fez", "seconds": math.nan}, "seconds is nan"),
        ({"backend": "Garnet", "executions": True}, "executions is True"),
    ],
)
def test_an_estimate_that_cannot_be_made_says_what_is_missing(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        estimate(**{"circuit": None, "shots": 100, **arguments})  # type: ignore[arg-type]
