"""What a run amounts to, for people and for ``run.json``."""

from __future__ import annotations

import math
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantum_monitor.faults import FAULTS
from quantum_monitor.store import retention
from quantum_monitor.store.export import export_run

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor
    from quantum_monitor.run import Run

_FLUSH_TIMEOUT = 5.0
_CONVERGENCE_WINDOW = 10
_CONVERGENCE_TOLERANCE = 1e-4


def comprehensive(run: Run | None, monitor: QuantumMonitor) -> dict[str, Any]:
    """The summary of a run, or of nothing yet; keys as ``QuantumMonitor.get_comprehensive_summary`` promises."""
    return {
        "experiment_info": _experiment(run, monitor),
        "metrics_summary": {} if run is None else run.history.summary(),
        "training_summary": _training(run),
        "quantum_summary": _quantum(run),
        "execution_summary": {**_execution(run), "hardware_status": monitor.hardware_status()},
        "alert_summary": monitor.alert_system.get_alert_summary(),
        "tracking_status": monitor.tracking_status(),
    }


def _experiment(run: Run | None, monitor: QuantumMonitor) -> dict[str, Any]:
    if run is None:
        nothing = dict.fromkeys(("run_id", "run_name", "status", "start_time", "duration"))
        return {"name": monitor.experiment_name, **nothing, "is_running": False}
    return {
        "name": run.experiment,
        "run_id": run.run_id,
        "run_name": run.name,
        "status": run.status,
        "start_time": datetime.fromtimestamp(run.started, timezone.utc).isoformat(),
        "duration": (run.ended or time.time()) - run.started,
        "is_running": run.ended is None,
    }


def _training(run: Run | None) -> dict[str, Any]:
    losses = [] if run is None else run.history.series("loss")
    best = math.inf if run is None else run.best_loss
    return {
        "total_steps": 0 if run is None else run.steps,
        "final_loss": losses[-1] if losses else None,
        "best_loss": best if best < math.inf else None,
        "gradient_explosion_count": 0 if run is None else run.alerts.explosions,
        "convergence_achieved": converged(losses),
    }


def converged(losses: list[float]) -> bool:
    """Whether the last 10 losses are finite and lie within 1e-4 of each other, relative where they exceed 1."""
    last = losses[-_CONVERGENCE_WINDOW:]
    if len(last) < _CONVERGENCE_WINDOW or not all(map(math.isfinite, last)):
        return False
    return max(last) - min(last) <= _CONVERGENCE_TOLERANCE * max(1.0, abs(last[-1]))


def _quantum(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {"states_logged": 0, "avg_fidelity": None, "avg_entanglement": None, "fidelity_trend": None}
    summary = run.history.summary()
    fidelity, entanglement = summary.get("fidelity"), summary.get("entanglement_entropy")
    return {
        "states_logged": run.states_logged,
        "avg_fidelity": fidelity["mean"] if fidelity else None,
        "avg_entanglement": entanglement["mean"] if entanglement else None,
        "fidelity_trend": fidelity["trend"] if fidelity else None,
    }


def _execution(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {
            "backends_used": [],
            "waiting_for": [],
            "total_cost": 0.0,
            "costs": {},
            "spending": {},
            "avg_execution_times": {},
        }
    with run.lock:
        circuits = {backend: activity.copy() for backend, activity in run.circuits.items()}
        waiting = sorted(backend for backend, jobs in run.alerts.waiting_for.items() if jobs)
    spending: dict[str, dict[str, float | None]] = {}
    if any(activity.costs for activity in circuits.values()):
        from quantum_monitor.costs.budget import overview  # few runs cost anything

        spending = overview(run)
    costs = {currency: told["spent"] or 0.0 for currency, told in spending.items()}
    timed = {backend: activity.execution_time for backend, activity in circuits.items()}
    return {
        "backends_used": sorted(backend for backend, activity in circuits.items() if activity.executed),
        "waiting_for": waiting,
        # Sums of several currencies mean nothing.
        "total_cost": sum(costs.values()) if len(costs) <= 1 else None,
        "costs": costs,
        "spending": spending,
        "avg_execution_times": {name: time.total / time.count for name, time in timed.items() if time.count},
    }


def clean_up_in_background(storage: Path, keep: str | int) -> None:
    """Delete what the retention setting no longer keeps, without holding up the training's start."""
    threading.Thread(target=_clean_up, args=(storage, keep), name="quantum-monitor-retention", daemon=True).start()


def _clean_up(storage: Path, keep: str | int) -> None:
    try:
        retention.delete(retention.plan(storage, **retention.parse_retention(keep)))
    except Exception as error:  # noqa: BLE001 - a clean-up that fails must not end the training
        FAULTS.rejected("retention", error)


def export(run: Run | None, path: str | Path, format: str) -> None:  # noqa: A002 - the public name
    """Write everything that was logged so far to a file; see ``QuantumMonitor.export_metrics``."""
    if run is None:
        raise ValueError("no run to export: start_run() begins one")
    run.store.flush(_FLUSH_TIMEOUT)
    export_run(run.store.reader(), path, format)
