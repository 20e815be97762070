"""Export of a stored run: JSON for programs, CSV for spreadsheets, everything for an archive."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from quantum_monitor.record import Record
from quantum_monitor.store.history import summarise
from quantum_monitor.store.reader import FieldSeries, Numbers, StoredRun
from quantum_monitor.store.runfile import plain, replacing

_NUMBERS_AT_ONCE = 10_000
_COLUMNS_AT_MOST = 1_000
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export_run(run: StoredRun, path: str | Path, format: str = "json") -> Path:  # noqa: A002 - the word users know
    """Write a run to one file, which takes its place only when it is complete.

    - ``json``: ``run`` (what run.json says) and ``series``: for each field a list of ``{kind, labels, time, step,
      value}``, one entry for each kind and set of labels.
    - ``csv``: one row for each record: time, step, kind, labels (JSON) and a column for each field; an empty cell was
      not measured. Beyond 1,000 fields the rest share the last column, ``other_fields`` (JSON). A text that a
      spreadsheet would run as a formula gets an apostrophe in front.
    - ``comprehensive``: the same as ``json``, and ``environment``, ``summary`` (latest, mean, std, min, max, count and
      trend of each series) and ``records`` in the order they were logged.

    JSON is strict: NaN and infinity are null. Times are Unix seconds.

    Returns:
        The path of the file.

    Raises:
        ValueError: ``format`` is none of these.
        OSError: the file cannot be written.
    """
    if format not in _FORMATS:
        message = f"format is {format!r}; it must be one of {', '.join(_FORMATS)}"
        raise ValueError(message)
    target = Path(path)
    with replacing(target) as stream:
        _FORMATS[format](run, stream)
    return target


def _write_json(run: StoredRun, stream: TextIO) -> None:
    stream.write('{\n"run": ' + _json(_description(run)))
    stream.write(',\n"series": {')
    for _ in _write_series(run, stream):
        pass
    stream.write("\n}\n}\n")


def _write_comprehensive(run: StoredRun, stream: TextIO) -> None:
    info = _description(run)
    stream.write('{\n"run": ' + _json(info))
    stream.write(',\n"environment": ' + _json(info.get("environment") or {}))
    stream.write(',\n"series": {')
    summary: dict[str, list[dict[str, Any]]] = {}
    for field, kind, labels, series in _write_series(run, stream):
        numbers = {"kind": kind, "labels": labels, **summarise(series.value.tolist())}
        summary.setdefault(field, []).append(numbers)
    stream.write('\n},\n"summary": ' + _json(summary))
    stream.write(',\n"records": [')
    comma = ""
    for sequence, record in run.records():
        row = {"sequence": sequence, **record._asdict(), "fields": dict(record.fields), "labels": dict(record.labels)}
        stream.write(f"{comma}\n{_json(row)}")
        comma = ","
    stream.write("\n]\n}\n")


def _write_series(run: StoredRun, stream: TextIO) -> Iterator[FieldSeries]:
    """Write the inside of the object ``series``, one array after the other; yields each series it wrote."""
    field = None
    for found in run.all_series():
        if found.field != field:
            stream.write(("\n],\n" if field is not None else "\n") + f"{_json(found.field)}: [\n")
            field = found.field
        else:
            stream.write(",\n")
        stream.write(f'{{"kind": {_json(found.kind)}, "labels": {_json(found.labels)}')
        for name, numbers in zip(("time", "step", "value"), found.series, strict=True):
            stream.write(f', "{name}": [')
            _write_numbers(numbers, stream, whole=name == "step")
            stream.write("]")
        stream.write("}")
        yield found
    if field is not None:
        stream.write("\n]")


def _write_numbers(numbers: Numbers, stream: TextIO, *, whole: bool) -> None:
    for start in range(0, len(numbers), _NUMBERS_AT_ONCE):
        some = numbers[start : start + _NUMBERS_AT_ONCE].tolist()
        values = [(int(value) if whole else value) if math.isfinite(value) else None for value in some]
        stream.write((", " if start else "") + json.dumps(values, allow_nan=False)[1:-1])


def _write_csv(run: StoredRun, stream: TextIO) -> None:
    fields = run.fields()
    columns = {field: number for number, field in enumerate(fields[:_COLUMNS_AT_MOST])}
    rest = ["other_fields"] if len(fields) > _COLUMNS_AT_MOST else []
    table = csv.writer(stream, lineterminator="\r\n")  # quotes both, as RFC 4180 has it
    table.writerow([_cell(name) for name in ("time", "step", "kind", "labels", *columns, *rest)])
    table.writerows(_row(record, columns, rest=bool(rest)) for _, record in run.records())


def _row(record: Record, columns: dict[str, int], *, rest: bool) -> list[object]:
    cells: list[object] = [""] * len(columns)
    others: dict[str, float] = {}
    for field, value in record.fields.items():
        column = columns.get(field)
        if column is None:  # beyond the columns, or logged since they were counted
            others[field] = value
        else:
            cells[column] = value
    labels = _cell(_json(dict(record.labels))) if record.labels else ""
    step = "" if record.step is None else record.step
    return [record.time, step, _cell(record.kind), labels, *cells, *([_json(others) if others else ""] if rest else [])]


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text


def _description(run: StoredRun) -> dict[str, Any]:
    info = {**run.info, "status": run.status}
    info.pop("writer", None)
    return info


def _json(value: object) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


_FORMATS: dict[str, Callable[[StoredRun, TextIO], None]] = {
    "json": _write_json,
    "csv": _write_csv,
    "comprehensive": _write_comprehensive,
}
