"""Retention: which runs are old enough to go, shown first and deleted then."""

from __future__ import annotations

import math
import re
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from quantum_monitor.faults import FAULTS
from quantum_monitor.store import runfile
from quantum_monitor.store.layout import DATABASE, DESCRIPTION, find_runs, is_run, start_time

_DAY = 86_400.0
_UNITS = {"h": 3_600.0, "d": _DAY, "w": 7 * _DAY}
_AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([hdw])\s*\Z")
_GOING = ".deleting-"
# A run of another host that neither ended nor wrote anything for so long has lost its writer.
_SILENCE_MEANS_DEATH = 7 * _DAY


class Retention(TypedDict):
    """What to keep, as the rules of ``plan(storage, **retention)``; None is no rule.

    ``older_than``: runs that ended longer ago than these seconds may go. ``keep_last``: so many runs of each experiment
    stay.
    """

    older_than: float | None
    keep_last: int | None


class RunToDelete(NamedTuple):
    """A run that may go.

    Attributes:
        path: its directory.
        experiment: the experiment's true name.
        name: the run's name, else its id, else its folder's name.
        started: Unix time in seconds.
        size_bytes: what its files hold.
        reason: why it may go, for a person to read.
    """

    path: Path
    experiment: str
    name: str
    started: float
    size_bytes: int
    reason: str


class Deletion(NamedTuple):
    """What became of a plan.

    Attributes:
        deleted: the directories that are gone.
        freed_bytes: what their files held.
        failed: the directories that stayed, and why.
    """

    deleted: list[Path]
    freed_bytes: int
    failed: list[tuple[Path, str]]


def parse_retention(value: str | int, *, field: str = "retention") -> Retention:
    """Read ``"12h"``, ``"30d"``, ``"2w"`` as an age, and a number of at least 1 as the runs to keep of each experiment.

    Raises:
        ValueError: it is none of these; names ``field``.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Retention(older_than=None, keep_last=value)
    if isinstance(value, str):
        if value.strip().isdecimal() and int(value) >= 1:
            return Retention(older_than=None, keep_last=int(value))
        age = _AGE.match(value)
        if age and 0 < (seconds := float(age[1]) * _UNITS[age[2]]) < math.inf:
            return Retention(older_than=seconds, keep_last=None)
    message = f'{field} is {value!r}; give an age such as "12h", "30d" or "2w", or a number of runs to keep (1 or more)'
    raise ValueError(message)


def plan(
    storage: str | Path, *, older_than: float | None = None, keep_last: int | None = None, now: float | None = None
) -> list[RunToDelete]:
    """The runs that every given rule lets go, the oldest first; nothing is touched, and no rule lets nothing go.

    A run whose writer lives never goes. Another host's writer counts as alive until its run was silent for a week.

    Args:
        storage: a storage folder (or an experiment's, or a run's).
        older_than: seconds since the end of the run, or since its last record if it has no end.
        keep_last: how many runs of each experiment stay, counted from the latest start.
        now: Unix time in seconds to measure ages from; the present time unless given.

    Raises:
        ValueError: a rule is negative.
    """
    for field, value in (("older_than", older_than), ("keep_last", keep_last)):
        if value is not None and not value >= 0:
            message = f"{field} is {value}; it must be 0 or more"
            raise ValueError(message)
    if older_than is None and keep_last is None:
        return []
    moment = time.time() if now is None else now
    experiments: defaultdict[Path, list[Path]] = defaultdict(list)
    for run in find_runs(storage):
        experiments[run.parent].append(run)
    going: list[RunToDelete] = []
    for runs in experiments.values():
        beyond = runs if keep_last is None else runs[: max(0, len(runs) - keep_last)]
        for run in beyond:
            info = _info(run)
            age = moment - _last_sign_of_life(run, info)
            if (older_than is not None and age <= older_than) or _is_alive(run, info, moment):
                continue
            going.append(_to_delete(run, info, age=None if older_than is None else age, keep_last=keep_last))
    return sorted(going, key=lambda run: run.started)


def delete(plan: Iterable[RunToDelete]) -> Deletion:
    """Delete the runs of a plan, and the experiment folders that are empty then.

    Each run is looked at once more, takes another name first (so that nobody finds half a run) and is removed without
    following symbolic links. What cannot be removed is counted and reported, never raised.
    """
    deleted: list[Path] = []
    failed: list[tuple[Path, str]] = []
    freed = 0
    for run in plan:
        try:
            _delete(run.path)
        except OSError as error:
            FAULTS.rejected("retention", error)
            failed.append((run.path, str(error)))
        else:
            deleted.append(run.path)
            freed += run.size_bytes
    for experiment in {path.parent for path in deleted}:
        _tidy(experiment)
    return Deletion(deleted, freed, failed)


def _delete(run: Path) -> None:
    if not is_run(run):
        message = f"{run} is no longer the directory of a run"
        raise FileNotFoundError(message)
    if _is_alive(run, _info(run), time.time()):
        message = f"{run} is being written"
        raise BlockingIOError(message)
    going = run.with_name(f"{_GOING}{secrets.token_hex(8)}")
    run.rename(going)
    shutil.rmtree(going)


def _tidy(experiment: Path) -> None:
    """Finish deletions that were interrupted, and remove the folder if nothing else is in it."""
    try:
        for left in experiment.glob(f"{_GOING}*"):
            shutil.rmtree(left, ignore_errors=True)
        experiment.rmdir()
    except OSError:
        return  # another run lives there


def _info(run: Path) -> dict[str, Any]:
    try:
        return runfile.read(run / DESCRIPTION)
    except (OSError, ValueError):
        return {}


def _is_alive(run: Path, info: dict[str, Any], now: float) -> bool:
    state = runfile.writer_state(info)
    return state == "alive" or (state == "unknown" and now - _last_write(run) < _SILENCE_MEANS_DEATH)


def _last_sign_of_life(run: Path, info: dict[str, Any]) -> float:
    end = info.get("end_time")
    return float(end) if isinstance(end, (int, float)) else max(start_time(run), _last_write(run))


def _last_write(run: Path) -> float:
    files = (run / DATABASE, run / f"{DATABASE}-wal", run / DESCRIPTION)
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def _to_delete(run: Path, info: dict[str, Any], *, age: float | None, keep_last: int | None) -> RunToDelete:
    reasons = []
    if age is not None:
        reasons.append(f"ended {age / _DAY:.1f} days ago")
    if keep_last is not None:
        reasons.append(f"not among the last {keep_last} of its experiment")
    return RunToDelete(
        path=run,
        experiment=str(info.get("experiment") or run.parent.name),
        name=str(info.get("name") or info.get("run_id") or run.name),
        started=start_time(run),
        size_bytes=sum(file.lstat().st_size for file in run.rglob("*")),
        reason=", ".join(reasons),
    )
