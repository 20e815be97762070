"""Which runs are compared: groups of runs, what each run amounts to, and which of them are left out."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from quantum_monitor.comparison.metrics import COURSES, Metric, at_the_end, kind_of
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.observed import Amount, Observed, observe

Place: TypeAlias = "str | Path | StoredRun"
Runs: TypeAlias = "Place | Named | Iterable[Place]"
"""A group: a run's directory, an experiment's or a storage folder, an opened run, or several of these."""

ENDED = ("completed", "stopped")
OTHER_STATUSES = ("failed", "killed", "running")

_NAMES_AT_MOST = 5


class Named(NamedTuple):
    """Runs under a name of their own, such as the pattern that found them."""

    name: str
    runs: Sequence[Place]


class Extent(NamedTuple):
    """How far a field reaches in a run.

    Attributes:
        first: first step; 0 where the values have no steps in order.
        last: last step, or the number of the last value.
        values: number of values.
        by_step: whether the values have steps in order.
    """

    first: float
    last: float
    values: int
    by_step: bool


@dataclass(frozen=True)
class Member:
    """One run of a group.

    Attributes:
        run: the run.
        info: what its ``run.json`` said.
        status: of the run.
        values: metric key to value; all finite.
        broken: keys of the metrics whose series ends in NaN or infinity: the last finite value is taken.
        extents: of the fields that are compared over the steps.
    """

    run: StoredRun
    info: Mapping[str, Any]
    status: str
    values: Mapping[str, float]
    broken: frozenset[str]
    extents: Mapping[str, Extent]

    @property
    def name(self) -> str:
        """The name that it was given."""
        return str(self.info.get("name") or self.run_id)

    @property
    def experiment(self) -> str:
        """The experiment that it belongs to."""
        return str(self.info.get("experiment", ""))

    @property
    def run_id(self) -> str:
        """Its id."""
        return str(self.info.get("run_id") or self.run.directory.name)

    @property
    def seed(self) -> str | None:
        """The parameter ``seed``, else the tag; None without."""
        for key in ("params", "tags"):
            seed = _mapping(self.info, key).get("seed")
            if seed is not None:
                return _told(seed)
        return None


@dataclass(frozen=True)
class Group:
    """The runs of one side.

    Attributes:
        name: where they come from.
        members: the runs that are compared.
        left_out: those that are not: each with its name and why.
    """

    name: str
    members: tuple[Member, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def values(self, metric: Metric) -> list[float]:
        """The values of a metric, of the runs that have it, in their order."""
        return [member.values[metric.key] for member in self.members if metric.key in member.values]

    @property
    def reasons(self) -> str:
        """Why runs were left out, with how many each; empty if none was."""
        return ", ".join(f"{count} {why}" for why, count in Counter(why for _, why in self.left_out).items())


def group(runs: Runs, include: Collection[str], known: dict[str, Metric]) -> Group:
    """Read the runs of one side.

    Args:
        runs: where they are.
        include: statuses that count beside those of runs that ended.
        known: gets every metric that a run has.

    Raises:
        FileNotFoundError: there is no run at one of the places.
    """
    members, left_out = list[Member](), list[tuple[str, str]]()
    places = _places(runs)
    for run in _opened(places):
        try:
            info, status = run.info, run.status
            name = str(info.get("name") or run.directory.name)
            if status in ENDED or status in include:
                members.append(member(run, info, status, observe(run), known))
            else:
                left_out.append((name, status))
        except (OSError, ValueError, sqlite3.Error):
            left_out.append((run.directory.name, "unreadable"))
    return Group(_name(runs, places), tuple(members), tuple(left_out))


def member(
    run: StoredRun, info: Mapping[str, Any], status: str, observed: Observed, known: dict[str, Metric]
) -> Member:
    """What a run amounts to; ``known`` gets its metrics."""
    values: dict[str, float] = {}
    broken: set[str] = set()

    def last_finite(amount: Amount) -> float | None:
        series = run.series(amount.field, kind=amount.kind, labels=dict(amount.labels)).value
        finite = series[np.isfinite(series)]
        broken.add(f"custom:{amount.field}" if amount.kind == "custom" else f"final_{amount.field}")
        return float(finite[-1]) if len(finite) else None

    for metric, value in at_the_end(info, observed, last_finite):
        known.setdefault(metric.key, metric)
        values[metric.key] = value
    extents = {}
    for field in COURSES:
        amount = observed.one(kind_of(field), field)
        if amount is not None and amount.finite and amount.curve is not None:
            extents[field] = _extent(amount, by_step=amount.curve.by_step)
    return Member(run, info, status, values, frozenset(broken & values.keys()), extents)


def _extent(amount: Amount, *, by_step: bool) -> Extent:
    if by_step:
        return Extent(amount.first_step, amount.last_step, amount.count, by_step=True)
    return Extent(0.0, float(amount.count - 1), amount.count, by_step=False)


def _places(runs: Runs) -> list[Place]:
    if isinstance(runs, Named):
        return list(runs.runs)
    return [runs] if isinstance(runs, (str, Path, StoredRun)) else list(runs)


def _opened(places: Sequence[Place]) -> Iterator[StoredRun]:
    """The runs at all places, each once."""
    seen: set[Path] = set()
    for place in places:
        for run in [place] if isinstance(place, StoredRun) else _found(Path(place)):
            directory = run.directory.resolve()
            if directory not in seen:
                seen.add(directory)
                yield run


def _found(folder: Path) -> list[StoredRun]:
    directories = find_runs(folder)
    if not directories:
        message = f"{folder} holds no runs: give a run's directory, STORAGE/EXPERIMENT/RUN_ID, or a folder of runs"
        raise FileNotFoundError(message)
    return [StoredRun(directory) for directory in directories]


def _name(runs: Runs, places: Sequence[Place]) -> str:
    if isinstance(runs, Named):
        return runs.name
    names = [_run_name(place) if isinstance(place, StoredRun) else str(place) for place in places]
    more = len(names) - _NAMES_AT_MOST
    return ", ".join(names[:_NAMES_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _run_name(run: StoredRun) -> str:
    try:
        return str(run.info.get("name") or run.directory.name)
    except (OSError, ValueError):
        return run.directory.name


def select_runs(storage: str | Path, *wanted: str) -> list[StoredRun]:
    """The runs of a folder that have a name, a parameter or a tag.

    Args:
        storage: a storage folder, or an experiment's.
        wanted: the name of a run, of an experiment, ``EXPERIMENT/NAME``, a parameter or a tag (``optimizer=adam``), a
            pattern of one of these (``vqe-*``), or, where no run fits so, the beginning of an id; a run that fits one
            of them is taken.

    Returns:
        The runs, the earliest start first; empty if none fits.

    Example:
        >>> select_runs("quantum_monitoring", "optimizer=adam")  # doctest: +SKIP
    """
    runs: list[tuple[StoredRun, Mapping[str, Any]]] = []
    for directory in find_runs(storage):
        with contextlib.suppress(OSError, ValueError):  # whoever names its directory hears of it
            run = StoredRun(directory)
            runs.append((run, run.info))
    chosen: set[int] = set()
    for text in wanted:
        named = {place for place, (_, info) in enumerate(runs) if _fits(text, info)}
        # Ids last: they are hexadecimal, so many a short name begins one by chance.
        chosen |= named or {place for place, (run, info) in enumerate(runs) if _begins_id(text, info, run)}
    return [run for place, (run, _) in enumerate(runs) if place in chosen]


def _fits(text: str, info: Mapping[str, Any]) -> bool:
    name, experiment = str(info.get("name", "")), str(info.get("experiment", ""))
    if any(text == told or fnmatch.fnmatchcase(told, text) for told in (name, experiment, f"{experiment}/{name}")):
        return True
    key, equals, value = text.partition("=")
    given = [_mapping(info, kind).get(key) for kind in ("params", "tags")] if equals else []
    return any(told is not None and _is_value(told, value) for told in given)


def _begins_id(text: str, info: Mapping[str, Any], run: StoredRun) -> bool:
    return bool(text) and any(given.startswith(text) for given in (str(info.get("run_id", "")), run.directory.name))


def _is_value(told: object, text: str) -> bool:
    """Whether a text is a value, a pattern of it, or the same number written otherwise (``1e-5``, ``0.00001``)."""
    if fnmatch.fnmatchcase(_told(told), text):
        return True
    with contextlib.suppress(ValueError):
        return isinstance(told, (int, float)) and not isinstance(told, bool) and float(text) == told
    return False


def _mapping(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = info.get(key)
    return found if isinstance(found, Mapping) else {}


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def flat_params(info: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a run as text; those in a mapping as ``outer.inner``."""
    found: dict[str, str] = {}
    stack = list(_mapping(info, "params").items())
    while stack:
        name, value = stack.pop(0)
        if isinstance(value, Mapping) and value:
            stack += [(f"{name}.{inner}", v) for inner, v in value.items()]
        else:
            found[str(name)] = _told(value)
    return found
