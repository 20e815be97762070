"""A script run in this process as ``python`` runs it: its arguments, its path, its ``__main__``, and its own end."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pkgutil
import runpy
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import BuiltinImporter, SourceFileLoader
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

from quantum_monitor import process

_FATAL = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_STDIN = "-"
_ANNOTATIONS: dict[str, Any] = {"__annotations__": {}} if sys.version_info < (3, 14) else {}
"""What Python has in ``__main__`` from the start, until it came to make annotations when somebody asks."""
_LOADED_BEFORE = r".* found in sys\.modules after import of package"


class ScriptError(Exception):
    """There is nothing to run; says why, in one line.

    Attributes:
        status: the exit status that ``python`` has for it.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Script:
    """What is to be run, found and compiled.

    Attributes:
        name: what a run of it is called after.
        run: runs it, with ``__main__`` in place.
        main: what ``__main__`` holds at first.
        module: the module that it is, where it was named as one.
    """

    name: str
    run: Callable[[], object]
    main: Mapping[str, Any] = field(default_factory=dict)
    module: str | None = None

    def __call__(self) -> int:
        """Run it as ``__main__``; what it raises goes through, its exit and an interrupt included.

        What is open at exit ends as it does: completed, failed, or stopped by Ctrl-C or by a signal that kills.
        """
        main = ModuleType("__main__")
        main.__dict__.update({"__builtins__": builtins, **_ANNOTATIONS, **self.main})
        sys.modules["__main__"] = main
        _end_runs_when_killed()
        try:
            self.run()
        except BaseException as error:
            process.end_as(_status(error), _ended_by(error))
            _show_tracebacks_as_python_does()
            raise
        process.end_as("completed")
        return 0


def file(path: str, arguments: list[str]) -> Script:
    """A script, a folder or zip archive with a ``__main__.py``, or the script on stdin for ``-``.

    From here on, ``sys.argv`` and ``sys.path`` are the script's.

    Raises:
        ScriptError: there is none, or it cannot be read.
        SyntaxError: it is no Python; shown as ``python`` shows it.
    """
    sys.argv[:] = [path, *arguments]
    if path == _STDIN:
        _search_first("")
        main: dict[str, Any] = {"__file__": "<stdin>", "__cached__": None, "__loader__": BuiltinImporter}
        return _compiled("stdin", sys.stdin.buffer.read() if sys.stdin else b"", "<stdin>", main)
    whole = os.path.abspath(path)  # noqa: PTH100 - as text, without "..", links unresolved: what Python does
    if pkgutil.get_importer(path) is not None:
        _search_first(whole, always=True)
        _find(lambda: runpy._get_main_module_details(runpy._Error))  # type: ignore[attr-defined]
        return Script(Path(path).resolve().stem, lambda: _run_module("__main__", named=False))
    try:
        with io.open_code(whole) as stream:
            source = stream.read()
    except OSError as error:
        raise ScriptError(f"can't open file {whole!r}: [Errno {error.errno}] {error.strerror}", 2) from error
    _search_first(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120 - as text
    main = {"__file__": whole, "__cached__": None, "__loader__": SourceFileLoader("__main__", whole)}
    return _compiled(Path(path).stem, source, whole, main)


def module(name: str, arguments: list[str]) -> Script:
    """A module, or the ``__main__`` of a package; otherwise as `file`.

    The packages around it are imported to find it, as ``python -m`` does.
    """
    _search_first(os.getcwd())  # noqa: PTH109 - as text
    sys.argv[:] = ["-m", *arguments]
    is_ours = name in sys.modules
    _find(lambda: runpy._get_module_details(name, runpy._Error))  # type: ignore[attr-defined]
    if is_ours:  # under `python` there would be nothing to warn of
        warnings.filterwarnings("ignore", _LOADED_BEFORE, RuntimeWarning)
    return Script(name, lambda: _run_module(name, named=True), module=name)


def _compiled(name: str, source: bytes, filename: str, main: Mapping[str, Any]) -> Script:
    try:
        code = compile(source, filename, "exec", dont_inherit=True)
    except BaseException:
        _show_tracebacks_as_python_does()
        raise

    def run() -> None:
        exec(code, vars(sys.modules["__main__"]))  # noqa: S102 - that is what it is for

    return Script(name, run, {"__package__": None, "__spec__": None, "__doc__": None, **main})


# From here on, what `python` itself calls for `-m`, for folders and for archives, so that errors, warnings and
# tracebacks are the same; pdb does likewise.


def _find(look: Callable[[], object]) -> None:
    """Look for a module: what is not there is said before anything is started, and all else when it runs."""
    warnings.filterwarnings("ignore", _LOADED_BEFORE, RuntimeWarning)
    said_later = warnings.filters[0]
    try:
        look()
    except runpy._Error as error:  # type: ignore[attr-defined]
        raise ScriptError(str(error), 1) from error
    except BaseException:  # the package around it
        _show_tracebacks_as_python_does()
        raise
    finally:
        with contextlib.suppress(ValueError):  # the package may have filters of its own
            warnings.filters.remove(said_later)  # type: ignore[attr-defined]


def _run_module(name: str, *, named: bool) -> None:
    runpy._run_module_as_main(name, alter_argv=named)  # type: ignore[attr-defined]


def _search_first(folder: str, *, always: bool = False) -> None:
    """Replace the first folder of ``sys.path``, which is ours, unless Python was told to put none there."""
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):  # Python 3.10 knows `-I` only
        sys.path[:1] = [folder]
    elif always:
        sys.path.insert(0, folder)


def _status(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    if not isinstance(error, SystemExit):
        return "failed"
    code = error.code
    # Of a number, the system sees the last byte.
    return "completed" if code is None or (isinstance(code, int) and code & 0xFF == 0) else "failed"


def _ended_by(error: BaseException) -> str | None:
    """What ended a script, for its run: no message, which may hold secrets."""
    if _status(error) == "completed":
        return None
    if not isinstance(error, SystemExit):
        return type(error).__name__
    return f"exit status {error.code & 0xFF if isinstance(error.code, int) else 1}"


def _show_tracebacks_as_python_does() -> None:
    """Leave our own calls out of the traceback that is about to be shown, whoever shows it."""
    show = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        trace = sys.last_traceback = _below_ours(trace)
        show(kind, error.with_traceback(trace), trace)

    sys.excepthook = hook


def _below_ours(trace: TracebackType | None) -> TracebackType | None:
    below = trace
    while trace is not None:
        at, trace = trace, trace.tb_next
        if at.tb_frame.f_code.co_filename == __file__:
            below = trace
    return below


def _end_runs_when_killed() -> None:
    """Have runs ended, as stopped, by a signal that kills; one that the script handles or ignores is the script's."""
    for number in _FATAL:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _die)


def _die(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # first: who sends it twice does not want to wait
    try:
        process.end_as("stopped", signal.Signals(number).name)
        process.close_all("stopped")
    finally:
        os.kill(os.getpid(), number)


# A forked child has no run to end, and dies at once. A signal that comes before it has learnt that waits until it has:
# a handler that is taken back meanwhile would swallow it.


class _Forking(threading.local):
    blocked_before: set[signal.Signals] | set[int] | None = None


_FORKING = _Forking()


def _handled() -> set[signal.Signals]:
    return {number for number in _FATAL if signal.getsignal(number) is _die}


def _before_fork() -> None:
    if handled := _handled():
        _FORKING.blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, handled)


def _after_fork_in_child() -> None:
    for number in _handled():
        signal.signal(number, signal.SIG_DFL)
    _after_fork()


def _after_fork() -> None:
    blocked, _FORKING.blocked_before = _FORKING.blocked_before, None
    if blocked is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child, after_in_parent=_after_fork)
