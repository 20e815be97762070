"""What a run could have told and did not, each with the call that would bring it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from quantum_monitor.views.report_data import Facts


class Measurable(NamedTuple):
    """A quantity that a run may have: there when a record of this kind has one of these fields."""

    what: str
    kind: str
    fields: tuple[str, ...]
    call: str


_STEP = "log_training_step(loss, gradients, parameters, step)"
_POLL = "poll_backends(backend)"

CATALOGUE = (
    Measurable("Loss", "training", ("loss",), _STEP),
    Measurable("Gradients", "training", ("gradient_norm",), _STEP),
    Measurable("Trained parameters", "training", ("parameter_norm", "parameters"), _STEP),
    Measurable("Fidelity", "state", ("fidelity",), "log_quantum_state(state, step, reference_state=reference)"),
    Measurable(
        "Entanglement or entropy",
        "state",
        ("entanglement_entropy", "von_neumann_entropy", "global_entanglement"),
        "log_quantum_state(state, step)",
    ),
    Measurable("Execution time", "circuit", ("execution_time",), "log_circuit_execution(circuit, seconds)"),
    Measurable("Queue time", "circuit", ("queue_time",), "log_circuit_execution(circuit, seconds, queue_time=seconds)"),
    Measurable(
        "Cost",
        "circuit",
        ("cost",),
        'log_circuit_execution(circuit, seconds, cost=amount, backend_info={"name": backend, "currency": "USD"})',
    ),
    Measurable("Shots", "circuit", ("shots",), "log_circuit_execution(circuit, seconds, shots=1000)"),
    Measurable("Depth and gates", "circuit", ("depth", "gates"), "log_circuit_execution(circuit, seconds)"),
    Measurable("Hardware status", "backend", ("up",), f"{_POLL}, or log_backend_status(name, up=True, pending_jobs=3)"),
    Measurable(
        "Hardware error rates",
        "backend",
        (),
        f'{_POLL}, or log_backend_status(name, up=True, error_rates={{"2q": 0.01}})',
    ),
    Measurable("Process and machine", "system", ("cpu_ratio", "process_cpu_ratio"), "start_realtime_monitoring()"),
)
_DESCRIBED = {
    "params": ("Parameters of the run", 'log_params({"learning_rate": 0.1, "seed": 7})'),
    "tags": ("Tags", 'set_tags({"molecule": "H2"})'),
}


def not_measured(facts: Facts) -> Iterator[tuple[str, str]]:
    """What has no record in this run, and the call that would bring it."""
    there = {(kind, field) for kind, field, _ in facts.observed.amounts}
    if any(kind == "backend" and field.startswith("error_ratio_") for kind, field in there):
        there.add(("backend", ""))
    for what, kind, fields, call in CATALOGUE:
        if kind == "circuit" and facts.info.get("instrumented"):
            continue  # counted automatically: what is not known there, nobody told, and a call would end the counting
        if not any((kind, field) in there for field in fields or ("",)):
            yield what, call
    for key, described in _DESCRIBED.items():
        if not facts.info.get(key):
            yield described
    if not facts.artifacts:
        yield "Artifacts", "log_model(name, parameters), log_circuit(circuit, name), log_artifact(path)"
