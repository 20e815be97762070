"""How far the delivery of a run to a destination has come: kept beside the run, changed by one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from quantum_monitor.store.copying import open_regular
from quantum_monitor.store.layout import safe_name
from quantum_monitor.store.runfile import replacing

FOLDER = "trackers"

_LONGEST = 64 * 2**20
_LARGEST = 2**53


class BusyError(Exception):
    """Another process delivers this run to this destination."""


@dataclass
class State:
    """What was acknowledged.

    Attributes:
        tracker: the tracker's name, for people who read the file.
        destination: where it was delivered to.
        cursor: sequence number of the last record that was acknowledged.
        time: Unix time of that record in seconds.
        known: what the tracker wants to be handed when it opens the run again.
        url: where a person finds the run.
        rows: what `Rows.remember` said at the cursor.
        sent: digest of each parameter and tag as it was delivered.
        artifacts: number of the last artifact delivered.
        dropped: how many rows, parameters, tags and artifacts the service refused for good.
        closed: the status with which the run was closed; empty while it is open.
    """

    tracker: str = ""
    destination: str = ""
    cursor: int = 0
    time: float = 0.0
    known: dict[str, str] = field(default_factory=dict)
    url: str = ""
    rows: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    artifacts: int = 0
    dropped: int = 0
    closed: str = ""


class StateFile:
    """The state of one delivery, on disk where there is one.

    Args:
        directory: the run's directory; None keeps the state in memory.
        tracker: the tracker's name.
        destination: where it delivers to; each has a state of its own.
    """

    def __init__(self, directory: Path | None, tracker: str, destination: str) -> None:
        digest = hashlib.sha256(destination.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        self._path = None if directory is None else directory / FOLDER / f"{safe_name(tracker)}-{digest}.json"
        self._lock: int | None = None
        self._fresh = State(tracker=tracker, destination=destination)

    def lock(self) -> bool:
        """Claim the delivery for this process until `unlock`, or until its end however it ends.

        Returns:
            Whether it was not claimed before: another process may have gone on with it meanwhile.

        Raises:
            BusyError: another process has it.
            OSError: the disk does not allow it.
        """
        if self._lock is not None or self._path is None:
            return False
        self._path.parent.mkdir(exist_ok=True)
        if self._path.parent.is_symlink():  # in a folder that was copied from elsewhere it may lead anywhere
            raise OSError(f"{self._path.parent} is a link; put the folder itself there")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self._path.with_suffix(".lock"), flags, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise BusyError("another process delivers this run there at the moment") from None
        except OSError:  # a file system without locks: two deliveries at once do no harm that anybody sees
            pass
        self._lock = lock
        return True

    def unlock(self) -> None:
        """Give the claim back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> State:
        """The state as it was saved last; a fresh one where there is none, or none that can be read."""
        saved = None if self._path is None else _read(self._path)
        if not isinstance(saved, dict) or saved.get("destination") != self._fresh.destination:
            saved = {}
        return State(**{**asdict(self._fresh), **_checked(saved)})

    def save(self, state: State) -> None:
        """Replace the saved state in one piece.

        Raises:
            OSError: the disk does not allow it.
        """
        if self._path is not None:
            with replacing(self._path) as stream:
                json.dump(asdict(state), stream, indent=1)


def destinations(directory: Path, tracker: str) -> list[str]:
    """Where a tracker has delivered a run to, or has begun to, in the order of the alphabet."""
    found = []
    for path in (directory / FOLDER).glob(f"{safe_name(tracker)}-*.json"):
        saved = _read(path)
        if isinstance(saved, dict) and saved.get("tracker") == tracker and isinstance(saved.get("destination"), str):
            found.append(saved["destination"])
    return sorted(found)


def _read(path: Path) -> Any:
    """What a state file holds; None where it is no file, or no JSON."""
    try:
        with os.fdopen(open_regular(path, follow=False), encoding="utf-8") as stream:
            return json.loads(stream.read(_LONGEST))
    except (OSError, ValueError, RecursionError):
        return None


def _checked(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those fields that have the type they should have: a folder that was copied from elsewhere may hold anything."""
    defaults = {f.name: type(getattr(State(), f.name)) for f in fields(State)}
    given = {name: saved[name] for name, kind in defaults.items() if type(saved.get(name)) is kind}
    texts = [given.get("known", {}), given.get("sent", {})]
    counts = [given.get(name, 0) for name in ("cursor", "artifacts", "dropped")]
    if (
        not all(isinstance(value, str) for mapping in texts for value in mapping.values())
        or not all(0 <= count <= _LARGEST for count in counts)
        or not math.isfinite(given.get("time", 0.0))
    ):
        return {}
    given.pop("tracker", None)
    given.pop("destination", None)
    return given
