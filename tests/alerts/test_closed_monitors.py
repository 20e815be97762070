"""Monitors that were closed: what is over for them, and that they can be used again."""

from __future__ import annotations

import pytest

from quantum_monitor.faults import FAULTS
from tests.alerts.watching import OVER, RUN, Listener, NewMonitor, Time, calm_down, explode, look, shown


def test_a_closed_monitor_hears_that_its_backends_alert_is_over_and_nothing_more(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Time(monkeypatch)
    closed = new_monitor()
    open_ = new_monitor(registry=closed.registry)
    listener, dropped = Listener(closed), FAULTS.drops.copy()
    closed.log_backend_status("ibm", up=False)
    closed.close()
    listener.hears(("backend_down", "firing"), ("backend_down", "resolved"))
    clock.passes(700.0, open_)
    assert len(listener.told) == len(closed.alert_system.alert_history) == 2
    assert FAULTS.drops == dropped
    assert shown(open_, "firing", "backend_down", {"backend": "ibm"}, severity="critical") == 1.0


def test_a_monitor_that_is_used_again_after_its_end_is_watched_and_tells(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Time(monkeypatch)
    monitor = new_monitor()
    listener = Listener(monitor)
    monitor.close()
    monitor.start_run("a")
    explode(monitor)
    calm_down(monitor)
    look(monitor)
    assert monitor._exporter._watcher._thread is not None
    assert shown(monitor, "threshold", "memory_high", {}) == 0.95
    clock.passes(OVER, monitor)
    listener.hears(("gradient_explosion", "firing"), ("gradient_explosion", "resolved"))
    assert shown(monitor, "firing", "gradient_explosion", RUN, severity="critical") == 0.0
