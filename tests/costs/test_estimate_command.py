"""``quantum-monitor estimate``: what a circuit or a training will cost, by file or by numbers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor import cli_estimate
from quantum_monitor.cli_common import FailureError
from quantum_monitor.config import ConfigurationError

BELL = """OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
creg c[2];
h q[0];
cx q[0],q[1];
measure q -> c;
"""


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli_estimate.add_command(parser.add_subparsers())
    arguments = parser.parse_args(["estimate", *words])
    status: int = arguments.run_command(arguments)
    return status


@pytest.fixture
def bell(tmp_path: Path) -> str:
    file = tmp_path / "bell.qasm"
    file.write_text(BELL, encoding="utf-8")
    return str(file)


def _json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_circuit_on_a_backend_is_told_with_source_date_and_that_it_is_an_estimate(
    bell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(bell, "--backend", "Garnet", "--shots", "1000") == 0
    told = capsys.readouterr().out
    assert "An estimate, not a bill: Garnet (Amazon Braket" in told
    assert "One execution  1.75 USD" in told
    assert "https://aws.amazon.com/braket/pricing, as of 2026-09-04" in told
    assert "Total" not in told


def test_a_training_takes_two_circuits_a_parameter_and_one_for_the_loss(
    bell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    training = ("--steps", "100", "--gradient", "parameter-shift", "--parameters", "4", "--budget", "50")
    _run(bell, "--backend", "Garnet", "--shots", "1000", *training)
    told = capsys.readouterr().out
    assert "100 steps x 9 (parameter-shift, 4 parameters) = 900" in told
    assert "Total          1575.00 USD" in told
    assert "50.00 USD affords 3 steps" in told


@pytest.mark.parametrize(("gradient", "circuits"), [("spsa", 3), ("adjoint", 1)])
def test_other_gradients_take_as_many_circuits_as_they_do(
    bell: str, gradient: str, circuits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(bell, "--backend", "Garnet", "--shots", "1000", "--steps", "10", "--gradient", gradient, "--format", "json")
    assert _json(capsys)["estimates"][0]["executions"] == 10 * circuits


def test_numbers_do_in_place_of_a_file(bell: str, capsys: pytest.CaptureFixture[str]) -> None:
    _run(bell, "--backend", "H2-1", "--shots", "1000", "--format", "json")
    by_file = _json(capsys)
    numbers = ("--gates", "2", "--two-qubit-gates", "1", "--qubits", "2")
    _run(*numbers, "--backend", "H2-1", "--shots", "1000", "--format", "json")
    assert _json(capsys) == by_file
    assert by_file["estimates"][0]["amount"] == pytest.approx(5 + 1000 * (1 + 10 + 5 * 2) / 5000)


def test_without_a_backend_all_are_told_cheapest_first_in_each_currency(
    bell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(bell, "--shots", "1000", "--format", "json")
    told = _json(capsys)
    assert told["kind"] == "estimated"
    amounts: dict[str, list[float]] = {}
    for one in told["estimates"]:
        amounts.setdefault(one["currency"], []).append(one["amount"])
    assert list(amounts) == ["USD", "HQC", "eHQC"]
    assert all(each == sorted(each) for each in amounts.values())
    assert told["not_told"]["braket-sv1"] == ["seconds"]
    _run(bell, "--shots", "1000")
    table = capsys.readouterr().out
    assert table.index("braket-rigetti-cepheus") < table.index("braket-ionq-forte")
    assert "not told: braket-sv1, which takes --seconds" in table


def test_analog_devices_are_left_out_of_the_table_and_run_no_circuit(
    bell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(bell, "--shots", "100", "--seconds", "1") == 0
    told = capsys.readouterr().out
    assert "left out: azure-pasqal-fresnel, braket-quera-aquila: analog devices, which run no circuits" in told
    assert told.count("aquila") == told.count("fresnel") == 1
    with pytest.raises(FailureError, match="Aquila is an analog device"):
        _run(bell, "--shots", "100", "--backend", "Aquila")
    assert _run("--shots", "100", "--backend", "Aquila") == 0
    assert "1.30 USD" in capsys.readouterr().out


def test_a_budget_that_is_a_whole_number_of_steps_affords_them_all(
    bell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "own.yaml"
    entry = "x: {model: task_and_shot, backends: [lab], per_task: 0.1, per_shot: 0}"
    prices.write_text(f"provider: p\ndate: 2026-01-31\ncurrency: EUR\nprices:\n  {entry}\n", encoding="utf-8")
    for budget, steps in (("0.3", 3), ("0.39", 3), ("0.05", 0)):  # 0.3 / 0.1 is a little less than 3
        _run("--backend", "lab", "--shots", "1", "--prices", str(prices), "--budget", budget, "--format", "json")
        assert _json(capsys)["estimates"][0]["steps_within_budget"] == steps
    _run(bell, "--backend", "ionq.simulator", "--shots", "1000", "--budget", "5.25")
    assert "affords any number of steps" in capsys.readouterr().out


@pytest.mark.parametrize(("steps", "status"), [("2", 0), ("3", 1)])
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_status_says_whether_the_budget_affords_the_steps(steps: str, status: int, form: str) -> None:
    training = ("--shots", "1000", "--steps", steps, "--budget", "3.5", "--format", form)
    assert _run("--backend", "Garnet", *training) == status


def test_time_and_error_mitigation_are_options(bell: str, capsys: pytest.CaptureFixture[str]) -> None:
    _run("--backend", "ibm_fez", "--seconds", "30", "--format", "json")
    assert _json(capsys)["estimates"][0]["amount"] == pytest.approx(48.0)
    _run(bell, "--backend", "ionq.qpu.aria-1", "--shots", "1", "--no-error-mitigation", "--format", "json")
    assert _json(capsys)["estimates"][0]["amount"] == pytest.approx(12.4166)


def test_prices_of_ones_own_are_taken(bell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "own.yaml"
    entry = "x: {model: task_and_shot, backends: [lab], per_task: 1, per_shot: 0}"
    prices.write_text(f"provider: p\ndate: 2026-01-31\ncurrency: EUR\nprices:\n  {entry}\n", encoding="utf-8")
    _run(bell, "--backend", "lab", "--shots", "5", "--prices", str(prices))
    told = capsys.readouterr().out
    assert "One execution  1.00 EUR" in told
    assert "a table of your own, as of 2026-01-31" in told
    prices.write_text("prices: 3", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"own\.yaml"):
        _run(bell, "--backend", "lab", "--shots", "5", "--prices", str(prices))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--backend", "nobody's", "--shots", "1"), 'no price is known for "nobody\'s"'),
        (("--backend", "default.qubit", "--shots", "1"), "a simulator on your machine"),
        (("--backend", "ibm_fez", "--shots", "1"), "takes --seconds: add it to the command"),
        (("--backend", "Garnet"), "takes --shots: add it to the command"),
        (("--backend", "Forte", "--shots", "1"), "did you mean"),
        (("--gates", "1", "--two-qubit-gates", "2", "--shots", "1"), "more than --gates 1"),
    ],
)
def test_what_cannot_be_told_says_what_is_missing(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(FailureError) as raised:
        _run(*words)
    assert said in str(raised.value)


def test_a_file_that_is_no_circuit_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.qasm"
    file.write_text("OPENQASM 2.0; qreg q[1]; h q[3];", encoding="utf-8")
    with pytest.raises(FailureError, match=r"bad\.qasm: "):
        _run(str(file), "--shots", "1")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FailureError, match="is not text"):
        _run(str(file), "--shots", "1")


def test_options_that_contradict_each_other_are_misuse(bell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(bell, "--gates", "3", "--shots", "1") == 2
    assert _run(bell, "--gradient", "parameter-shift", "--shots", "1") == 2
    assert "--parameters" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--shots", "0"), ("--budget", "nan"), ("--seconds", "-1"), ("--gradient", "finite")]
)
def test_numbers_that_are_none_are_misuse(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        _run(*words)
    assert ended.value.code == 2


def test_a_name_from_outside_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "own.yaml"
    entry = 'x: {model: task_and_shot, backends: ["*"], per_task: 1, per_shot: 0}'
    text = f'provider: "p\\e[31m"\ndate: 2026-01-31\ncurrency: EUR\nprices:\n  {entry}\n'
    prices.write_text(text, encoding="utf-8")
    _run("--backend", "lab\x1b[31m", "--shots", "5", "--prices", str(prices))
    assert "\x1b" not in capsys.readouterr().out
