"""The package, and W&B's own process: wandb-core, which serves all runs of this process.

A run that W&B could not open keeps its id taken there, and asking wandb-core to give it up makes it deaf for all other
runs as well. So the process is ended and a new one started, if nobody but us has a run open in it. Our other runs see
an error, and go on after the last row that W&B holds.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any
from weakref import WeakSet

from quantum_monitor.trackers.protocol import UnusableError
from quantum_monitor.trackers.wandb_place import Place

_MEND = "pip install 'quantum-monitor[wandb]'"
_REFUSAL = "filestream: fatal error"
_NEEDED_SETTINGS = ("finish_timeout_raises", "x_disable_machine_info", "x_transaction_log_flush_interval")
# Of the training process: its own W&B service, which ends with it, its sweep, its run.
_NOT_OURS = ("WANDB_SERVICE", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RUN_ID", "WANDB_RESUME", "WANDB_NOTES")

OURS: WeakSet[Any] = WeakSet()
"""The runs that trackers of this process have opened."""


def package(place: Place) -> Any:
    """The package, ready to be used without a word to a terminal.

    Raises:
        UnusableError: it is missing, too old, switched off, or has no key.
    """
    if place.mode == "disabled":
        raise UnusableError("W&B is switched off (WANDB_MODE=disabled); set WANDB_MODE=offline or online")
    if place.mode == "online" and not place.has_key:
        raise UnusableError(
            f"there is no W&B key for {place.host}: set WANDB_API_KEY, run `wandb login`, or go offline"
        )
    if "wandb" not in sys.modules:
        for name in _NOT_OURS:
            os.environ.pop(name, None)
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError as error:
        raise UnusableError(f"W&B is not installed ({error}): {_MEND}") from error
    known = getattr(getattr(wandb, "Settings", None), "model_fields", {})
    if not all(name in known for name in _NEEDED_SETTINGS):
        version = getattr(wandb, "__version__", "?")
        raise UnusableError(f"W&B {version} is too old for quantum-monitor: {_MEND}")
    return wandb


def expect_no_refusal(log: Path) -> None:
    """Raise where the server refused the rows: W&B gives up then, and says so nowhere but in its log."""
    with contextlib.suppress(FileNotFoundError):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if _REFUSAL in line:
                raise ConnectionError(f"W&B's server refused what was uploaded: {line[line.index(_REFUSAL) :][:300]}")


def end_if_dead() -> None:
    """Make way for a new process where the old one was killed."""
    process = _process()
    if process is not None and process.poll() is not None:
        _end()


def start_over() -> None:
    """End the process, unless somebody else's run is open in it."""
    process = _process()
    if process is not None and not _foreign_runs():
        process.kill()
        _end()


def _end() -> None:
    import wandb

    # With its process gone, wandb reports that the farewell was not heard, or exits with that process's code.
    with contextlib.suppress(Exception, SystemExit):
        wandb.teardown()


def _process() -> Any:
    # wandb has no public name for its process. Where a release moves this, faults last until the delivery process ends.
    setup = getattr(sys.modules.get("wandb.sdk.wandb_setup"), "_singleton", None)
    service = getattr(getattr(setup, "_connection", None), "_proc", None)
    return getattr(service, "_process", None)


def _foreign_runs() -> bool:
    setup = getattr(sys.modules.get("wandb.sdk.wandb_setup"), "_singleton", None)
    return any(run not in OURS for run in getattr(setup, "_active_runs", ()))
