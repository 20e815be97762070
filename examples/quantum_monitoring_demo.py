"""Every part of the API on one small problem: the energy of H2, from samples of a circuit of two qubits in NumPy.

It needs quantum-monitor alone; figures want its extra `views`, and backends
its extra `qiskit`. Without those, it says what it leaves out. Everything it writes is below `./quantum_monitoring`, or
the folder given by `--storage`.
"""

import argparse
import time
from importlib.util import find_spec

import numpy as np
import requests

from quantum_monitor import (
    BudgetExceeded,
    QuantumAlertSystem,
    QuantumMetricsCalculator,
    QuantumMonitor,
    QuantumVisualization,
    alert_rule,
    circuit_metric,
    compare_runs,
    current_monitor,
    estimate,
    figure,
    gradient_metric,
    instrument,
    monitor_quantum_training,
    profile_backend,
    state_metric,
    uninstrument,
)
from quantum_monitor.physics import circuit_facts
from quantum_monitor.store.reader import StoredRun

# The problem: H2 at 0.735 angstrom in STO-3G, on two qubits by parity mapping; hartree, with the nuclei.

I2, X, Z = np.eye(2), np.array([[0.0, 1], [1, 0]]), np.diag([1.0, -1])
CONSTANT = -1.052373245773 + 0.719968994449
TERMS = {"IZ": 0.397937424843, "ZI": -0.397937424843, "ZZ": -0.011280104256, "XX": 0.180931199784}
MATRICES = {"I": I2, "X": X, "Z": Z}
HAMILTONIAN = CONSTANT * np.eye(4) + sum(c * np.kron(MATRICES[p[0]], MATRICES[p[1]]) for p, c in TERMS.items())
LEVELS, STATES = np.linalg.eigh(HAMILTONIAN)
HARTREE_FOCK = -1.116998996754

# The ansatz: a rotation of each qubit, an entangling gate, and a rotation of each again.

CIRCUIT = {
    "gates": [
        {"type": "ry", "qubit": 0},
        {"type": "ry", "qubit": 1},
        {"type": "cx", "control": 0, "target": 1},
        {"type": "ry", "qubit": 0},
        {"type": "ry", "qubit": 1},
    ]
}
CX = np.eye(4)[[0, 1, 3, 2]]
HADAMARDS = np.kron(X + Z, X + Z) / 2
SHOTS = 4000
OPTIMIZERS = {"descent": 0.0, "momentum": 0.6}  # how much of the last step is kept
QPU, PRICE = "pretend-qpu", 0.002  # its queue and its price are made up, to have something to show


def ry(angle):
    """The matrix of a rotation."""
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    return np.array([[cosine, -sine], [sine, cosine]])


def prepare(angles):
    """The state that the circuit prepares; qubit 0 is the most significant."""
    first, second = np.kron(ry(angles[0]), ry(angles[1])), np.kron(ry(angles[2]), ry(angles[3]))
    return second @ CX @ first[:, 0]


def sampled_energy(angles, rng, monitor):
    """The energy from two circuits, measured in Z and in X; each is an execution that is logged."""
    counts = {}
    for basis, turn in {"Z": np.eye(4), "X": HADAMARDS}.items():
        began = time.perf_counter()
        counts[basis] = rng.multinomial(SHOTS, (turn @ prepare(angles)) ** 2) / SHOTS
        monitor.log_circuit_execution(
            CIRCUIT,
            execution_time=time.perf_counter() - began,
            queue_time=float(rng.exponential(2.0)),
            cost=PRICE,
            backend_info={"name": QPU, "currency": "USD"},
            shots=SHOTS,
        )
    diagonals = {"IZ": [1, -1, 1, -1], "ZI": [1, 1, -1, -1], "ZZ": [1, -1, -1, 1], "XX": [1, -1, -1, 1]}
    return CONSTANT + sum(c * (counts["X" if "X" in p else "Z"] @ diagonals[p]) for p, c in TERMS.items())


def train(monitor, optimizer, seed, steps):
    """One run: a training loop as people write it, and all that can be logged in it."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-0.5, 0.5, 4)
    velocity = np.zeros(4)
    with monitor.start_run(f"{optimizer}-{seed}"):
        monitor.log_params({"optimizer": optimizer, "seed": seed, "shots": SHOTS, "exact_energy": LEVELS[0]})
        monitor.set_tags({"molecule": "H2", "basis": "STO-3G"})
        monitor.log_circuit(CIRCUIT, "ansatz")
        monitor.log_backend_status(
            QPU, up=True, pending_jobs=3, error_rates={"1q": 0.0003, "2q": 0.006, "readout": 0.01},
            qubits=2, t1=[180e-6, 150e-6], t2=[120e-6, 90e-6], utilization=0.4,
        )  # fmt: skip
        for step in range(steps):
            energy = sampled_energy(angles, rng, monitor)
            shifts = np.pi / 2 * np.eye(4)
            gradient = np.array([
                (sampled_energy(angles + shift, rng, monitor) - sampled_energy(angles - shift, rng, monitor)) / 2
                for shift in shifts
            ])  # fmt: skip
            monitor.log_training_step(energy, gradient, angles, step, {"error_hartree": energy - LEVELS[0]})
            if step % 5 == 0:
                monitor.log_quantum_state(prepare(angles), step, reference_state=STATES[:, 0])
                monitor.log_metrics({"angles": angles, "rate": 0.4}, step)  # an array becomes its statistics
            velocity = OPTIMIZERS[optimizer] * velocity - 0.4 * gradient
            angles = angles + velocity
        monitor.log_quantum_state(prepare(angles), steps, reference_state=STATES[:, 0])
        monitor.log_model(
            "ansatz", {"angles": angles}, {"energy": float(prepare(angles) @ HAMILTONIAN @ prepare(angles))}
        )
        table = monitor.storage_path / "angles.csv"
        np.savetxt(table, angles)
        monitor.log_artifact(table)
    return monitor.run_path


# Metrics, an alert and a figure of one's own: registered once, and used in every run from then on.


@state_metric("odd_parity")
def odd_parity(state):
    """Share of |01> and |10>, which alone hold the ground state."""
    return abs(state[1]) ** 2 + abs(state[2]) ** 2


@circuit_metric("entangling_share")
def entangling_share(circuit):
    """Share of the gates that entangle."""
    facts = circuit_facts(circuit)  # reads descriptions and the circuits of every framework
    return facts.two_qubit_gates / facts.gates


@gradient_metric("largest_component")
def largest_component(gradient):
    """The parameter that matters most."""
    return np.abs(gradient).max()


@alert_rule("above_hartree_fock", above=0.0, severity="low")
def above_hartree_fock(fields):
    """Fires while the energy is not yet better than that of a product state."""
    return fields["loss"] - HARTREE_FOCK if "loss" in fields else None


@figure("Error of the energy")
def error_of_the_energy(run):
    """Drawn in the report, the static dashboard and the live page."""
    import plotly.graph_objects as go

    error = run.series("error_hartree")
    return go.Figure(go.Scatter(x=error.step, y=abs(error.value)), {"yaxis.type": "log"}) if len(error.step) else None


# The tour


def say(title, *lines):
    """Print a section."""
    print(f"\n{title}\n{'-' * len(title)}")
    for line in lines:
        print(line)


def show_training(monitor, steps):
    """Three runs of each optimizer, and one more with samples of process and machine. Returns them."""
    monitor.start_realtime_monitoring(update_interval=0.1)  # samples of process and machine, until told to stop
    paths = [train(monitor, optimizer, seed, steps) for optimizer in OPTIMIZERS for seed in range(3)]
    monitor.stop_realtime_monitoring()
    paths.append(monitor_quantum_training(monitor, train, monitor, "momentum", 3, steps))
    energy = monitor.get_metrics_summary()["loss"]["latest"]
    say(
        "1. Seven runs, each step logged",
        f"exact energy {LEVELS[0]:.5f} hartree; of the last run {energy:.5f}, from {SHOTS} shots a circuit",
        f"fidelity {monitor.fidelity_history[0]:.4f} at first, {monitor.fidelity_history[-1]:.4f} at last",
        f"own metrics: odd_parity {monitor.get_metrics_summary()['odd_parity']['latest']:.4f}",
    )
    return [StoredRun(path) for path in paths]


def show_metrics(monitor):
    """What Prometheus would read at this moment."""
    lines = requests.get(monitor.metrics_url, timeout=10).text.splitlines()
    shown = (
        "quantum_training_loss{",
        "quantum_state_fidelity{",
        "quantum_circuit_executions_total{",
        "quantum_cost_total{",
    )
    found = [
        line for line in lines if line.startswith(shown) and 'run="momentum-3"' in line and not line.endswith(" 0.0")
    ]
    say(f"2. {monitor.metrics_url} has {len(lines)} lines, such as", *found)


def show_alerts(monitor):
    """Alerts of the training, and the same rules by hand."""
    fired = monitor.alert_system.get_alert_summary(hours=1)
    by_hand = QuantumAlertSystem({"gradient_explosion": 5.0}).check_alerts({"gradient_norm": 7.2})
    say(
        "3. Alerts",
        f"{fired['total_alerts']} fired, by severity {fired['severity_breakdown']}:",
        *(f"  {alert['severity']}: {alert['message']}" for alert in monitor.alert_system.alert_history[:2]),
        f"judged by hand: {by_hand[0]['message']}",
    )


def show_files(monitor, folder):
    """Exports, report, dashboard and figures: of the run that is active or, as here, ended last."""
    written = [folder / "run.json", folder / "run.csv", folder / "everything.json"]
    for path, kind in zip(written, ("json", "csv", "comprehensive"), strict=True):
        monitor.export_metrics(path, format=kind)
    written.append(monitor.generate_report())  # without plotly, one with small curves and no script
    if find_spec("plotly"):
        written.append(monitor.create_static_dashboard())
        written += [folder / "bloch.html", folder / "evolution.html"]
        QuantumVisualization.plot_bloch_sphere(STATES[:, 0], written[-2])
        QuantumVisualization.plot_state_evolution(monitor, written[-1])
    else:
        written.append("(no more figures: pip install 'quantum-monitor[views]')")
    say("4. Files of the last run", *written)


def show_stored_runs(runs):
    """Runs are folders: read one, compare two groups (by name, tag or parameter: `select_runs`)."""
    error = runs[-1].series("error_hartree").value
    comparison = compare_runs(runs[:3], runs[3:6], metrics=["best_fidelity"])
    say(
        "5. Stored runs",
        f"on disk, {len(error)} steps; mean error of the last ten {error[-10:].mean():.5f} hartree\n",
        comparison.to_text(),
    )


def show_money(monitor, steps):
    """What it cost, what it would cost elsewhere, and the budget."""
    known = monitor.get_comprehensive_summary()["execution_summary"]
    lines = [f"the last run has spent {known['total_cost']:.2f} USD on {known['backends_used']} (made up)"]
    price = estimate(CIRCUIT, "Garnet", SHOTS, executions=18 * steps)
    lines.append(f"on {price.entry}: about {price.amount:.2f} {price.currency} by the price of {price.on}")
    with monitor.start_run("too expensive"):
        monitor.log_bill(1.50, backend_info=QPU)  # what the provider says in the end
        try:
            monitor.check_budget(price.amount, price.currency)
        except BudgetExceeded as error:
            lines.append(f"BudgetExceeded: {error}")
    say("6. Money", *lines)


def show_physics():
    """The same physics by hand."""
    calculator, bell = QuantumMetricsCalculator, np.array([1, 0, 0, 1]) / np.sqrt(2)
    say(
        "7. QuantumMetricsCalculator",
        f"fidelity of a Bell state and the ground state {calculator.calculate_fidelity(bell, STATES[:, 0]):.4f}",
        f"entropy of half a Bell state {calculator.calculate_entanglement_entropy(bell):.4f} bits",
        f"depth of the ansatz {calculator.calculate_circuit_depth(CIRCUIT)}",
        f"estimated quantum volume {calculator.calculate_quantum_volume(5, 10):.1f}",
    )


def show_backends(monitor):
    """What needs a framework: automatic instrumentation, backends that are asked, their profile."""
    if not find_spec("qiskit"):
        say("8. Backends", "left out: pip install 'quantum-monitor[qiskit]'")
        return
    from qiskit import QuantumCircuit, transpile
    from qiskit.primitives import StatevectorSampler
    from qiskit.providers.fake_provider import GenericBackendV2

    bell, backend = QuantumCircuit(2), GenericBackendV2(2, seed=3)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    with monitor.start_run("without log calls"):
        instrument("qiskit")  # from here on, what Qiskit executes is logged without a call
        StatevectorSampler(seed=1).run([bell, bell], shots=500).result()
        uninstrument()
        monitor.watch(backend)  # or one object alone
        with monitor.waiting_for_backend(backend.name):  # training that waits is not stalled
            backend.run(transpile(bell, backend), shots=250).result()
        monitor.unwatch(backend)
        active = current_monitor() is monitor
        profile = profile_backend(backend, widths=[2], shots=100, seed=1, progress=lambda _: None)
    shots = [int(record.fields["shots"]) for _, record in StoredRun(monitor.run_path).records(kinds=["circuit"])]
    monitor.poll_backends(backend, interval=60)
    deadline = time.monotonic() + 5
    while "up" not in monitor.hardware_status().get(backend.name, {}) and time.monotonic() < deadline:
        time.sleep(0.05)
    status = monitor.hardware_status()[backend.name]
    say(
        "8. Backends",
        f"noticed: {len(shots)} executions of {shots} shots, told to the monitor whose run is active: {active}",
        f"{backend.name}: measured quantum volume {profile.volume}, readout error {profile.readout.error.value:.4f}",
        f"asked for its status: up {status['up']:.0f}, {status['qubits']:.0f} qubits, T1 {status['t1'] * 1e6:.0f} us",
    )


def main():
    """The tour."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steps", type=int, default=60, help="of training in each run")
    options.add_argument("--storage", default="quantum_monitoring", help="folder that everything is written to")
    options.add_argument("--serve", action="store_true", help="show the live page at the end, until Enter is pressed")
    given = options.parse_args()

    monitor = QuantumMonitor(
        "monitoring-demo",
        storage_path=given.storage,
        enable_mlflow=False,  # unless False, MLflow gets every run where it is installed
        labels={"team": "examples"},
        alert_config={"gradient_explosion": 0.3, "cost_budget": 10.0},  # so low that the first steps exceed it
    )
    heard = []
    monitor.alert_system.register_callback(lambda kind, alert: heard.append(f"{kind} {alert['state']}"))

    runs = show_training(monitor, given.steps)
    show_metrics(monitor)
    show_alerts(monitor)
    show_files(monitor, monitor.storage_path)
    show_stored_runs(runs)
    show_money(monitor, given.steps)
    show_physics()
    show_backends(monitor)
    if given.serve:
        input(f"\nThe live page is at {monitor.create_dashboard(port=0)}; Enter ends it. ")
    monitor.close()
    say("9. The end", f"the callback heard {len(heard)} reports, first: {', '.join(heard[:3])}")


if __name__ == "__main__":
    main()
