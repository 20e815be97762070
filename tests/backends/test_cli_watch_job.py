"""``quantum-monitor watch-job``: jobs followed by another process, until they end or nobody wants to wait any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.cli import main
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.backends.loopback_braket import DEVICE, TASK, BraketService, braket_service, device, ionq, task
from tests.server_process import eventually

OTHER = TASK[:-1] + "2"
ENDED = "2026-01-01T01:00:00Z"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[BraketService]:
    with braket_service(monkeypatch) as serving:
        serving.devices[DEVICE] = device(ionq())
        yield serving


def _watch(*arguments: str) -> int:
    return main(["watch-job", "--port", "0", "--storage", "kept", *arguments])


def _executions(run: StoredRun) -> list[Any]:
    return [record for _, record in run.records(kinds={"circuit"}) if "status" in record.labels]


def _only_run() -> StoredRun:
    (directory,) = find_runs(Path("kept"))
    return StoredRun(directory)


def test_a_task_that_has_ended_is_logged_at_once(service: BraketService, capsys: pytest.CaptureFixture[str]) -> None:
    service.tasks[TASK] = [task("COMPLETED", endedAt=ENDED)]
    assert _watch(TASK, "--experiment", "queued work") == 0
    run = _only_run()
    assert run.info["status"] == "completed"
    assert run.info["experiment"] == "queued work"
    assert run.info["name"] == TASK.rsplit("/", 1)[-1]
    (execution,) = _executions(run)
    assert execution.labels["backend"] == "Forte 1"
    assert execution.labels["status"] == "success"
    assert execution.fields["shots"] == 1000
    assert execution.fields["cost"] == pytest.approx(0.3 + 1000 * 0.08)  # Forte at Braket: a task, and its shots
    assert execution.labels["cost_kind"] == "estimated"
    assert "completed on Forte 1" in capsys.readouterr().out


def test_a_task_is_followed_from_the_queue_to_its_end(service: BraketService) -> None:
    service.tasks[TASK] = [task("QUEUED"), task("RUNNING"), task("COMPLETED", endedAt=ENDED)]
    assert _watch(TASK, "--interval", "1") == 0
    (execution,) = _executions(_only_run())
    assert execution.fields["queue_time"] > 0


@pytest.mark.parametrize(
    ("status", "ended", "counted"), [("FAILED", "failed", "failed"), ("CANCELLED", "stopped", "cancelled")]
)
def test_a_task_that_did_not_complete_ends_the_run_accordingly(
    service: BraketService, status: str, ended: str, counted: str
) -> None:
    service.tasks[TASK] = [task(status, endedAt=ENDED)]
    assert _watch(TASK) == 1
    run = _only_run()
    assert run.info["status"] == ended
    (execution,) = _executions(run)
    assert execution.labels["status"] == counted
    assert execution.fields["cost"] == 0.0


def test_of_several_jobs_each_is_one_execution_of_one_run(service: BraketService) -> None:
    service.tasks[TASK] = [task("COMPLETED", endedAt=ENDED)]
    service.tasks[OTHER] = [{**task("FAILED", endedAt=ENDED), "quantumTaskArn": OTHER}]
    assert _watch(TASK, OTHER, TASK) == 1
    run = _only_run()
    assert run.info["status"] == "failed"
    assert sorted(execution.labels["status"] for execution in _executions(run)) == ["failed", "success"]


def test_a_second_watch_is_a_second_run(service: BraketService) -> None:
    service.tasks[TASK] = [task("COMPLETED", endedAt=ENDED)]
    assert [_watch(TASK), _watch(TASK)] == [0, 0]
    runs = [StoredRun(directory) for directory in find_runs(Path("kept"))]
    assert [len(_executions(run)) for run in runs] == [1, 1]


def test_a_job_that_nobody_knows_is_one_sentence_and_no_run(
    service: BraketService, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert service.tasks == {}
    assert _watch(TASK) == 1
    said = capsys.readouterr()
    assert "knows no such task" not in caplog.text  # the command has said it
    assert f"quantum-monitor: {TASK}: Braket knows no such task in this account" in said.err
    assert "Metrics on" not in said.out
    assert find_runs(Path("kept")) == []


def test_a_wrong_id_does_not_stop_the_others(service: BraketService, capsys: pytest.CaptureFixture[str]) -> None:
    service.tasks[TASK] = [task("COMPLETED", endedAt=ENDED)]
    assert _watch("arn:aws:s3:::bucket", TASK) == 1
    assert "is no quantum task" in capsys.readouterr().err
    assert len(_executions(_only_run())) == 1


def test_a_service_that_fails_at_first_is_asked_again(service: BraketService) -> None:
    service.tasks[TASK] = [task("COMPLETED", endedAt=ENDED)]
    service.broken = (500, "InternalServiceException")

    def mend() -> None:
        eventually(lambda: service.asked >= 2)
        service.broken = None

    mending = threading.Thread(target=mend)
    mending.start()
    assert _watch(TASK, "--interval", "1") == 0
    mending.join()


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "quantum_monitor", "watch-job", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _watching(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The same, and the address of its metrics, which is told when it has found a job."""
    with _process(*arguments) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[2]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send here")
def test_ctrl_c_ends_the_watching_and_until_then_the_queue_is_seen(service: BraketService) -> None:
    service.tasks[TASK] = [task("QUEUED")]  # since the first of January: longer than any limit
    with _watching(TASK, "--storage", "kept", "--experiment", "queued work") as (process, url):
        eventually(lambda: '="queued"' in _ones(url, "quantum_circuit_jobs"))
        eventually(lambda: 'alert="queue_time_limit"' in _ones(url, "quantum_alert_firing"))
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    further = f"quantum-monitor watch-job {TASK} --experiment 'queued work' --storage kept --port 0"
    assert out.splitlines()[-2:] == ["Watching has ended; the jobs go on. To watch them further:", further]
    run = _only_run()
    assert run.info["status"] == "stopped"
    assert _executions(run) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send here")
def test_ctrl_c_before_any_answer_names_the_jobs_all_the_same(service: BraketService) -> None:
    service.hung.set()
    with _process(TASK, OTHER, "--storage", "kept") as process:
        eventually(lambda: service.asked >= 1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.splitlines()[-1] == f"quantum-monitor watch-job {TASK} {OTHER} --storage kept --port 0"
    assert find_runs(Path("kept")) == []


def test_the_gauge_has_what_is_open_and_after_a_kill_the_same_command_goes_on(service: BraketService) -> None:
    service.tasks[TASK] = [task("QUEUED"), task("COMPLETED", endedAt=ENDED)]
    service.tasks[OTHER] = [{**task("RUNNING"), "quantumTaskArn": OTHER}]
    with _watching(TASK, OTHER, "--storage", "kept", "--interval", "1") as (process, url):
        assert process.stdout is not None
        lines = iter(process.stdout)
        assert next(line for line in lines if f"{TASK}: completed" in line)
        jobs = 'quantum_circuit_jobs{backend="Forte 1"'
        eventually(lambda: '="running"' in _ones(url, "quantum_circuit_jobs"))
        assert _value(url, jobs, 'status="queued"') == 0.0
        assert _value(url, jobs, 'status="running"') == 1.0
        process.kill()
        process.communicate(timeout=60)
    service.tasks[OTHER] = [{**task("COMPLETED", endedAt=ENDED), "quantumTaskArn": OTHER}]
    assert _watch(TASK, OTHER) == 0
    runs = [StoredRun(directory) for directory in find_runs(Path("kept"))]
    assert max(len(_executions(run)) for run in runs) == 2  # the killed one may have lost its last second


def test_an_id_that_is_hostile_is_one_sentence(service: BraketService, capsys: pytest.CaptureFixture[str]) -> None:
    assert service.tasks == {}
    assert _watch("$(reboot)\x1b[2J\n; rm -rf /", "") == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2
    assert "\x1b" not in err
    assert service.asked == 0


def _value(url: str, series: str, label: str) -> float:
    with urllib.request.urlopen(url, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    (line,) = (line for line in lines if line.startswith(series) and label in line)
    return float(line.rsplit(" ", 1)[1])


def _ones(url: str, metric: str) -> str:
    """The series of a metric that are 1."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return "\n".join(line for line in lines if line.startswith(f"{metric}{{") and line.endswith(" 1.0"))
