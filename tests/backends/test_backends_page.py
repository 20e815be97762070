"""docs/backends.md: its code runs as it stands, its command prints what it shows, with the options that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.backends.jobs import JobFacts
from quantum_monitor.backends.watching import _sentence
from quantum_monitor.cli import _parser
from tests.server_process import eventually

PAGE = Path(__file__).parents[2] / "docs/backends.md"
TEXT = PAGE.read_text(encoding="utf-8")
NOW = 1767225600.0


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_its_code_runs_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTUM_MONITOR_METRICS_PORT", "null")
    (block,) = _blocks("python")
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
    monitor, backend = names["monitor"], names["backend"]
    try:
        told = monitor.get_comprehensive_summary
        eventually(lambda: backend.name in told()["execution_summary"]["hardware_status"])
        assert told()["execution_summary"]["hardware_status"][backend.name]["qubits"] == 5
    finally:
        monitor.close()


def test_its_command_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = _blocks("console")
    monkeypatch.setattr("time.time", lambda: NOW + 5025)
    sent = JobFacts("d1abc0123456789", "ibm", "queued", "ibm_fez", created=NOW)
    ended = JobFacts(
        "d1abc0123456789", "ibm", "completed", "ibm_fez", created=NOW, running=NOW + 7211, finished=NOW + 7223, billed=3
    )
    assert block.splitlines()[2:] == [_sentence(sent.job, sent), _sentence(ended.job, ended)]


def test_the_options_that_it_names_are_those_of_the_command() -> None:
    named = set(re.findall(r"`(--[a-z]+)`", TEXT.split("## Watching jobs")[1]))
    values = {"--interval": "5", "--port": "0"}
    words = [word for option in sorted(named) for word in (option, values.get(option, "a"))]
    assert named == {"--experiment", "--name", "--storage", "--port", "--config", "--interval"}
    assert _parser().parse_args(["watch-job", "a", *words]).jobs == ["a"]
