"""Exported files hold what was logged, and nothing that harms who opens them."""

from __future__ import annotations

import csv
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.record import Record
from quantum_monitor.store.export import export_run
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore

StoreFactory = Callable[..., RunStore]
Mount = Callable[..., Path]


@pytest.fixture
def run(open_store: StoreFactory) -> StoredRun:
    store = open_store(info={"experiment": "h2", "name": "<b>", "params": {"rate": math.inf}, "status": "completed"})
    store.put(Record("training", 1.5, 0, {"loss": 1.0, "gradient_norm": math.nan}))
    store.put(Record("circuit", 2.5, None, {"depth": 3.0}, {"backend": "=cmd()"}))
    store.put(Record("training", 3.5, 1, {"loss": -0.5}))
    store.put(Record("custom", 4.5, 2, {"=1+1": math.inf, "\tx": -math.inf, "\ud800": 1.0}))
    store.flush()
    return store.reader()


def strict(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def test_json_holds_the_run_and_a_series_for_each_field(run: StoredRun, tmp_path: Path) -> None:
    data = strict(export_run(run, tmp_path / "run.out"))
    assert set(data) == {"run", "series"}
    assert data["run"]["params"] == {"rate": None}
    assert data["run"]["status"] == "completed"
    assert "writer" not in data["run"]
    assert data["series"]["loss"] == [
        {"kind": "training", "labels": {}, "time": [1.5, 3.5], "step": [0, 1], "value": [1.0, -0.5]}
    ]
    assert data["series"]["gradient_norm"][0]["value"] == [None]
    assert data["series"]["depth"][0]["step"] == [None]
    assert data["series"]["=1+1"][0]["value"] == [None]
    assert data["series"]["\ud800"][0]["value"] == [1.0]


def test_comprehensive_adds_summary_environment_and_all_records(run: StoredRun, tmp_path: Path) -> None:
    data = strict(export_run(run, tmp_path / "run.out", format="comprehensive"))
    assert set(data) == {"run", "environment", "series", "summary", "records"}
    assert data["environment"]["python"]
    assert data["summary"]["loss"][0] == {
        "kind": "training", "labels": {}, "latest": -0.5, "mean": 0.25, "std": 0.75, "min": -0.5, "max": 1.0,
        "count": 2, "trend": None,
    }  # fmt: skip
    assert data["summary"]["gradient_norm"][0]["mean"] is None
    assert [record["sequence"] for record in data["records"]] == [1, 2, 3, 4]
    assert data["records"][1] == {
        "sequence": 2, "kind": "circuit", "time": 2.5, "step": None, "fields": {"depth": 3.0},
        "labels": {"backend": "=cmd()"},
    }  # fmt: skip


def test_csv_has_a_row_a_record_and_no_formula(run: StoredRun, tmp_path: Path) -> None:
    with export_run(run, tmp_path / "run.csv", format="csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == [
        "time", "step", "kind", "labels", "loss", "gradient_norm", "depth", "'=1+1", "'\tx", "\\ud800",
    ]  # fmt: skip
    assert rows[1] == ["1.5", "0", "training", "", "1.0", "nan", "", "", "", ""]
    assert rows[2] == ["2.5", "", "circuit", '{"backend": "=cmd()"}', "", "", "3.0", "", "", ""]
    assert rows[3][4] == "-0.5", "a plain number stays one"
    assert rows[4][7:9] == ["inf", "-inf"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_kind_that_begins_like_a_formula_is_text(open_store: StoreFactory, tmp_path: Path, start: str) -> None:
    store = open_store()
    store.put(Record(f"{start}cmd|' /C calc'!A0", 0.0, None, {f"{start}field": 1.0}))
    store.flush()
    with export_run(store.reader(), tmp_path / "run.csv", "csv").open(newline="", encoding="utf-8") as file:
        header, row = csv.reader(file)
    assert header[4] == f"'{start}field"
    assert row[2] == f"'{start}cmd|' /C calc'!A0"


def test_csv_with_very_many_fields_stays_narrow_and_loses_none(open_store: StoreFactory, tmp_path: Path) -> None:
    store = open_store()
    for number in range(3_000):
        store.put(Record("custom", 0.0, number, {f"name {number}": number + 0.5}))
    store.flush()
    with export_run(store.reader(), tmp_path / "run.csv", "csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert len(header) == 4 + 1_000 + 1
    assert rows[999][4 + 999] == "999.5"
    assert json.loads(rows[2_999][-1]) == {"name 2999": 2_999.5}


@pytest.mark.parametrize("format", ["json", "csv", "comprehensive"])
def test_an_empty_run_exports(open_store: StoreFactory, tmp_path: Path, format: str) -> None:  # noqa: A002
    path = export_run(open_store().reader(), tmp_path / "out", format)
    if format != "csv":
        assert strict(path)["series"] == {}


def test_an_unknown_format_names_those_there_are(run: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'xml'.*json, csv, comprehensive"):
        export_run(run, tmp_path / "out", format="xml")
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_leaves_the_old_file_and_no_other(run: StoredRun, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=8k", "tmpfs")
    (disk / "out").write_text("old")
    (disk / "filler").write_bytes(bytes(4096))
    with pytest.raises(OSError, match="No space left"):
        export_run(run, disk / "out")
    assert (disk / "out").read_text() == "old"
    assert {file.name for file in disk.iterdir()} == {"out", "filler"}


PEAK = """
import resource, sys
from quantum_monitor.store.export import export_run
from quantum_monitor.store.reader import StoredRun

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

run = StoredRun(sys.argv[1])
before = peak()
for format in ("json", "csv", "comprehensive"):
    export_run(run, sys.argv[2], format)
print((peak() - before) // 1024)
"""


def test_memory_does_not_grow_with_the_records_but_for_one_field(
    open_store: StoreFactory, tmp_path: Path, start_program: Callable[..., subprocess.Popen[str]]
) -> None:
    store = open_store()
    fields = {f"field_{number}": float(number) for number in range(20)}
    for step in range(50_000):
        store.put(Record("training", 0.0, step, fields))
    store.close()
    output, _ = start_program(PEAK, store.directory, tmp_path / "out").communicate(timeout=60)
    assert int(output) < 150  # MB; the records as objects need several times as much
