"""Which frameworks can be instrumented, and how each is found: loaded already, or watched for until it is."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks.patches import Patches
from quantum_monitor.log import LOG
from quantum_monitor.process import OPEN


@dataclass(frozen=True)
class Integration:
    """One file here that instruments something.

    Attributes:
        framework: what people call it: ``qiskit``.
        module: the name of our file, with a function ``install(patches)``.
        trigger: the module of theirs that has to be loaded first.
        distribution: the package that brings it.
        minimum: the lowest version it was tried with.
    """

    framework: str
    module: str
    trigger: str
    distribution: str
    minimum: str


INTEGRATIONS = (
    Integration("pennylane", "pennylane", "pennylane", "pennylane", "0.42"),
    Integration("qiskit", "qiskit", "qiskit", "qiskit", "1.4"),
    Integration("qiskit", "qiskit_transpiler", "qiskit.transpiler", "qiskit", "1.4"),
    Integration("qiskit", "qiskit_runtime", "qiskit_ibm_runtime", "qiskit-ibm-runtime", "0.30"),
    Integration("cirq", "cirq", "cirq", "cirq-core", "1.5"),
    Integration("braket", "braket", "braket.devices", "amazon-braket-sdk", "1.100"),
    Integration("braket", "braket_aws", "braket.aws", "amazon-braket-sdk", "1.100"),
)
_TELLS = "__quantum_monitor__"
FRAMEWORKS = tuple(dict.fromkeys(integration.framework for integration in INTEGRATIONS))


class Installed:
    """The integrations that are on in this process, or wait for their framework.

    What is imported here, in the course of installing, may wait for a module that another thread is importing, and
    that thread comes here when it has it: so nothing is imported, and nobody waits, while the lock is held.
    """

    def __init__(self) -> None:
        self._patches: dict[Integration, Patches] = {}
        self._waiting: set[Integration] = set()
        self._finder = _Finder(self._loaded)
        self.after_fork()

    def after_fork(self) -> None:
        """Begin with a lock that no thread holds: at construction, and in a forked child."""
        self._lock = threading.RLock()

    def add(self, frameworks: Iterable[str]) -> None:
        """Instrument these frameworks now where they are loaded, else as soon as they are."""
        with self._lock:
            for integration in INTEGRATIONS:
                if integration.framework in frameworks and integration not in self._patches:
                    self._finder.watched[integration.trigger] = None
                    self._patches[integration] = Patches()
                    self._waiting.add(integration)
            if self._finder not in sys.meta_path:
                sys.meta_path.insert(0, self._finder)
            waiting = self._in_order(self._waiting)
        for integration in waiting:
            if integration.trigger in sys.modules and not _is_loaded(integration.trigger):
                with contextlib.suppress(Exception):  # another thread is at it, and hears of it itself
                    importlib.import_module(integration.trigger)
            if _is_loaded(integration.trigger):
                self._install(integration)

    def clear(self) -> None:
        """Give everything back."""
        with self._lock:
            if self._finder in sys.meta_path:
                sys.meta_path.remove(self._finder)
            self._finder.watched.clear()
            self._waiting.clear()
            for patches in reversed(self._patches.values()):
                patches.undo()
            self._patches.clear()

    def _loaded(self, trigger: str) -> None:
        """A module was loaded, or loaded anew; those below it that waited for the end of its import are, too."""
        with self._lock:
            again = {known for known in self._patches if known.trigger == trigger}
            below = {
                known for known in self._waiting if known.trigger.startswith(f"{trigger}.") and _is_there(known.trigger)
            }
            self._waiting |= again
        for integration in self._in_order(again | below):
            self._install(integration)

    def _install(self, integration: Integration) -> None:
        with self._lock:
            if integration not in self._waiting:
                return  # another thread is at it, or it was given back
            self._waiting.remove(integration)
            before = self._patches[integration]
            patches = self._patches[integration] = Patches()
        before.undo()
        try:
            install(integration, patches)
        except Exception as error:  # noqa: BLE001 - a framework that changed under us is left alone
            patches.undo()
            _warn(integration, error)
        with self._lock:
            if self._patches.get(integration) is not patches:
                patches.undo()  # it was given back meanwhile
        for monitor in OPEN:
            run = monitor.active_run
            if run is not None:
                run.note_framework()

    @staticmethod
    def _in_order(integrations: set[Integration]) -> list[Integration]:
        return [integration for integration in INTEGRATIONS if integration in integrations]


def install(integration: Integration, patches: Patches) -> None:
    """Wrap what an integration wraps.

    Raises:
        Exception: the framework is too old, or not what it was.
    """
    ours(integration).install(patches)


def ours(integration: Integration) -> Any:
    """Our module for it, imported where the version will do.

    Raises:
        ValueError: it is too old.
    """
    found = _version(integration.distribution)
    if found is not None and _numbers(found) < _numbers(integration.minimum):
        raise ValueError(f"{integration.distribution} {found} is older than {integration.minimum}: upgrade it")
    return importlib.import_module(f"quantum_monitor.frameworks.{integration.module}")


def loaded() -> list[Integration]:
    """The integrations whose framework is loaded."""
    return [integration for integration in INTEGRATIONS if _is_loaded(integration.trigger)]


def absent(frameworks: Iterable[str]) -> list[str]:
    """Those of the frameworks that are not installed."""
    first = {integration.framework: integration for integration in reversed(INTEGRATIONS)}
    return [name for name in frameworks if _version(first[name].distribution) is None]


def _warn(integration: Integration, error: Exception) -> None:
    found = _version(integration.distribution) or "of unknown version"
    LOG.warning("%s %s is not instrumented (%s): %s", integration.distribution, found, integration.module, error)
    FAULTS.errors["instrument"] += 1


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _numbers(release: str) -> tuple[int, ...]:
    """The release numbers at the start of a version."""
    numbers = []
    for part in release.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _is_loaded(name: str) -> bool:
    """Whether a module, and the packages that it is in, are loaded to their ends."""
    parts = name.split(".")
    return all(_is_there(".".join(parts[: number + 1])) for number in range(len(parts)))


def _is_there(name: str) -> bool:
    """Whether a module itself is loaded to its end."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return module is not None and not getattr(spec, "_initializing", False)


class _Finder:
    """Stands first in ``sys.meta_path``, finds nothing itself, and has whoever waits told when a module is loaded."""

    def __init__(self, then: Callable[[str], None]) -> None:
        self.watched: dict[str, None] = {}
        self._then = then
        self._here = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """What the finders behind this one find, with a loader that tells when it is done."""
        if name not in self.watched or getattr(self._here, "searching", False):
            return None
        self._here.searching = True  # one of them may ask all finders again
        try:
            spec = self._search(name, path, target)
        finally:
            self._here.searching = False
        if spec is not None and spec.loader is not None:
            self._tell_after(spec.loader)
        return spec

    def _search(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                return spec
        return None

    def _tell_after(self, loader: Any) -> None:
        # On the loader's instance, so that whoever asks what kind of loader it is hears the truth.
        original = getattr(loader, "exec_module", None)
        if original is None or isinstance(loader, type) or hasattr(original, _TELLS):
            return

        def exec_module(module: ModuleType) -> None:
            original(module)
            if module.__name__ in self.watched:  # the loader of a zip archive loads all that is in it
                self._then(module.__name__)

        setattr(exec_module, _TELLS, True)
        with contextlib.suppress(AttributeError, TypeError):  # one that takes no attributes
            loader.exec_module = exec_module
