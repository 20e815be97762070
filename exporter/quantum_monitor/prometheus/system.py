"""Processor and memory of the machine and of this process, sampled by psutil."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.cgroup import cgroup_memory

# Processor times advance in steps of 10 ms: a ratio over less than this says little.
_WINDOW_SECONDS = 0.1
_JOIN_SECONDS = 2.0
_NOT_TIME_OF_ITS_OWN = ("guest", "guest_nice")  # Linux counts them in "user" and "nice" already
_NOT_BUSY = ("idle", "iowait")


@dataclass(frozen=True)
class _CpuTimes:
    """Processor seconds since boot or since the start of the process, and when they were read (monotonic)."""

    at: float
    total: float
    busy: float
    process: float


class SystemSampler:
    """Samples the machine and this process when asked, or in a background thread between ``start`` and ``stop``.

    ``psutil.cpu_percent`` keeps one state for each thread and begins with a meaningless 0.0; the ratios here are
    computed from processor times instead, since the last sample, the first time since construction. A ratio is absent
    until a tenth of a second has passed.
    """

    _thread: threading.Thread | None
    _latest: Mapping[str, float]
    _latest_at: float
    _ratios: Mapping[str, float]
    _cpu_before: _CpuTimes | None

    def __init__(self) -> None:
        self._renew()
        _LIVE.add(self)

    def sample(self) -> Mapping[str, float]:
        """Measure now.

        Returns:
            ``cpu_ratio`` of the machine, ``process_cpu_ratio`` of this process (both 0 to 1, of all processors
            together), ``memory_used_bytes`` and ``memory_total_bytes`` of the machine, or of the container where it
            has a limit, ``process_memory_bytes`` (resident), ``process_threads``. What psutil could not read is
            absent and counted.
        """
        with self._lock:
            values: dict[str, float] = {}
            with _counted():
                values.update(self._cpu_ratios())
            with _counted():
                values.update(_memory())
            with _counted():
                values["process_memory_bytes"] = float(psutil.Process().memory_info().rss)
            with _counted():
                values["process_threads"] = float(psutil.Process().num_threads())
            self._latest, self._latest_at = values, time.monotonic()
            return values

    def latest(self, max_age: float) -> Mapping[str, float]:
        """Return the background thread's last sample; without the thread, one no older than ``max_age`` seconds."""
        if self._latest and (self._thread is not None or time.monotonic() - self._latest_at <= max_age):
            return self._latest
        return self.sample()

    def start(self, interval: float, on_sample: Callable[[Mapping[str, float]], None] | None = None) -> None:
        """Sample every ``interval`` seconds in a thread; one that runs already is replaced.

        Args:
            interval: seconds, above 0.
            on_sample: called in that thread with every sample.

        Raises:
            ValueError: the interval is not above 0.
        """
        if not interval > 0:
            raise ValueError(f"update_interval: {interval!r} is not above 0; give seconds, such as 1.0")
        self.stop()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(interval, on_sample, self._stop), name="quantum-monitor-system", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the background thread. Harmless when there is none."""
        thread, self._thread = self._thread, None
        self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def _run(
        self, interval: float, on_sample: Callable[[Mapping[str, float]], None] | None, stop: threading.Event
    ) -> None:
        while not stop.wait(interval):
            values = self.sample()
            if on_sample is None:
                continue
            try:
                on_sample(values)
            except Exception as error:  # noqa: BLE001 - sampling goes on
                FAULTS.internal("system", error)

    def _cpu_ratios(self) -> Mapping[str, float]:
        before, now = self._cpu_before, _cpu_times()
        if before is None:
            self._cpu_before = now
        elif now.at - before.at >= _WINDOW_SECONDS:
            self._cpu_before = now
            total = now.total - before.total
            if total > 0:
                own = (now.process - before.process) / (now.at - before.at) / (psutil.cpu_count() or 1)
                self._ratios = {
                    "cpu_ratio": min(max((now.busy - before.busy) / total, 0.0), 1.0),
                    "process_cpu_ratio": min(max(own, 0.0), 1.0),
                }
        return self._ratios

    def _renew(self) -> None:
        """Begin anew: at construction, and in a forked child, where the thread is gone and locks may be held."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = None
        self._latest, self._latest_at = {}, 0.0
        self._ratios = {}
        self._cpu_before = None
        with _counted():
            self._cpu_before = _cpu_times()


@contextmanager
def _counted() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - /proc may be hidden or incomplete; training goes on without the value
        FAULTS.rejected("system", error)


def _cpu_times() -> _CpuTimes:
    times = psutil.cpu_times()._asdict()
    total = sum(seconds for name, seconds in times.items() if name not in _NOT_TIME_OF_ITS_OWN)
    own = psutil.Process().cpu_times()
    idle = sum(times.get(name, 0.0) for name in _NOT_BUSY)
    return _CpuTimes(at=time.monotonic(), total=total, busy=total - idle, process=own.user + own.system)


def _memory() -> Mapping[str, float]:
    machine = psutil.virtual_memory()
    container = cgroup_memory()
    if container is not None and container.limit < machine.total:
        return {"memory_used_bytes": float(container.used), "memory_total_bytes": float(container.limit)}
    # What is not available, rather than psutil's "used", which leaves out shared memory.
    return {
        "memory_used_bytes": float(machine.total - machine.available),
        "memory_total_bytes": float(machine.total),
    }


_LIVE: weakref.WeakSet[SystemSampler] = weakref.WeakSet()


def _renew_all() -> None:
    for sampler in list(_LIVE):
        sampler._renew()


os.register_at_fork(after_in_child=_renew_all)
