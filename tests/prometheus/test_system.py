"""Processor and memory of the machine and of this process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
import pytest

from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus import system
from quantum_monitor.prometheus.cgroup import CgroupMemory
from quantum_monitor.prometheus.system import SystemSampler

RATIOS = {"cpu_ratio", "process_cpu_ratio"}
OTHERS = {"memory_used_bytes", "memory_total_bytes", "process_memory_bytes", "process_threads"}


@pytest.fixture
def sampler() -> Iterator[SystemSampler]:
    sampler = SystemSampler()
    yield sampler
    sampler.stop()


def sampler_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "quantum-monitor-system"]


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def test_what_is_not_known_yet_is_absent(sampler: SystemSampler) -> None:
    assert set(sampler.sample()) == OTHERS


def test_ratios_are_known_after_a_while(sampler: SystemSampler) -> None:
    work(0.3)
    values = sampler.sample()
    assert set(values) == RATIOS | OTHERS
    assert 0 < values["process_cpu_ratio"] <= 1
    assert 0 < values["cpu_ratio"] <= 1


def test_ratios_are_shares_of_all_processors(sampler: SystemSampler) -> None:
    begin, cpu = time.monotonic(), time.process_time()
    work(0.3)
    values = sampler.sample()
    expected = (time.process_time() - cpu) / (time.monotonic() - begin) / (os.cpu_count() or 1)
    assert values["process_cpu_ratio"] == pytest.approx(expected, abs=0.15)


def test_samples_close_together_keep_the_ratio(sampler: SystemSampler) -> None:
    work(0.2)
    first = sampler.sample()
    second = sampler.sample()
    assert {name: second[name] for name in RATIOS} == {name: first[name] for name in RATIOS}


def test_memory_is_that_of_this_process_and_this_machine(
    sampler: SystemSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "cgroup_memory", lambda: None)
    values = sampler.sample()
    assert values["process_memory_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert values["memory_total_bytes"] == psutil.virtual_memory().total
    assert 0 < values["memory_used_bytes"] < values["memory_total_bytes"]
    assert values["process_threads"] >= 1


@pytest.mark.parametrize(("limit", "is_container"), [(1 << 30, True), (1 << 62, False)])
def test_a_container_with_a_limit_is_the_machine(
    sampler: SystemSampler, monkeypatch: pytest.MonkeyPatch, limit: int, is_container: bool
) -> None:
    monkeypatch.setattr(system, "cgroup_memory", lambda: CgroupMemory(limit, 5))
    values = sampler.sample()
    assert (values["memory_total_bytes"] == limit) is is_container
    assert (values["memory_used_bytes"] == 5) is is_container


def test_a_sample_is_kept_for_its_age_and_no_longer(sampler: SystemSampler) -> None:
    first = sampler.latest(60)
    assert sampler.latest(60) is first
    assert sampler.latest(0) is not first


def test_samples_are_taken_in_the_background(sampler: SystemSampler, eventually: Callable[..., None]) -> None:
    samples: list[Mapping[str, float]] = []
    sampler.start(0.02, samples.append)
    eventually(lambda: len(samples) >= 3 and sampler.latest(0) in samples)
    assert len(sampler_threads()) == 1
    assert sampler_threads()[0].daemon


def test_starting_again_replaces_the_thread(sampler: SystemSampler) -> None:
    sampler.start(0.02)
    sampler.start(0.03)
    assert len(sampler_threads()) == 1
    sampler.stop()
    sampler.stop()
    assert sampler_threads() == []


def test_a_stopped_sampler_samples_when_asked(sampler: SystemSampler, eventually: Callable[..., None]) -> None:
    seen: list[object] = []
    sampler.start(0.01, seen.append)
    eventually(lambda: seen)
    sampler.stop()
    assert sampler.latest(0) is not seen[-1]


@pytest.mark.parametrize("interval", [0, -1.0, float("nan")])
def test_a_senseless_interval_is_refused(sampler: SystemSampler, interval: float) -> None:
    with pytest.raises(ValueError, match=r"update_interval: .* is not above 0; give seconds"):
        sampler.start(interval)


def test_a_failing_listener_does_not_end_the_sampling(
    sampler: SystemSampler, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    monkeypatch.delenv("QUANTUM_MONITOR_RAISE")
    calls: list[object] = []

    def fail(values: Any) -> None:
        calls.append(values)
        raise RuntimeError("listener")

    sampler.start(0.01, fail)
    eventually(lambda: len(calls) >= 3)


def test_what_psutil_cannot_read_is_absent_and_logged_once(
    sampler: SystemSampler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise psutil.AccessDenied(msg="memory is hidden here")

    monkeypatch.setattr(psutil, "virtual_memory", fail)
    before = FAULTS.errors["system"]
    with caplog.at_level(logging.WARNING, "quantum_monitor"):
        assert set(sampler.sample()) == OTHERS - {"memory_used_bytes", "memory_total_bytes"}
        sampler.sample()
    assert FAULTS.errors["system"] == before + 2
    assert len([message for message in caplog.messages if "memory is hidden here" in message]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_samples_itself(sampler: SystemSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_WINDOW_SECONDS", 3_600.0)  # no ratios of its own, however busy the machine
    sampler._ratios = {"cpu_ratio": 0.5, "process_cpu_ratio": 0.5}
    sampler.start(60)
    with sampler._lock:  # as if the parent were sampling
        pid = os.fork()
        if pid == 0:
            values = sampler.latest(0)
            # Neither the parent's thread nor its processor time.
            os._exit(0 if values["process_threads"] == 1 and not RATIOS & set(values) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
