"""``quantum-monitor watch-job``: jobs followed by another process, until they end or nobody wants to wait any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
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
    service: BraketService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert service.tasks == {}
    assert _watch(TASK) == 1
    assert f"quantum-monitor: {TASK}: Braket knows no such task in this account" in capsys.readouterr().err
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


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send here")
def test_ctrl_c_ends_the_watching_and_until_then_the_queue_is_seen(service: BraketService, tmp_path: Path) -> None:
    service.tasks[TASK] = [task("QUEUED")]  # since the first of January: longer than any limit
    arguments = ["watch-job", TASK, "--port", "0", "--storage", str(tmp_path / "kept")]
    with subprocess.Popen(
        [sys.executable, "-m", "quantum_monitor.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[2]
            eventually(lambda: '="queued"' in _ones(url, "quantum_circuit_jobs"))
            eventually(lambda: 'alert="queue_time_limit"' in _ones(url, "quantum_alert_firing"))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "the jobs go on" in out
    assert f"quantum-monitor watch-job {TASK}" in err
    run = _only_run()
    assert run.info["status"] == "stopped"
    assert _executions(run) == []


def _ones(url: str, metric: str) -> str:
    """The series of a metric that are 1."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return "\n".join(line for line in lines if line.startswith(f"{metric}{{") and line.endswith(" 1.0"))
