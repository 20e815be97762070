"""Rows: the same record is the same row, however often and in however many pieces a run is delivered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.record import Record
from quantum_monitor.trackers.rows import Rows
from quantum_monitor.trackers.tags import run_tags

records = st.builds(
    Record,
    st.sampled_from(["training", "state", "circuit", "backend", "system", "custom", "alert"]),
    st.just(1.0),
    st.none() | st.integers(0, 5),
    st.dictionaries(st.sampled_from(["loss", "qubits", "alert_value", "my metric"]), st.integers(0, 9).map(float)),
    st.dictionaries(st.sampled_from(["backend", "alert"]), st.sampled_from(["a", "b", "a/b"])),
)


@given(st.lists(records), st.integers(0, 20))
def test_a_delivery_that_goes_on_makes_the_same_rows(found: list[Record], cut: int) -> None:
    numbered = list(enumerate(found, 1))
    whole = Rows()
    expected = [whole.row(*item) for item in numbered]

    before = Rows()
    rows = [before.row(*item) for item in numbered[:cut]]
    after = Rows(before.remember())
    rows += [after.row(*item) for item in numbered[cut:]]

    assert rows == expected
    assert after.tags() == whole.tags()
    assert after.remember() == whole.remember()


def test_records_without_a_step_are_numbered_by_kind_and_backend() -> None:
    rows = Rows()
    kinds = [("circuit", "a"), ("circuit", "b"), ("circuit", "a"), ("system", ""), ("circuit", "a")]
    made = [
        rows.row(number, Record(kind, 1.0, None, {"x": 1.0}, {"backend": backend} if backend else {}))
        for number, (kind, backend) in enumerate(kinds, 1)
    ]
    assert [row.step for row in made] == [1, 1, 2, 1, 3]


@pytest.mark.parametrize(
    ("kind", "labels", "field", "name"),
    [
        ("training", {}, "loss", "loss"),
        ("state", {}, "fidelity", "fidelity"),
        ("custom", {}, "my metric", "my metric"),
        ("circuit", {"backend": "aer"}, "depth", "circuit/aer/depth"),
        ("circuit", {}, "depth", "circuit/depth"),
        ("backend", {"backend": "aer"}, "up", "backend/aer/up"),
        ("system", {}, "cpu", "system/cpu"),
        ("alert", {"alert": "cost_spike", "severity": "high"}, "alert_firing", "alert/cost_spike"),
        ("alert", {"alert": "cost_spike", "severity": "high"}, "alert_value", "alert/cost_spike/value"),
    ],
)
def test_metrics_are_named_by_what_they_belong_to(kind: str, labels: dict[str, str], field: str, name: str) -> None:
    row = Rows().row(1, Record(kind, 1.0, 3, {field: 2.0}, labels))
    assert (dict(row.values), row.step, dict(row.labels)) == ({name: 2.0}, 3, labels)


def test_the_rows_tell_qubits_and_backends() -> None:
    rows = Rows()
    rows.row(1, Record("circuit", 1.0, None, {"qubits": 4.0}, {"backend": "aer"}))
    rows.row(2, Record("circuit", 1.0, None, {"qubits": 2.0}, {"backend": "ibm"}))
    assert rows.tags() == {"quantum.backend": "aer, ibm", "quantum.qubits": "4"}


@pytest.mark.parametrize(
    "remembered",
    [
        {"counts": {"system": "x"}, "backends": 3, "qubits": [1]},
        {"counts": {"system": None}, "backends": [None], "qubits": "NaN"},
        {"counts": [], "qubits": -3},
        {"counts": {"system": -7}, "qubits": 10**400},
    ],
)
def test_damaged_counts_count_from_one(remembered: dict[str, Any]) -> None:
    assert Rows(remembered).row(9, Record("system", 1.0, None, {"cpu": 0.5})).step == 1


@pytest.mark.parametrize("value", [[0, 1, 2], {"a": 1}, "3", 3, 0, True, 1.5, None, ""])
def test_parameters_of_any_type_become_tags(value: Any) -> None:
    tags = run_tags({"params": {"wires": value}, "environment": {"host": value, "git": {"commit": value}}})
    expected = {} if value in (None, "") else dict.fromkeys(("qubits", "host", "git_commit"), str(value))
    assert tags == {f"quantum.{name}": text for name, text in expected.items()}


def test_a_persons_own_tags_stand_beside_ours() -> None:
    tags = run_tags({"run_id": "r1", "tags": {"paper": "fig. 3", "molecule": "H2"}, "params": {"seed": 3}})
    ours = {"quantum.run_id": "r1", "quantum.molecule": "H2", "quantum.seed": "3"}
    assert tags == {**ours, "paper": "fig. 3", "molecule": "H2"}


def test_what_is_no_mapping_in_a_description_is_no_tag() -> None:
    assert run_tags({"params": [1], "tags": "x", "environment": None}) == {}
