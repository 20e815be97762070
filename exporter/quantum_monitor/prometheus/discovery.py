"""Announces the endpoint to Prometheus: a ``file_sd`` target file in a folder, kept fresh, taken back at the end.

Labels that begin with ``__meta_`` are for whoever writes ``relabel_configs``; Prometheus drops them afterwards. They
also let the next process that announces itself tell whether the process behind a file still lives.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from quantum_monitor.faults import FAULTS

_META = "__meta_quantum_monitor_"
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_EVERY_INTERFACE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
_FILE_BYTES_AT_MOST = 65_536
# The start of a process is known to the tick of a clock that may be set while it runs.
_SAME_START_SECONDS = 5.0
# A file nobody refreshed for so long is stale even if its process cannot be looked up from here.
_STALE_SECONDS = 600.0
_MISSED_SECONDS = 300.0


def target_address(host: str, port: int) -> str:
    """Return ``host:port`` as others reach it: this machine's name for "every interface", brackets around IPv6."""
    if host in _EVERY_INTERFACE:
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Announcement:
    """The target file of one endpoint.

    Attributes:
        path: the file. In a forked child it belongs to the parent: there all methods do nothing.
    """

    def __init__(self, path: Path, content: str, *, refresh_every: float | None) -> None:
        self.path = path
        self._content = content
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._withdrawn = threading.Event()
        self.refresh()
        atexit.register(self.withdraw)
        if refresh_every is not None:
            threading.Thread(
                target=self._keep_fresh, args=(refresh_every,), name="quantum-monitor-discovery", daemon=True
            ).start()

    def refresh(self) -> None:
        """Show that the endpoint is there: write the file again if it is gone or changed, else its time."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            if self._withdrawn.is_set():
                return
            try:
                if _read(self.path) == self._content:
                    os.utime(self.path)
                else:
                    _replace(self.path, self._content)
            except OSError as error:
                FAULTS.rejected("discovery", error)

    def withdraw(self) -> None:
        """Take the file back. A second call is harmless."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            if self._withdrawn.is_set():
                return
            self._withdrawn.set()
            atexit.unregister(self.withdraw)
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                FAULTS.rejected("discovery", error)

    def _keep_fresh(self, seconds: float) -> None:
        while not self._withdrawn.wait(seconds):
            self.refresh()


def announce(
    directory: str | Path,
    *,
    host: str,
    port: int,
    scheme: str = "http",
    labels: Mapping[str, str] | None = None,
    refresh_every: float | None = 30.0,
) -> Announcement:
    """Write the target file of an endpoint, and remove those that dead processes of this machine left behind.

    What they left stays for five minutes, in which Prometheus finds that they do not answer.

    Args:
        directory: the folder that Prometheus watches (``files: [DIRECTORY/*.json]``); made if it does not exist. One
            that cannot be written is counted and tried again at every refresh.
        host: the address that is listened on; "every interface" is announced as this machine's name.
        port: the port that is listened on.
        scheme: ``http`` or ``https``.
        labels: labels for all series of the target.
        refresh_every: seconds between refreshes by a thread; None for no thread.

    Raises:
        ValueError: a label name that Prometheus does not accept, or one reserved for it.
    """
    folder = Path(directory).absolute()
    meta = {"host": socket.gethostname(), "pid": str(os.getpid()), "pid_namespace": _pid_namespace()}
    with contextlib.suppress(psutil.Error, OSError):  # without it the file goes stale by its age only
        meta["process_start"] = repr(psutil.Process().create_time())
    target = {
        "targets": [target_address(host, port)],
        "labels": {
            **_checked(labels or {}),
            **({"__scheme__": scheme} if scheme != "http" else {}),
            **{_META + name: value for name, value in meta.items()},
        },
    }
    with contextlib.suppress(OSError):  # the announcement itself reports a folder that cannot be used
        _remove_stale(folder)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", meta["host"])
    path = folder / f"{name}-{meta['pid']}-{port}.json"
    return Announcement(path, json.dumps([target], indent=1) + "\n", refresh_every=refresh_every)


def _checked(labels: Mapping[Any, object]) -> dict[str, str]:
    for name in labels:
        if not isinstance(name, str) or not _LABEL_NAME.fullmatch(name) or name.startswith("__"):
            raise ValueError(
                f"labels: {name!r} is not a label name; use letters, digits and underscores, no digit first, and not"
                " two underscores first"
            )
    return {name: str(value) for name, value in labels.items()}


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_FILE_BYTES_AT_MOST)
    except FileNotFoundError:
        return None


def _replace(path: Path, content: str) -> None:
    """Write a file in one step, readable by whoever the folder is shared with; a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not *.json, so Prometheus does not look at it; a name that nobody can foresee, so nobody can put a link there.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_stale(folder: Path) -> None:
    for path in folder.glob("*.json"):
        try:
            if _is_stale(path):
                path.unlink(missing_ok=True)
        except OSError as error:
            FAULTS.rejected("discovery", error)


def _is_stale(path: Path) -> bool:
    """Tell whether a file is one of ours, from this machine, of a process that has been gone for a while.

    Until then its target fails in Prometheus, which is how a killed process is told from one that ended in order.
    """
    labels = _labels_of(path)
    age = time.time() - path.stat().st_mtime
    if labels.get(_META + "host") != socket.gethostname() or age < _MISSED_SECONDS:
        return False
    if labels.get(_META + "pid_namespace") != _pid_namespace():
        # Another container: its process ids mean nothing here.
        return age > _STALE_SECONDS
    try:
        pid, start = int(labels[_META + "pid"]), float(labels[_META + "process_start"])
        return abs(psutil.Process(pid).create_time() - start) > _SAME_START_SECONDS
    except psutil.AccessDenied:
        return False
    except psutil.NoSuchProcess:
        return True
    except (KeyError, TypeError, ValueError, OverflowError):
        return False


def _labels_of(path: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads(_read(path) or "")[0]["labels"])
    except (KeyError, IndexError, TypeError, ValueError):
        return {}


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""  # not Linux: one namespace for all
