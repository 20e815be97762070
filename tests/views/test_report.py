"""The report of a run: what it says is what was logged, and nothing that anybody wrote becomes markup."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantum_monitor
from quantum_monitor import QuantumMonitor
from quantum_monitor.record import Record
from quantum_monitor.store import artifacts, reader
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.trackers.state import State, StateFile
from quantum_monitor.views.observed import SPANS_AT_MOST, observe
from quantum_monitor.views.report import generate_report, report, write_report
from quantum_monitor.views.words import duration, moment, number

WriteRun = Callable[..., StoredRun]
NewMonitor = Callable[..., QuantumMonitor]
BEGIN = 1_700_000_000.0
HOSTILE = "<img src=x onerror=alert(1)>"
_MISSING = "Absent quantities, and the call that brings each"

DIES_IN_THE_MIDDLE = """
import os, signal, sys
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"experiment": "h2", "name": "dies", "run_id": "1", "start_time": 1_700_000_000.0})
for step in range(100):
    store.put(Record("training", 1_700_000_000.0 + step, step, {"loss": 100.0 - step}))
labels = {"backend": "ibm_fez", "status": "success", "currency": "USD", "cost_kind": "reported"}
store.put(Record("circuit", 1_700_000_100.0, None, {"cost": 12345678.25, "shots": 1000.0}, labels))
assert store.flush(20)
os.kill(os.getpid(), signal.SIGKILL)
"""


class Page(HTMLParser):
    """A page as a browser would take it: its tables by name, its headings, its text; tags must balance."""

    _VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[str, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.facts: dict[str, str] = {}
        self.words: list[str] = []
        self.commands: list[str] = []
        self._label = self._term = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag not in self._VOID:
            self.open.append(tag)
        if "scroll" in (given.get("class") or ""):
            self._label = str(given["aria-label"])
        if tag == "table":
            self.tables[self._label] = []
        if tag == "pre":
            self.commands.append("")
        if tag == "tr":
            self.tables[self._label].append([])
        if tag in {"th", "td"}:
            self.tables[self._label][-1].append("")
        if tag in {"h1", "h2", "h3"}:
            self.headings.append((tag, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if "pre" in self.open:
            self.commands[-1] += data
        if any(cell in self.open for cell in ("th", "td")):
            self.tables[self._label][-1][-1] += data
        elif self.headings and self.open[-1:] == [self.headings[-1][0]]:
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)
        elif self.open[-1:] == ["dt"]:
            self._term = data
        elif self.open[-1:] == ["dd"]:
            self.facts[self._term] = data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def rows(self, label: str) -> list[dict[str, str]]:
        """The rows of a table by the names of its columns."""
        head, *rows = self.tables[label]
        return [dict(zip(head, row, strict=True)) for row in rows]

    def row(self, label: str, heading: str) -> list[str]:
        (found,) = (row for row in self.tables[label][1:] if row[0] == heading)
        return found[1:]

    def metric(self, name: str) -> dict[str, str]:
        (found,) = (row for row in self.rows("Every metric") if row["Metric"] == name)
        return found

    def curve(self, title: str) -> tuple[str, str]:
        """The line of a chart and its marks."""
        (place,) = (
            place
            for place, (tag, given) in enumerate(self.elements)
            if tag == "svg" and str(given["aria-label"]).startswith(title)
        )
        drawn = {"curve": "", "broken": ""}
        for tag, given in self.elements[place + 1 : place + 3]:
            if tag == "path":
                drawn[str(given["class"])] = str(given["d"])
        return drawn["curve"], drawn["broken"]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a run: its records, and what its run.json says."""

    def write(*records: Record, **info: Any) -> StoredRun:
        described = {"experiment": "h2", "name": "a", "run_id": "1", "start_time": BEGIN, **info}
        store = RunStore(tmp_path / "h2" / "1", {"status": "completed", **described})
        for record in records:
            store.put(record)
        assert store.close(20)
        return StoredRun(store.directory)

    return write


def steps(losses: list[float], **fields: float) -> Iterator[Record]:
    for step, loss in enumerate(losses):
        yield Record("training", BEGIN + step, step, {"loss": loss, **fields})


def test_the_page_says_what_a_monitor_was_told(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    with monitor.start_run("first"):
        monitor.log_params({"learning_rate": 0.05})
        monitor.set_tags({"molecule": "H2"})
        for step, loss in enumerate((3.5, 1.25, 2.125)):
            monitor.log_training_step(loss, np.array([3.0, 4.0]) * (step + 1), np.ones(4), step)
        monitor.log_quantum_state(np.array([1.0, 0.0]), 0, np.array([1.0, 0.0]))
        monitor.log_quantum_state(np.array([0.6, 0.8]), 1, np.array([1.0, 0.0]))
        for status, shots in (("success", 1000), ("success", 500), ("failed", 24)):
            monitor.log_circuit_execution(
                None, 2.0, queue_time=30.0, cost=0.25, backend_info="ibm_fez", shots=shots, status=status
            )
        monitor.log_backend_status("ibm_fez", up=False, pending_jobs=7, error_rates={"2q": 0.004})
        monitor.log_metrics({"energy error": 0.015625}, step=2)
        directory = monitor.run_path
    assert directory
    page = Page(report(StoredRun(directory)))
    assert page.headings[0] == ("h1", "first")
    assert "Completed. The training ended by itself." in page.text
    assert page.facts["Experiment"] == "h2"
    assert page.facts["Run id"] == directory.name
    assert page.facts["Python"] == sys.version.split()[0]
    assert page.row("Parameters of the run", "learning_rate") == ["0.05"]
    assert page.row("Tags of the run", "molecule") == ["H2"]
    told = "What the training amounts to"
    assert page.row(told, "Steps with a loss") == ["3"]
    assert page.row(told, "First loss") == ["3.5"]
    assert page.row(told, "Last loss") == ["2.125"]
    assert page.row(told, "Best loss (step 1)") == ["1.25"]
    assert page.row(told, "Last gradient norm") == page.row(told, "Largest gradient norm (step 2)") == ["15"]
    assert page.row("Measures of the quantum states", "Fidelity") == ["ratio", "2", "0.36", "0.68", "0.36", "1"]
    assert "States logged: 2." in page.text
    assert page.row("Executions by backend", "ibm_fez") == ["2", "1", "0", "1,524"]
    times = [row[1:] for row in page.tables["Times by backend"][1:]]
    assert times == [["execution", "3", "6", "2", "2"], ["queue", "3", "90", "30", "30"]]
    assert page.row("Cost by backend, currency and kind", "ibm_fez") == ["USD", "reported", "3", "0.75", "0.25"]
    reported = {row["Quantity"]: row["Last"] for row in page.rows("What was reported of the backends")}
    assert (reported["Up"], reported["Pending jobs"], reported["Error ratio 2q"]) == ("0", "7", "0.004")
    assert page.metric("energy error")["Mean"] == "0.015625"
    first, *_, last = page.rows("Reports of alerts, oldest first")
    assert (first["Alert"], first["Value"], first["Threshold"], first["State"]) == (
        ("gradient_explosion", "15", "10", "firing")
    )
    assert last["State"] == "resolved"


def test_a_killed_run_tells_all_that_its_records_hold(tmp_path: Path) -> None:
    source = str(Path(quantum_monitor.__file__).resolve().parents[1])
    run = subprocess.run(
        [sys.executable, "-c", DIES_IN_THE_MIDDLE, tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": source},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    page = Page(report(StoredRun(tmp_path / "run")))
    assert "The process went away without ending the run." in page.text
    assert page.facts["Last record"] == "2023-11-14T22:15:00Z"
    assert page.facts["Duration"] == "1 min 40 s"
    assert "End" not in page.facts
    assert page.row("What the training amounts to", "Best loss (step 99)") == ["1"]
    assert page.row("Cost by backend, currency and kind", "ibm_fez")[3:] == ["12345678.25", "12345678.25"]


@pytest.mark.parametrize("status", ["completed", "failed", "stopped"])
def test_each_end_is_told_in_words(write_run: WriteRun, status: str) -> None:
    page = Page(report(write_run(status=status, end_time=BEGIN + 0.5)))
    words = {"completed": "ended by itself", "failed": "ended with an error", "stopped": "by hand or by a signal"}
    assert status.capitalize() in page.text
    assert [word for word in words.values() if word in page.text] == [words[status]]
    assert page.facts["End"] == page.facts["Start"] == "2023-11-14T22:13:20Z"
    assert page.facts["Duration"] == "0.5 s"


@pytest.mark.parametrize(
    ("status", "ended_by", "told"),
    [
        ("failed", "ValueError", "The training ended with an error: ValueError."),
        ("stopped", "SIGTERM", "by hand or by a signal: SIGTERM."),
        ("completed", "ValueError", "The training ended by itself."),
        ("failed", ["x"], "The training ended with an error."),
    ],
)
def test_what_ended_a_run_is_named_where_it_is_known(
    write_run: WriteRun, status: str, ended_by: object, told: str
) -> None:
    assert told in Page(report(write_run(status=status, ended_by=ended_by))).text


def test_nothing_of_circuits_is_asked_for_where_they_are_counted_automatically(write_run: WriteRun) -> None:
    missing = dict(Page(report(write_run(instrumented=True))).tables[_MISSING][1:])
    assert "log_circuit_execution" not in " ".join(missing.values())
    assert missing["Hardware status"].startswith("poll_backends(backend)")
    assert missing["Hardware error rates"].startswith("poll_backends(backend)")


def test_a_run_without_records_says_so_and_names_every_call_that_would_help(write_run: WriteRun) -> None:
    page = Page(report(write_run()))
    missing = dict(page.tables[_MISSING][1:])
    assert {"Loss", "Fidelity", "Gradients", "Cost", "Queue time", "Shots", "Hardware status", "Artifacts"} <= {
        *missing
    }
    for call in missing.values():
        for name in re.findall(r"(\w+)\(", call):
            assert name in {"log_model", "log_circuit", "log_artifact"} or hasattr(QuantumMonitor, name)
    assert "No alert was reported." in page.text
    assert "Every metric" not in page.tables
    assert "svg" not in {tag for tag, _ in page.elements}


def test_what_was_measured_is_not_called_missing(write_run: WriteRun) -> None:
    run = write_run(
        *steps([1.0], gradient_norm=2.0),
        Record("circuit", BEGIN, None, {"execution_time": 1.0}, {"backend": "b", "status": "success"}),
        Record("backend", BEGIN, None, {"up": 1.0, "error_ratio_2q": 0.1}, {"backend": "b"}),
        params={"seed": 7},
    )
    missing = {row[0] for row in Page(report(run)).tables[_MISSING][1:]}
    measured = {
        "Loss",
        "Gradients",
        "Execution time",
        "Hardware status",
        "Hardware error rates",
        "Parameters of the run",
    }
    assert not missing & measured
    assert {"Queue time", "Cost", "Shots", "Fidelity", "Tags"} <= missing


def test_nothing_that_anybody_wrote_becomes_markup(write_run: WriteRun) -> None:
    evil = f"\"'>{HOSTILE}<script>alert(2)</script>&amp;</table>\x00\ud800"
    labels = {"backend": evil, "status": "success", "currency": evil, "cost_kind": evil}
    calm = Page(report(write_run(name="a")))
    run = write_run(
        Record("training", BEGIN, 0, {"loss": 1.0}),
        Record("custom", BEGIN, 0, {evil: 1.0}),
        Record("circuit", BEGIN, 0, {"cost": 1.0}, labels),
        Record("backend", BEGIN, 0, {f"error_ratio_{evil}": 0.5}, {"backend": evil}),
        Record("alert", BEGIN, 0, {"alert_value": 1.0}, {"alert": evil, "severity": evil}),
        name=HOSTILE,
        experiment=evil,
        run_id=evil,
        status=evil,
        params={evil: evil, "nested": {evil: [evil]}},
        tags={evil: evil},
        labels={evil: evil},
        framework=evil,
        environment={evil: {evil: evil}},
    )
    source = report(run)
    page = Page(source)
    assert page.headings[0] == ("h1", HOSTILE)
    assert f"<h1>{html.escape(HOSTILE)}</h1>" in source
    allowed = {tag for tag, _ in calm.elements} | {"svg", "path", "figure", "figcaption", "strong", "span", "tfoot"}
    assert {tag for tag, _ in page.elements} <= allowed
    assert not any(name.startswith("on") or name == "style" for _, given in page.elements for name in given)
    assert "\x00" not in source
    assert write_report(run, run.directory / "report.html").read_text(encoding="utf-8").count(HOSTILE) == 0


def test_the_page_allows_its_own_style_and_nothing_else(write_run: WriteRun) -> None:
    page = Page(report(write_run(*steps([1.0, 2.0]))))
    (policy,) = (str(a["content"]) for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    found = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert found
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert not {"script", "link", "img", "iframe", "a", "base", "form"} & {tag for tag, _ in page.elements}
    assert not re.search(r"url\(|@import|https?:", page.source)
    assert ("html", {"lang": "en"}) in page.elements
    assert all(given.get("scope") in {"col", "row"} for tag, given in page.elements if tag == "th")
    assert [tag for tag, _ in page.headings] == ["h1", *["h2"] * (len(page.headings) - 1)]


def test_nan_is_shown_as_nan_and_spoils_no_other_number(write_run: WriteRun) -> None:
    page = Page(report(write_run(*steps([1.0, math.nan, 3.0, math.inf, math.nan]))))
    row = page.metric("loss")
    assert (row["First"], row["Last"], row["Values"], row["Not finite"]) == ("1", "NaN", "5", "3")
    assert (row["Lowest"], row["Highest"], row["Mean"]) == ("1", "3", "2")
    assert "3 of 5 values are NaN or infinite" in page.text
    line, marks = page.curve("Loss")
    assert line.count("M") == 2  # the gap is a gap
    assert marks.count("M") == 3
    assert "nan" not in line
    assert "inf" not in line


def test_a_series_without_a_finite_value_has_no_extremes(write_run: WriteRun) -> None:
    page = Page(report(write_run(*steps([math.nan, math.nan]))))
    row = page.metric("loss")
    assert (row["Last"], row["Lowest"], row["Mean"]) == ("NaN", "\N{EN DASH}", "\N{EN DASH}")
    assert page.curve("Loss")[0] == ""


def test_one_spike_and_one_nan_in_many_steps_stay_visible(write_run: WriteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_BYTES_AT_ONCE", 50_000)  # many pieces, as a long run has
    losses = [0.0] * 20_000
    losses[5_001], losses[12_345], losses[17_001] = -1e6, 1e6, math.nan
    page = Page(report(write_run(*steps(losses))))
    line, marks = page.curve("Loss")
    points = [tuple(map(float, point)) for point in re.findall(r"[ML](\S+) ([\d.-]+)", line)]
    for step, foot in ((5_001, 100.0), (12_345, 0.0)):
        places = [x for x, y in points if y == foot]
        assert places
        assert places == pytest.approx([600 * step / 19_999] * len(places), abs=2)
    assert float(marks[1:].split()[0]) == pytest.approx(600 * 17_001 / 19_999, abs=2)
    assert marks.count("M") == 1
    assert len(points) <= 2 * SPANS_AT_MOST
    assert page.row("What the training amounts to", "Steps with a loss") == ["20,000"]


def test_numbers_do_not_depend_on_how_the_records_are_read(
    write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(1e9, 1.0, 3_000)
    values[rng.random(3_000) < 0.01] = math.nan
    records = [  # two shapes in turns, so that one series comes in pieces
        Record("training", BEGIN + step, step, {"loss": value, **({"gradient_norm": 1.0} if step % 3 else {})})
        for step, value in enumerate(values.tolist())
    ]
    run = write_run(*records)
    monkeypatch.setattr(reader, "_BYTES_AT_ONCE", 1)
    loss = observe(run).one("training", "loss")
    assert loss
    finite = values[np.isfinite(values)]
    assert (loss.count, loss.finite) == (3_000, len(finite))
    assert loss.last == values[-1]
    assert (loss.lowest, loss.highest) == (finite.min(), finite.max())
    assert loss.lowest_at == np.nanargmin(values)
    assert loss.mean == pytest.approx(math.fsum(finite) / len(finite), rel=1e-14)
    assert loss.curve
    assert loss.curve.by_step
    assert (np.diff(loss.curve.line.x) > 0).all()


def test_the_largest_doubles_overflow_nothing(write_run: WriteRun) -> None:
    page = Page(report(write_run(*steps([1.7e308, -1.7e308, 1.7e308, 1.7e308]))))
    assert page.metric("loss")["Mean"] == "8.5e+307"
    assert re.fullmatch(r"([ML][\d.]+ [\d.]+)+", page.curve("Loss")[0])


def test_steps_that_start_again_are_drawn_in_the_order_of_logging(write_run: WriteRun) -> None:
    again = [Record("training", BEGIN + 10, step, {"loss": 2.0}) for step in range(3)]
    page = Page(report(write_run(*steps([1.0, 1.0, 1.0]), *again)))
    places = [float(x) for x in re.findall(r"[ML](\S+) ", page.curve("Loss")[0])]
    assert places == sorted(places)
    assert "value 1 to value 6" in next(str(given["aria-label"]) for tag, given in page.elements if tag == "svg")


def test_what_was_reported_estimated_and_billed_is_never_added_up(write_run: WriteRun) -> None:
    spent = [("a", "USD", "reported", 0.1), ("a", "USD", "reported", 0.2), ("b", "USD", "reported", 1.0),
             ("a", "USD", "billed", 0.5), ("a", "EUR", "estimated", 7.0)]  # fmt: skip
    records = [
        Record("circuit", BEGIN, None, {"cost": cost},
               {"backend": backend, "status": "success", "currency": currency, "cost_kind": kind})
        for backend, currency, kind, cost in spent
    ]  # fmt: skip
    page = Page(report(write_run(*records)))
    rows = {tuple(row[:3]): row[3:] for row in page.tables["Cost by backend, currency and kind"][1:]}
    assert rows == {
        ("a", "USD", "reported"): ["2", "0.3", "0.2"],
        ("b", "USD", "reported"): ["1", "1", "1"],
        ("a", "USD", "billed"): ["1", "0.5", "0.5"],
        ("a", "EUR", "estimated"): ["1", "7", "7"],
        ("All backends", "USD", "reported"): ["3", "1.3", "1"],
    }


def test_an_execution_of_which_nothing_else_is_known_counts(write_run: WriteRun) -> None:
    labels = {"backend": "b", "status": "cancelled"}
    page = Page(report(write_run(Record("circuit", BEGIN, None, {}, labels))))
    assert page.row("Executions by backend", "b") == ["0", "0", "1", "\N{EN DASH}"]


def test_a_thousand_metrics_are_all_there_and_any_number_more_is_counted(write_run: WriteRun) -> None:
    names = [f"metric {number}" for number in range(5_000)]
    few = Record("custom", BEGIN, 0, dict.fromkeys(names[:1_000], 2.0))
    page = Page(report(write_run(few)))
    assert [row["Metric"] for row in page.rows("Every metric")] == names[:1_000]
    many = Record("custom", BEGIN, 0, dict.fromkeys(names, 2.0))
    run = write_run(many, *steps([1.0]))
    assert len(observe(run).amounts) == 2_001
    page = Page(report(run))
    assert len(page.rows("Every metric")) == 2_000
    assert "3,001 more series are in the run's store" in page.text
    assert page.metric("loss")["Last"] == "1"
    assert page.row("What the training amounts to", "Last loss") == ["1"]  # names of their own crowd out nothing
    assert len(page.source) < 1_000_000


def test_long_texts_and_many_reports_of_alerts_stay_bounded(write_run: WriteRun) -> None:
    labels = {"alert": "gradient_explosion", "severity": "high"}
    reports = [
        Record("alert", BEGIN + number, number, {"alert_value": float(number), "alert_firing": number % 2}, labels)
        for number in range(1_000)
    ]
    run = write_run(*reports, params={f"p{number}": "x" * 10_000 for number in range(100)}, name="n" * 100_000)
    page = Page(report(run))
    rows = page.rows("Reports of alerts, oldest first")
    assert [row["Value"] for row in rows] == [str(number) for number in range(800, 1_000)]
    assert rows[-1]["State"] == "firing"
    assert rows[0]["State"] == "resolved"
    assert "The latest 200 of 1,000 reports." in page.text
    assert rows[0]["After the start"] == "13 min 20 s"
    assert len(page.source) < 150_000


def test_folders_of_the_machine_are_not_told(write_run: WriteRun) -> None:
    info = {
        "environment": {"script": "/home/alice/work/train.py", "git": {"commit": "3f2a", "root": r"C:\Users\alice\q"}}
    }
    source = report(write_run(**info))
    assert "alice" not in source
    assert "train.py" in source
    assert Page(source).facts["Git: commit"] == "3f2a"


def test_artifacts_are_listed(write_run: WriteRun) -> None:
    run = write_run()
    folder = run.directory / "artifacts"
    folder.mkdir(exist_ok=True)
    (folder / "ansatz.qasm").write_text("OPENQASM 3.0;")
    entry = {"number": 1, "kind": "circuit", "name": HOSTILE, "path": "artifacts/ansatz.qasm", "time": BEGIN,
             "metadata": {"qubits": 4}, "register_as": None}  # fmt: skip
    (run.directory / artifacts.INDEX).write_text(json.dumps(entry) + "\n")
    page = Page(report(run))
    listed = page.row("Files that belong to the run", HOSTILE)
    assert listed == ["circuit", "ansatz.qasm", "2023-11-14T22:13:20Z", "\N{EN DASH}", "qubits: 4"]


def test_a_report_that_cannot_be_written_leaves_the_old_one(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run()
    target = tmp_path / "report.html"
    assert write_report(run, target) == target
    assert target.read_text(encoding="utf-8") == report(run)
    before = target.read_bytes()
    (run.directory / "run.json").write_text("no JSON")
    with pytest.raises(ValueError, match="is not JSON"):
        write_report(run, target)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h2", "report.html"]


def test_who_knows_better_what_became_of_a_run_says_so(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run()
    told = write_report(run, tmp_path / "report.html", "killed").read_text(encoding="utf-8")
    assert "Killed." in Page(told).text
    assert "Killed." not in Page(report(run)).text


def test_a_run_that_is_kept_in_memory_is_reported_too(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_text("")
    store = RunStore(tmp_path / "no folder" / "1", {"experiment": "h2", "name": "a", "run_id": "1"})
    store.put(Record("training", BEGIN, 0, {"loss": 0.5}))
    assert store.flush(20)
    page = Page(report(store.reader()))
    assert store.close(20)
    assert page.row("What the training amounts to", "Last loss") == ["0.5"]
    assert "The run had not ended when this report was made." in page.text


def test_a_description_of_the_wrong_types_costs_only_what_is_wrong(write_run: WriteRun) -> None:
    run = write_run(*steps([1.0]))
    wrong = {
        "start_time": "soon",
        "end_time": None,
        "params": [1],
        "tags": 3,
        "environment": "x",
        "labels": 7,
        "name": 5,
    }
    (run.directory / "run.json").write_text(json.dumps(wrong))
    page = Page(report(run))
    assert page.headings[0] == ("h1", "5")
    assert "Start" not in page.facts
    assert page.row("What the training amounts to", "Last loss") == ["1"]


SECRETS = {
    "api_key": "SECRET-1",
    "ibmToken": "SECRET-2",
    "DB_PASSWORD": 5421907,
    "nested": {"client": {"secret": ["SECRET-3"]}},
    "endpoint": "https://me:SECRET-4@host/jobs?token=SECRET-5&shots=7",
    "note": "log in with password: SECRET-6, then wait",
    "command": "curl -H 'Authorization: Bearer SECRET-7' host",
    "settings": "{'credentials': ['SECRET-D', 'SECRET-E']}",
    "git": "ghp_SECRETSECRETSECRETSECRETSECRETSECRET",
}
HARMLESS = {"max_tokens": 512, "tokenizer": "wordpiece", "author": "Ada", "key": 42, "passes": 3, "keyword": "vqe"}


@pytest.mark.parametrize("format_", ["html", "md"])
def test_no_secret_is_told(write_run: WriteRun, format_: str) -> None:
    labels = {"backend": "https://me:SECRET-8@sim", "status": "success"}
    run = write_run(
        Record("circuit", BEGIN, None, {"execution_time": 1.0}, labels),
        params={**SECRETS, **HARMLESS},
        tags={name: str(value) for name, value in SECRETS.items()},
        labels={"auth_token": "SECRET-9"},
        environment={"script": "t.py --password=SECRET-A"},
        tracking={"mlflow": {"tracking_uri": "https://me:SECRET-C@mlflow"}},
    )
    (run.directory / "artifacts").mkdir(exist_ok=True)
    (run.directory / "artifacts" / "a").write_text("")
    entry = {"number": 1, "kind": "file", "name": "a", "path": "artifacts/a", "time": BEGIN,
             "metadata": SECRETS, "register_as": None}  # fmt: skip
    (run.directory / artifacts.INDEX).write_text(json.dumps(entry) + "\n")
    source = generate_report(run, format=format_, include_visualizations=False).read_text(encoding="utf-8")
    assert "SECRET" not in source.replace("SECRETS", "")
    assert "5421907" not in source
    assert "shots=7" in source
    assert "host/jobs" in source
    if format_ == "html":
        page = Page(source)
        assert page.row("Parameters of the run", "api_key") == ["(hidden)"]
        assert page.row("Parameters of the run", "nested") == ['{"client": {"secret": "(hidden)"}}']
        for name, value in HARMLESS.items():
            assert page.row("Parameters of the run", name) == [str(value)]
        assert page.commands[-1] == "python 't.py --password=(hidden)'"


def commands_of(run: StoredRun, status: str | None = None) -> list[list[str]]:
    """The commands for a shell, as it would take them apart."""
    return [shlex.split(line) for line in Page(report(run, status)).commands if not line.startswith("from ")]


def test_it_ends_with_the_commands_that_go_on_from_there(write_run: WriteRun) -> None:
    assert commands_of(write_run(end_time=BEGIN)) == [
        ["quantum-monitor", "dashboard", "."],
        ["quantum-monitor", "compare", "OTHER_RUN", "h2/1"],
        ["quantum-monitor", "export", "h2/1", "--format", "csv"],
    ]


def test_the_commands_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = tmp_path / "a folder; touch hacked" / "$(touch hacked)"
    for run_id, begin in (("0", BEGIN), ("1", BEGIN + 1)):
        info = {"experiment": "it's", "name": "a", "run_id": run_id, "start_time": begin}
        store = RunStore(storage / "it's" / f"run {run_id}", {"status": "completed", **info})
        store.put(Record("training", BEGIN, 0, {"loss": 0.5}))
        assert store.close(20)
    run = StoredRun(storage / "it's" / "run 0")
    page = Page(report(run))
    assert shlex.split(page.commands[1])[2:] == [
        f"a folder; touch hacked/$(touch hacked)/it's/run {number}" for number in (1, 0)
    ]
    (export,) = (line for line in page.commands if " export " in line)
    tool = Path(sys.executable).with_name("quantum-monitor")
    shell = subprocess.run(
        ["sh", "-c", export.replace("quantum-monitor", str(tool), 1)], check=True, capture_output=True, text=True
    )
    assert Path(shell.stdout.strip()).read_text().splitlines()[1].endswith(",0.5")
    (program,) = (lines for lines in page.commands if lines.startswith("from "))
    python = subprocess.run([sys.executable, "-c", f"{program}\nprint(loss.value)"], check=True,
                            capture_output=True, text=True)  # fmt: skip
    assert python.stdout == "[0.5]\n"
    assert not list(tmp_path.rglob("hacked"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    page = Page(report(run))
    assert "The paths begin at the storage folder" in page.text
    assert shlex.split(page.commands[0]) == ["quantum-monitor", "dashboard", "."]
    assert shlex.split(page.commands[1])[2:] == ["it's/run 1", "it's/run 0"]
    assert str(tmp_path) not in page.source


@pytest.mark.parametrize("others", [False, True])
def test_no_verdict_is_promised_of_one_run_against_one(*, others: bool, write_run: WriteRun) -> None:
    run = write_run(end_time=BEGIN)
    if others:
        info = {"experiment": "h2", "name": "b", "run_id": "b", "start_time": BEGIN, "status": "completed"}
        assert RunStore(run.directory.with_name("b"), info).close(20)
    which = "the latest other run of the experiment" if others else "another run"
    for text in (Page(report(run)).text, generate_report(run, format="md").read_text(encoding="utf-8")):
        assert f"Put its values beside those of {which}" in text
        assert "takes a test, of three runs or more on each side" in text


def test_a_folder_whose_name_nobody_can_type_gets_no_commands(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "h2\x1b[2J" / "1", {"experiment": "h2", "name": "a", "run_id": "1"})
    assert store.close(20)
    page = Page(report(StoredRun(store.directory)))
    assert "has characters that no command can be typed with" in page.text
    assert page.commands == []
    assert "\x1b" not in page.source


@pytest.mark.parametrize(
    ("cursor", "closed", "waits"), [(3, "completed", False), (3, "", True), (2, "completed", True), (None, "", True)]
)
def test_sync_is_named_where_a_tracker_waits(write_run: WriteRun, cursor: int | None, closed: str, waits: bool) -> None:
    run = write_run(*steps([3.0, 2.0, 1.0]), tracking={"mlflow": {}})
    if cursor is not None:
        (run.directory / "trackers").mkdir()
        state = State("mlflow", "http://there", cursor=cursor, closed=closed)
        StateFile(run.directory, "mlflow", "http://there").save(state)
    first = commands_of(run)[0]
    assert (first == ["quantum-monitor", "sync", "h2/1"]) is waits
    written = write_report(run, run.directory / "report.html", "completed").read_text(encoding="utf-8")
    # That page is written as the last thing before the run is closed.
    assert (" sync " in Page(written).commands[0]) is (cursor != 3)


def test_a_report_of_a_run_that_goes_on_says_so_and_how_to_make_it_again(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "h2" / "1", {"experiment": "h2", "name": "a", "run_id": "1", "status": "running"})
    for record in steps([3.0, 2.0]):
        store.put(record)
    assert store.flush(20)
    run = StoredRun(store.directory)
    page = Page(report(run))
    assert "Running. The run had not ended when this report was made." in page.text
    assert page.row("What the training amounts to", "Last loss") == ["2"]
    assert shlex.split(page.commands[0]) == ["quantum-monitor", "report", "h2/1"]
    assert commands_of(run)[2][-2:] == ["--include", "running"]
    store.put(Record("training", BEGIN, 2, {"loss": 1.0}))
    assert store.close(20)
    assert Page(report(run)).row("What the training amounts to", "Last loss") == ["1"]


def test_the_training_is_started_again_from_where_its_script_is(write_run: WriteRun) -> None:
    git = {"commit": "3f2a9c" + "0" * 34}
    page = Page(report(write_run(environment={"script": "experiments/vqe train.py", "git": git})))
    assert shlex.split(page.commands[-1]) == ["python", "experiments/vqe train.py"]
    assert "Train again at commit 3f2a9c000000, from the top of its checkout; the arguments" in page.text
    page = Page(report(write_run(environment={"script": "-cprint(1)"})))
    assert shlex.split(page.commands[-1]) == ["python", "./-cprint(1)"]
    assert "Train again, from the folder of the script; the arguments of the script were not recorded" in page.text
    assert "Train again" not in report(write_run(environment={"script": "a\nb"}))
    page = Page(report(write_run(environment={"script": "-vqe.py"}, command="run")))
    assert shlex.split(page.commands[-1]) == ["quantum-monitor", "run", "./-vqe.py"]
    page = Page(report(write_run(command="run", module="vqe.train")))
    assert shlex.split(page.commands[-1]) == ["quantum-monitor", "run", "-m", "vqe.train"]


@pytest.mark.parametrize("format_", ["html", "md"])
def test_a_report_lands_in_the_directory_of_its_run(write_run: WriteRun, format_: str) -> None:
    run = write_run(*steps([1.0]))
    path = generate_report(run, format=format_, include_visualizations=False)
    assert path == run.directory / f"report.{format_}"
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>" if format_ == "html" else "# a\n")
    assert generate_report(run, "here", format=format_, include_visualizations=False) == Path("here")
    with pytest.raises(ValueError, match="format is 'pdf'; it must be one of html, md"):
        generate_report(run, format="pdf")


def test_a_folder_that_is_not_there_is_named_before_the_work(write_run: WriteRun, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"path: there is no folder '.*none'; make it first"):
        generate_report(write_run(), tmp_path / "none" / "a.html")


def test_a_full_disk_keeps_the_report_that_was_there(write_run: WriteRun, mount: Callable[..., Path]) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    run = write_run(*steps([1.0]))
    path = write_report(run, disk / "report.html")
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        (disk / "ballast").write_bytes(bytes(64 * 1024))
    for format_ in ("html", "md"):
        with pytest.raises(OSError, match="No space left"):
            generate_report(run, path, format=format_, include_visualizations=format_ == "html")
    assert path.read_bytes() == before
    assert sorted(file.name for file in disk.iterdir()) == ["ballast", "report.html"]


def test_damaged_records_are_an_error_and_a_damaged_neighbour_is_none(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run(*steps([1.0]))
    for name, description in (("2", "no JSON"), ("3", "[]")):
        (tmp_path / "h2" / name).mkdir()
        (tmp_path / "h2" / name / "run.json").write_text(description)
        (tmp_path / "h2" / name / "records.db").write_text("no database")
    (run.directory / "trackers").write_text("no folder")
    assert commands_of(run)[1][-2:] == ["OTHER_RUN", "h2/1"]
    (run.directory / "records.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        report(run)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1_234_567.0, "1,234,567"),
        (0.1234567, "0.123457"),
        (1e20, "1e+20"),
        (999.9999999999999, "1,000"),
        (-0.0, "0"),
        (math.inf, "inf"),
        (12, "12"),
    ],
)
def test_numbers_are_told_with_sensible_digits(value: float, told: str) -> None:
    assert number(value) == told


def test_times_are_told_in_utc_whatever_the_number() -> None:
    assert moment(0.0) == "1970-01-01T00:00:00Z"
    assert moment(1e300) == "1e+300"
    assert moment(math.nan) == "NaN"
    assert [duration(seconds) for seconds in (0.25, 59.94, 3_600.0, 90_061.0)] == [
        "0.25 s",
        "59.94 s",
        "1 h",
        "1 d 1 h 1 min 1 s",
    ]
