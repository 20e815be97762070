"""run.json: what a run is, in strict JSON, replaced in one piece, with the name of the process that writes it."""

from __future__ import annotations

import json
import math
import os
import platform
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

import psutil

_DEEPEST = 20


def plain(value: Any, *, depth: int = 0) -> Any:
    """Any object as what strict JSON can say: NaN and infinity become None, the unknown becomes its text.

    Never raises, whatever a user put into parameters or tags. Nesting beyond 20 levels becomes text.
    """
    try:
        return _plain(value, depth)
    except Exception:  # noqa: BLE001 - a foreign object's own methods may raise anything, as may asking for its class
        return _text(value)


def _plain(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line for each kind of value
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and int.bit_length(value) <= 1024:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _DEEPEST:
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(key): plain(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth=depth + 1) for item in value]
    if callable(to_list := getattr(value, "tolist", None)):  # NumPy scalars and arrays, tensors
        return plain(to_list(), depth=depth + 1)
    return _text(value)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign object's __str__ may raise anything
        return f"<{type(value).__name__}>"


def read(file: Path) -> dict[str, Any]:
    """What a ``run.json`` says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a JSON object.
    """
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"{file} is not JSON ({error}); restore it from a copy, or remove the run's directory"
        raise ValueError(message) from error
    if not isinstance(info, dict):
        message = f"{file} holds a {type(info).__name__}, not a JSON object; restore it from a copy"
        raise ValueError(message)  # noqa: TRY004 - the file's content is wrong, not the type of an argument
    return info


def write(file: Path, info: Mapping[str, Any], *, durable: bool = False) -> None:
    """Replace a ``run.json``; a reader sees the old text or the new one, never half of it."""
    text = json.dumps(plain(info), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(file, durable=durable) as stream:
        stream.write(text + "\n")


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[TextIO]:
    """Open a text file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    Lone surrogates, which UTF-8 cannot hold, are written as backslash escapes (in JSON text, valid ones).

    Args:
        path: the file to write; its folder must exist.
        durable: whether the content must outlast a power failure too (one fsync); a killed process needs none.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def merged(info: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``info`` with ``changes`` on top; where both hold a mapping under a key (``params``, ``tags``), those merge."""
    result = dict(info)
    for key, value in changes.items():
        before = result.get(key)
        result[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def this_writer() -> dict[str, Any]:
    """This process, told so that a later one with the same number is not taken for it."""
    return {"pid": os.getpid(), "started": _birth(os.getpid()), "host": socket.gethostname()}


def writer_state(info: Mapping[str, Any]) -> Literal["alive", "gone", "unknown"]:
    """Whether the process that writes a run still lives; ``unknown`` when it belongs to another host."""
    writer = info.get("writer")
    if not isinstance(writer, Mapping) or not isinstance(writer.get("pid"), int):
        return "gone"
    if writer.get("host") != socket.gethostname():
        return "unknown"
    birth = _birth(writer["pid"])
    return "alive" if birth is not None and birth == writer.get("started") else "gone"


def environment() -> dict[str, Any]:
    """The machine and the Python a run ran on."""
    return {"python": platform.python_version(), "platform": platform.platform(), "cpus": os.cpu_count()}


def _birth(pid: int) -> str | None:
    """When a process began, as a mark that no change of the clock moves; None if it is gone or a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.Error:
        return None
