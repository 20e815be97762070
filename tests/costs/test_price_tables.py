"""Price tables: those that come along are sound, one's own go before them, and what is wrong is named."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

import pytest
import yaml

from quantum_monitor import ConfigurationError
from quantum_monitor.config_values import WrongEntriesError
from quantum_monitor.costs import PriceTables, price_of
from quantum_monitor.costs.local import is_local
from quantum_monitor.costs.lookup import readable_tables

OWN = """
provider: My provider
date: 2026-01-31
currency: EUR
prices:
  my-device:
    model: task_and_shot
    backends: ["lab-*", "Garnet"]
    per_task: 1
    per_shot: 0.5
"""


def _write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_every_published_price_names_an_https_page_and_a_day_that_has_been() -> None:
    prices = PriceTables().prices
    assert len({price.name for price in prices}) == len(prices) > 20
    for price in prices:
        assert price.source is not None, price.name
        assert price.source.startswith("https://"), price.name
        assert price.on <= date.today()


def test_every_model_has_a_published_price() -> None:
    models = {price.model.name for price in PriceTables().prices}
    assert models == {"task_and_shot", "time", "gate_shots", "hqc", "free"}


@pytest.mark.parametrize(
    ("backend", "entry"),
    [
        ("arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1", "braket-ionq-forte"),
        ("arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1", "braket-ionq-aria"),
        ("arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald", "braket-iqm-emerald"),
        ("arn:aws:braket:::device/quantum-simulator/amazon/dm1", "braket-dm1"),
        ("DM1", "braket-dm1"),
        ("garnet", "braket-iqm-garnet"),
        ("ibm_fez", "ibm-pay-as-you-go"),
        ("IBM_KINGSTON", "ibm-pay-as-you-go"),
        ("ibm-flex", "ibm-flex"),
        ("ionq.qpu.forte-1", "azure-ionq-forte"),
        ("H1-1SC", "quantinuum-h-syntax-checker"),
    ],
)
def test_a_backend_is_known_by_its_identifier_or_the_name_of_its_price(backend: str, entry: str) -> None:
    price = PriceTables().find(backend)
    assert price is not None
    assert price.name == entry


@pytest.mark.parametrize(
    "backend",
    [
        "default.qubit", "lightning.qubit", "lightning.gpu", "null.qubit", "aer_simulator", "aer_simulator_statevector",
        "aer_simulator_from(ibm_fez)", "AerSimulator('aer_simulator')", "statevector_sampler", "StatevectorSampler",
        "basic_simulator", "fake_fez", "generic_backend_5q", "cirq.Simulator", "DensityMatrixSimulator", "braket_sv",
        "braket_dm", "StateVectorSimulator", "unknown", "other", "", "local", "braket.local.qubit",
    ],
)  # fmt: skip
def test_simulators_on_this_machine_have_no_price_and_nothing_is_said(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert PriceTables().price_of(backend, {"shots": 100.0, "execution_time": 1.0}) is None
    assert not caplog.records


def test_a_remote_simulator_of_a_cloud_is_not_taken_for_a_local_one() -> None:
    assert not is_local("arn:aws:braket:::device/quantum-simulator/amazon/new-simulator")


def test_a_missing_price_is_said_once_for_each_backend_with_the_mend(caplog: pytest.LogCaptureFixture) -> None:
    tables = PriceTables()
    for _ in range(5):
        assert tables.price_of("qpu-1", {"shots": 100.0}) is None
        assert tables.price_of("qpu-2", {"shots": 100.0}) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "'qpu-1'" in caplog.messages[0]
    assert "price_tables" in caplog.messages[0]


def test_a_name_from_outside_cannot_break_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert PriceTables().price_of("evil\n\x1b[31m\ud800" + "x" * 10_000, {}) is None
    assert "\n" not in caplog.text.rstrip("\n")
    assert "\x1b" not in caplog.text
    assert len(caplog.text) < 1_000


def test_a_field_that_is_missing_is_said_once_but_not_time_which_comes_later(caplog: pytest.LogCaptureFixture) -> None:
    tables = PriceTables()
    for _ in range(3):
        assert tables.price_of("ibm_fez", {"shots": 100.0}) is None
        assert tables.price_of("Garnet", {}) is None
    assert len(caplog.records) == 1
    assert "takes shots" in caplog.messages[0]


def test_that_a_provider_says_nothing_of_failed_jobs_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tables = PriceTables()
    for _ in range(3):
        assert tables.price_of("ionq.qpu.aria-1", {"shots": 1.0}, failed=True) is None
    assert len(caplog.records) == 1
    assert "failed: billed" in caplog.messages[0]


def test_a_handler_of_the_users_that_raises_does_not_reach_the_training() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.getMessage())

    handler, log = Broken(), logging.getLogger("quantum_monitor")
    log.addHandler(handler)
    try:
        assert PriceTables().price_of("qpu-9", {}) is None
    finally:
        log.removeHandler(handler)


def test_prices_of_ones_own_go_before_the_published_ones(tmp_path: Path) -> None:
    own = PriceTables(_write(tmp_path, OWN))
    assert own.price_of("Garnet", {"shots": 2.0}) == (2.0, "EUR")
    assert own.price_of("LAB-7", {"shots": 2.0}) == (2.0, "EUR")
    assert own.price_of("Emerald", {"shots": 1000.0}) == PriceTables().price_of("Emerald", {"shots": 1000.0})
    assert price_of("Garnet", {"shots": 2.0}, tables=_write(tmp_path, OWN)) == (2.0, "EUR")


def test_a_price_of_ones_own_holds_on_this_machine_too_and_a_published_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = PriceTables(_write(tmp_path, OWN.replace("lab-*", "aer_sim*").replace("Garnet", "cirq.Simulator")))
    for simulator in ("aer_simulator", "cirq.Simulator"):
        assert price_of(simulator, {"shots": 2.0}, local=True, tables=own) == (2.0, "EUR")
    for tables in (own, PriceTables(), None):
        for _ in range(2):
            assert price_of("Garnet", {"shots": 2.0}, local=True, tables=tables) is None
            assert price_of("another", {"shots": 2.0}, local=True, tables=tables) is None
    assert price_of("Garnet", {"shots": 0.0}, tables=own) == (0.3, "USD")
    assert not caplog.records


@pytest.mark.parametrize(
    ("asked", "entries"),
    [
        ("Forte", ["braket-ionq-forte", "azure-ionq-forte"]),
        ("Cepheus", ["braket-rigetti-cepheus"]),
        ("fresnel", ["azure-pasqal-fresnel"]),
        ("Ganret", ["braket-iqm-garnet"]),
        ("qpu-of-nobody", []),
        ("", []),
    ],
)
def test_a_name_without_a_price_is_answered_with_the_entries_like_it(
    asked: str, entries: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    tables = PriceTables()
    assert sorted(tables.like(asked)) == sorted(entries)
    assert tables.price_of(asked, {"shots": 1.0}) is None
    assert all(entry in caplog.text for entry in entries)
    assert ("did you mean" in caplog.text) == bool(entries)


def test_an_entry_of_ones_own_takes_the_place_of_the_published_one_of_that_name(tmp_path: Path) -> None:
    text = OWN.replace("my-device", "ibm-pay-as-you-go").replace('["lab-*", "Garnet"]', '["ibm_fez"]')
    own = PriceTables(_write(tmp_path, text))
    assert own.price_of("ibm_fez", {"shots": 2.0}) == (2.0, "EUR")
    assert own.find("ibm_torino") is None


def test_a_price_in_money_makes_credits_money(tmp_path: Path) -> None:
    entry = "model: hqc\n    backends: [H2-1]\n    per_credit: 12.5"
    own = PriceTables(_write(tmp_path, OWN.split("    model", maxsplit=1)[0] + "    " + entry))
    fields = {"shots": 1000.0, "gates": 30.0, "two_qubit_gates": 10.0, "qubits": 5.0}
    assert own.price_of("H2-1", fields) == (12.5 * 34, "EUR")


def test_a_folder_holds_several_tables(tmp_path: Path) -> None:
    _write(tmp_path, OWN, "a.yaml")
    _write(tmp_path, OWN.replace("my-device", "other-device").replace("Garnet", "Ruby"), "b.yml")
    _write(tmp_path, "no table", "notes.txt")
    own = PriceTables(tmp_path)
    assert own.price_of("Ruby", {"shots": 2.0}) == own.price_of("Garnet", {"shots": 2.0}) == (2.0, "EUR")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (OWN.replace("per_shot: 0.5", "per_shot: cheap"), "line 10: prices.my-device.per_shot: 'cheap' is not"),
        (OWN.replace("per_shot: 0.5", "per_shot: -1"), "prices.my-device.per_shot: -1 is out of range"),
        (OWN.replace("per_shot: 0.5", "per_shot: .nan"), "prices.my-device.per_shot: nan is not a finite number"),
        (OWN.replace("    per_shot: 0.5\n", ""), "prices.my-device.per_shot: is missing"),
        (OWN.replace("per_shot", "per_shoot"), "there is no such field; did you mean per_shot?"),
        (OWN.replace("task_and_shot", "task"), "prices.my-device.model: 'task' is not known; give one of task_"),
        (OWN.replace("    model: task_and_shot\n", ""), "prices.my-device.model: is missing"),
        (OWN.replace("EUR", "12"), "currency: 12 is no currency"),
        (OWN.replace("currency: EUR\n", ""), "prices.my-device.currency: is missing; give it here or at the top"),
        (OWN.replace("2026-01-31", "last week"), "date: 'last week' is no date; write the day"),
        (OWN.replace("2026-01-31", "2999-01-31"), "date: 2999-01-31 is in the future"),
        (OWN.replace("date: 2026-01-31\n", ""), "prices.my-device.date: is missing"),
        (OWN + "    source: http://example.org\n", "prices.my-device.source: 'http://example.org' is not an https"),
        (OWN + "    failed: maybe\n", "prices.my-device.failed: 'maybe' is not known; give one of free, billed"),
        (OWN.replace('["lab-*", "Garnet"]', "Garnet"), "prices.my-device.backends: 'Garnet' is not a list"),
        (OWN.replace('["lab-*", "Garnet"]', "[3]"), "prices.my-device.backends: 3 is not a name"),
        (OWN.replace("my-device", "My Device"), "prices.My Device: is no name"),
        (OWN.split("prices", maxsplit=1)[0], "prices: is missing; write a mapping"),
        (OWN.split("prices", maxsplit=1)[0] + "prices: 3", "prices: 3; write a mapping"),
        (OWN.split("    model", maxsplit=1)[0], "prices.my-device: None is not a mapping"),
        (OWN + OWN.split("prices:")[1].replace("my-device", "twin"), "'lab-*' has a price in my-device; leave one out"),
        ("- a list", "is not a mapping"),
        ("a: [", "own.yaml"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_table_is_named_by_file_entry_field_value_and_mend(
    tmp_path: Path, broken: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        PriceTables(_write(tmp_path, broken))
    assert said in str(raised.value)
    assert str(tmp_path / "own.yaml") in str(raised.value)


def test_what_is_wrong_at_the_top_is_not_missing_in_the_entries(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        PriceTables(_write(tmp_path, OWN.replace("2026-01-31", "last week")))
    (problem,) = raised.value.problems
    assert "date: 'last week' is no date" in problem


def test_all_that_is_wrong_in_a_folder_is_said_at_once(tmp_path: Path) -> None:
    _write(tmp_path, OWN.replace("per_task: 1", "per_task: x").replace("per_shot: 0.5", "per_shot: y"), "a.yaml")
    _write(tmp_path, "- nothing", "b.yaml")
    with pytest.raises(ConfigurationError) as raised:
        PriceTables(tmp_path)
    assert len(raised.value.problems) == 3


def test_a_path_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PriceTables(tmp_path / "missing.yaml")
    with pytest.raises(ConfigurationError, match="folder without price tables"):
        PriceTables(tmp_path)


def test_a_setting_takes_tables_in_which_nothing_is_wrong_and_names_what_is(tmp_path: Path) -> None:
    file = _write(tmp_path, OWN)
    assert readable_tables(str(file)) == file
    with pytest.raises(WrongEntriesError, match=r"bad\.yaml"):
        readable_tables(_write(tmp_path, OWN.replace("EUR", "?"), "bad.yaml"))


def test_the_tables_that_come_along_are_in_the_form_that_ones_own_have(tmp_path: Path) -> None:
    import quantum_monitor.costs as package

    folder = Path(package.__file__ or "").parent / "tables"
    files = sorted(folder.glob("*.yaml"))
    assert [file.stem for file in files] == ["azure", "braket", "ibm", "quantinuum"]
    for file in files:
        copy = _write(tmp_path, file.read_text(encoding="utf-8"), file.name)
        assert len(PriceTables(copy).prices) == len(PriceTables().prices)
        assert yaml.safe_load(copy.read_text(encoding="utf-8"))["source"].startswith("https://")
