"""What becomes of a run beyond its store: the choice of trackers, the hand-over, and what is still on its way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG

if TYPE_CHECKING:
    from quantum_monitor.config import Settings
    from quantum_monitor.store.writer import RunStore
    from quantum_monitor.trackers.shipment import Shipment

_TOLD_SECONDS = 2.0

Trackers = dict[str, dict[str, Any]]
"""Tracker to options."""

# The packages below `trackers` are imported where a run asks for them: a process that delivers nothing pays nothing.


def chosen(settings: Settings) -> Trackers:
    """The trackers of a run that starts now, with their options."""
    if settings.enable_mlflow is False and not settings.enable_wandb and not settings.trackers:
        return {}
    try:
        from quantum_monitor.trackers import choice

        return choice.chosen(settings)
    except Exception as error:  # noqa: BLE001 - a run starts whatever becomes of its delivery
        FAULTS.internal("delivery", error)
        return {}


def described(trackers: Trackers) -> Trackers:
    """The choice as ``run.json`` keeps it, without secrets."""
    if not trackers:
        return {}
    from quantum_monitor.trackers import choice

    return choice.without_secrets(trackers)


def hand_over(store: RunStore, trackers: Trackers, settings: Settings) -> Shipment | None:
    """Have a run delivered from its start on; None where no tracker wants it. Returns at once."""
    if not trackers:
        return None
    try:
        from quantum_monitor.trackers.courier import COURIER

        return COURIER.deliver(store, trackers, grace=settings.delivery_grace)
    except Exception as error:  # noqa: BLE001 - a run starts whatever becomes of its delivery
        FAULTS.internal("delivery", error)
        return None


def wait(shipment: Shipment | None, settings: Settings) -> None:
    """Wait for what is on its way, ``delivery_timeout`` seconds at most, and say what still is after that."""
    if shipment is None:
        return
    from quantum_monitor.trackers.courier import COURIER

    if COURIER.wait(shipment, settings.delivery_timeout):
        return
    for tracker in shipment.trackers:
        if not shipment.settled_at(tracker):
            trouble = shipment.trouble(tracker)
            LOG.warning(
                "%s: %d records are still on their way%s; %s",
                tracker,
                shipment.backlog(tracker),
                f" ({trouble})" if trouble else "",
                _what_next(shipment, settings),
            )


def _what_next(shipment: Shipment, settings: Settings) -> str:
    if shipment.store.in_memory:
        return "they are in memory only, and go with this process"
    rest = f"`quantum-monitor sync {shipment.key}` brings what is left"
    from quantum_monitor.trackers.courier import COURIER

    if COURIER.pid is None and not shipment.here:
        return f"nothing delivers them at present; {rest}"
    if shipment.here:
        return f"a thread goes on while this process lives; {rest}"
    return f"delivery goes on, for {settings.delivery_grace:g} s at most once this process has ended; {rest}"


def leave() -> None:
    """See to it that delivery can go on without this process, which is about to end; takes no more than moments."""
    module = sys.modules.get("quantum_monitor.trackers.courier")
    if module is not None:
        module.COURIER.wait_until_told(_TOLD_SECONDS)


def status(shipment: Shipment | None, settings: Settings) -> dict[str, Any]:
    """The entry ``tracking_status`` of a summary."""
    trackers = {} if shipment is None else {name: shipment.status(name) for name in shipment.trackers}
    return {
        "mlflow_enabled": "mlflow" in trackers,
        "wandb_enabled": "wandb" in trackers,
        "storage_path": str(settings.storage_path),
        "trackers": trackers,
    }
