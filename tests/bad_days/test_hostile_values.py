"""Objects that raise whatever is done with them, in every argument of every log call."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.exposition import expose


class UntoldError(Exception):
    """An error whose own text cannot be had."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


def refuse(*_: object, **__: object) -> NoReturn:
    raise UntoldError


def hostile(name: str, base: type, *methods: str) -> type:
    return type(name, (base,), dict.fromkeys(methods, refuse))


TEXT = ("__str__", "__repr__", "__format__")
NUMBER = ("__float__", "__int__", "__index__", "__complex__", "__bool__")
ARRAY = ("__array__", "__array_interface__", "__array_struct__", "__len__", "__iter__", "__getitem__")
ORDER = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__contains__")

Opaque = hostile("Opaque", object, *TEXT, *NUMBER, *ARRAY, *ORDER, "__getattr__", "__call__")
Closed = hostile("Closed", object, "__getattribute__")
Faceless = type("Faceless", (), {"__class__": property(refuse)})
Mute = hostile("Mute", object, *TEXT)
OddFloat = hostile("OddFloat", float, *TEXT, *NUMBER, *ORDER, "__abs__", "__mul__", "is_integer")
OddInt = hostile("OddInt", int, *TEXT, *NUMBER, *ORDER, "__abs__", "__neg__", "bit_length")
OddText = hostile("OddText", str, *TEXT, *ARRAY, *ORDER, "lower", "strip", "encode", "isprintable", "partition")
OddKey = hostile("OddKey", str, *TEXT, *ARRAY, "lower", "strip", "encode", "isprintable")
OddBytes = hostile("OddBytes", bytes, *TEXT, *ARRAY, *ORDER)
OddList = hostile("OddList", list, *TEXT, *ARRAY, *ORDER)
OddDict = hostile("OddDict", dict, *TEXT, *ARRAY, *ORDER, "get", "items", "keys", "values")
OddArray = hostile("OddArray", np.ndarray, *TEXT, *NUMBER, "__array_ufunc__", "__array_function__", "ravel", "astype")
Tensor = type("Tensor", (), {"detach": refuse, "cpu": refuse, "numpy": refuse, "shape": property(refuse)})
Named = type("Named", (), {"name": refuse, "num_qubits": property(refuse), "full": refuse, "data": property(refuse)})
Hashless = type("Hashless", (), {"__hash__": None})


class OddMapping(Mapping[Any, Any]):
    """A mapping that says it has entries and gives none."""

    __getitem__ = __iter__ = refuse

    def __len__(self) -> int:
        return 3


class Deceiver:
    """Reads as an array of something else than it said."""

    shape, dtype, ndim = (4,), np.dtype(float), 1

    def __array__(self, *_: object, **__: object) -> Any:
        return "no array"


def endless() -> list[Any]:
    nested: list[Any] = []
    nested.append(nested)
    return nested


def boxed(value: object) -> Any:
    array = np.empty(2, dtype=object)
    array[0] = value
    return array


def deep(levels: int = 2_000) -> list[Any]:
    nested: list[Any] = [1.0]
    for _ in range(levels):
        nested = [nested]
    return nested


MAKERS: list[Callable[[], Any]] = [
    *(
        Opaque,
        Closed,
        Faceless,
        Mute,
        Tensor,
        Named,
        Hashless,
        OddMapping,
        Deceiver,
        endless,
        deep,
        object,
        UntoldError,
    ),
    lambda: OddFloat(0.5),
    lambda: OddInt(3),
    lambda: OddText("loss"),
    lambda: OddText("success"),
    lambda: OddBytes(b"loss"),
    lambda: OddList([1.0, 2.0]),
    lambda: OddDict(a=1.0),
    lambda: OddDict(name="x", gates=[]),
    lambda: np.ones(4).view(OddArray),
    lambda: [Opaque(), 1.0],
    lambda: [OddFloat(1.0), OddInt(2)],
    lambda: {Mute(): 1.0},
    lambda: {OddKey("loss"): 1.0, "x": Opaque()},
    lambda: {"loss": Closed(), "fidelity": Faceless(), "circuit_depth": OddInt(5), "x": 10**400},
    lambda: {1: 2, None: 3, ("a",): np.nan, "\ud800": 1.0, "a\0b": 2.0, "": 3.0, "x" * 10_000: 4.0},
    lambda: {"name": Opaque(), "currency": Mute(), "backend": refuse},
    lambda: {"name": "x", "currency": Closed()},
    lambda: {"gates": Opaque(), "depth": Mute(), "n_qubits": OddInt(3)},
    lambda: {"gates": [Opaque(), Closed(), {"type": Mute(), "qubit": Opaque()}]},
    lambda: {"gates": [{"type": "h", "qubit": Hashless()}, {"type": "cx", "qubits": endless()}]},
    lambda: {"2q": Opaque(), Mute(): 0.1, "1q": np.nan},
    lambda: boxed(Opaque()),
    lambda: np.array([None, 1.0], dtype=object),
    lambda: np.array([]),
    lambda: np.array("text"),
    lambda: np.ma.masked,
    lambda: np.ma.array([1.0, 2.0], mask=[True, True]),
    lambda: np.zeros(2, dtype=[("x", float)]),
    lambda: np.array(["2026-01-01", "NaT"], dtype="datetime64"),
    lambda: np.full(9, np.longdouble("1e4000")),
    lambda: np.broadcast_to(np.float64(np.nan), (2, 2, 2)),
    lambda: decimal.Decimal("sNaN"),
    lambda: dt.datetime.min,
    lambda: dt.datetime.max.replace(tzinfo=dt.timezone.utc),
    lambda: (number for number in range(3)),
    lambda: refuse,
    lambda: type,
    lambda: NotImplemented,
]
PLAIN: list[Any] = [
    *(None, True, 0, -1, 3, 2**53, 2**63, -(10**400), 0.5, np.nan, np.inf, -np.inf, 1e308, 1 + 1j, complex(0, np.nan)),
    *("", "loss", "\ud800", "a\0b", "x" * 10_000, "OPENQASM 2.0; qreg", b"loss", bytearray(b"1"), [], {}, (), set()),
    *([None], [[1, [2]]], [1, "a"], [1.0, 0.0], [[0.5, 0], [0, 0.5]], {"x": 1.0}, {"loss": 0.5}, range(4)),
]
ANYTHING: list[Callable[[], Any]] = [*MAKERS, *(partial(copy.copy, value) for value in PLAIN)]
# Hypothesis looks at what it draws, which some of these do not stand: it draws their place in the list.
PLACES = st.integers(0, len(ANYTHING) - 1)
CALLS: dict[str, tuple[str, ...]] = {
    "log_training_step": ("loss", "gradients", "parameters", "step", "additional_metrics"),
    "log_metrics": ("metrics", "step"),
    "log_quantum_state": ("state_vector", "step", "reference_state"),
    "log_circuit_execution": (
        *("circuit_description", "execution_time", "queue_time", "cost", "backend_info", "shots", "status"),
    ),
    "log_backend_status": (
        *("name", "up", "pending_jobs", "error_rates", "qubits", "volume", "t1", "t2", "calibration_time"),
        "utilization",
    ),
    "log_params": ("params",),
    "set_tags": ("tags",),
}


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuantumMonitor]:
    """One for all examples, as a long run would meet them; few series, so that a scrape stays quick."""
    monitor = QuantumMonitor(
        "hostile",
        enable_mlflow=False,
        metrics_port=None,
        registry=CollectorRegistry(),
        storage_path=tmp_path_factory.mktemp("hostile"),
        custom_series_limit=20,
        history_limit=100,
    )
    yield monitor.start_run("a")
    monitor.close()


def page_of(monitor: QuantumMonitor) -> list[str]:
    families = text_string_to_metric_families(expose(monitor.registry)[1].decode())
    return [sample.name for family in families for sample in family.samples]


@pytest.mark.parametrize("internal_errors", ["raised", "swallowed"])
@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_value_in_any_argument_makes_a_log_call_raise(
    monitor: QuantumMonitor, monkeypatch: pytest.MonkeyPatch, call: str, internal_errors: str, data: st.DataObject
) -> None:
    arguments = {name: ANYTHING[data.draw(PLACES, name)]() for name in CALLS[call]}
    # Where internal errors are raised, what a caller hands over must not count as one.
    monkeypatch.setenv("QUANTUM_MONITOR_RAISE", "1" if internal_errors == "raised" else "0")
    getattr(monitor, call)(**arguments)
    page_of(monitor)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("call", CALLS)
def test_no_hostile_object_in_all_arguments_at_once_makes_a_log_call_raise(
    monitor: QuantumMonitor, call: str, make: Callable[[], Any]
) -> None:
    getattr(monitor, call)(**{name: make() for name in CALLS[call]})


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES)
def test_neither_a_runs_name_nor_its_status_makes_it_raise(monitor: QuantumMonitor, place: int) -> None:
    monitor.start_run(ANYTHING[place]())
    monitor.log_training_step(0.5, None, None, 0)
    monitor.end_run(ANYTHING[place]())
    assert not monitor.is_running
    monitor.start_run("a")


def test_after_all_that_the_run_goes_on_and_the_store_has_what_was_usable(monitor: QuantumMonitor) -> None:
    before = FAULTS.errors.copy()
    monitor.start_run("after")
    monitor.log_training_step(0.25, np.ones(9), np.ones(9), 0)
    assert monitor.loss_history == [0.25]
    assert monitor.get_comprehensive_summary()["training_summary"]["final_loss"] == 0.25
    assert "quantum_monitor_errors_total" in page_of(monitor)
    assert FAULTS.errors == before
    monitor.end_run()
