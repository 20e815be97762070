"""Plug-ins: a person's own metrics of a state, a circuit or a gradient, alerts and figures of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any, TypeVar, cast

import numpy as np

from quantum_monitor.alerts.rules import BY_KEY, MetricRule, nearest, read_alert_config
from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG
from quantum_monitor.names import label_value, text

Function = TypeVar("Function", bound=Callable[..., Any])
OnError = Callable[[str, object], None]

ENTRY_POINT_GROUPS = ("quantum_monitor.metrics", "quantum_monitor.alerts", "quantum_monitor.figures")
FAILURES_IN_A_ROW = 10
"""After so many a plug-in is switched off."""
_NAME_LENGTH = 128


@dataclass(eq=False)
class Plugin:
    """A plug-in, and how often it failed in a row; an alert has a rule, and the record kind that it is judged on."""

    name: str
    kind: str
    function: Callable[[Any], Any]
    failures: int = 0
    first_cause: str = ""
    rule: MetricRule | None = None
    on: str = ""


STATE: list[Plugin] = []
"""The plug-ins of a state that are on; empty means that ``evaluate`` need not be called."""
CIRCUIT: list[Plugin] = []
"""Likewise of a circuit."""
GRADIENT: list[Plugin] = []
"""Likewise of a gradient."""
ALERTS: list[Plugin] = []
"""Likewise the alerts of the user's own; what they are called with is told by their rules."""
FIGURES: list[Plugin] = []
"""Likewise the figures of the user's own, which are called with a stored run."""
_BY_KIND = {"state": STATE, "circuit": CIRCUIT, "gradient": GRADIENT, "alert": ALERTS, "figure": FIGURES}
_ALERT_KINDS = ("training", "state", "circuit")


def state_metric(name: str | None = None) -> Callable[[Function], Function]:
    """Register a function of a quantum state as a metric.

    The function is called with the normalised amplitudes, shape (2**n,), or the density matrix, shape (2**n, 2**n),
    as a read-only NumPy array, and returns a number, or a mapping of names to numbers, empty where there is nothing to
    measure. The numbers land in ``quantum_custom_metric``.

    Args:
        name: of the metric, cut at 128 characters; the function's own name unless given. A later function of the same
            name replaces the earlier one, so a notebook cell may be run again.

    Raises:
        TypeError: written without parentheses.
        ValueError: the name is empty.

    Example:
        >>> @state_metric("ground_population")
        ... def ground_population(state):
        ...     return abs(state[0]) ** 2
        >>> evaluate("state", [0.6, 0.8])
        {'ground_population': 0.36}
        >>> unregister("ground_population")
    """
    return _PLUGINS.registering("state", name)


def circuit_metric(name: str | None = None) -> Callable[[Function], Function]:
    """Register a function of a circuit as handed to ``log_circuit_execution``; else like ``state_metric``."""
    return _PLUGINS.registering("circuit", name)


def gradient_metric(name: str | None = None) -> Callable[[Function], Function]:
    """Register a function of a gradient as handed to ``log_training_step``; else like ``state_metric``."""
    return _PLUGINS.registering("gradient", name)


def alert_rule(
    name: str,
    *,
    above: float | None = None,
    below: float | None = None,
    severity: str = "medium",
    hold: float | str = 0,
    on: str = "training",
) -> Callable[[Function], Function]:
    """Register a function as an alert of your own.

    The function is called in the training thread with the fields of every record of a kind, as numbers by name
    (``loss``, ``gradient_norm`` ... as ``docs/metrics.md`` has them without their prefix), and returns the value to
    judge, or None where there is nothing to judge. One that is registered while a run goes on is judged within a
    second. ``alert_config`` can change its threshold, ``{name: 0.2}``, or switch it off, ``{name: None}``.

    Args:
        name: the alert's key: its type in reports and its label ``alert``; none of a built-in alert.
        above: it fires above this ...
        below: ... or below this; one of the two.
        severity: ``high``, ``medium`` or ``low``.
        hold: how long it must last before the alert fires: seconds, or a text such as ``"5m"``.
        on: the record kind: ``training``, ``state`` or ``circuit``.

    Raises:
        ValueError: an argument that cannot be used; says which, and what to give instead.

    Example:
        >>> @alert_rule("overshoot", above=0.5)
        ... def overshoot(fields):
        ...     return fields.get("parameter_change")
        >>> alerts()["overshoot"].threshold
        0.5
        >>> unregister("overshoot")
    """
    given = {"above": above, "below": below}
    sides = {side: limit for side, limit in given.items() if limit is not None}
    if name in BY_KEY:
        raise ValueError(f"name: {name!r} is a built-in alert; give yours another name")
    if on not in _ALERT_KINDS:
        raise ValueError(f"on: {on!r} is no kind of record that alerts are judged on; {nearest(on, _ALERT_KINDS)}")
    entries, problems = read_alert_config({name: {**sides, "severity": severity, "for": hold}})
    if problems:
        raise ValueError(problems[0][1])
    rule = cast("MetricRule", entries[name])  # what a mapping is read as
    return _PLUGINS.registering("alert", name, rule=rule, on=on)


def figure(name: str | None = None) -> Callable[[Function], Function]:
    """Register a function that draws a run: report, static dashboard and live page show its figure like ours.

    The function is called with a ``StoredRun`` and returns a plotly figure, or a matplotlib figure, which is closed
    afterwards, or None where that run has nothing to draw. It is called whenever a view of a run is made, not while the
    training logs. One that raises is told of in its place, and called again for the next view.

    Args:
        name: what stands above the figure, cut at 128 characters; the function's own name unless given. A later
            function of the same name replaces the earlier one.

    Raises:
        TypeError: written without parentheses.
        ValueError: the name is empty.

    Example:
        >>> @figure("Energy against its target")
        ... def energy(run):
        ...     import plotly.graph_objects as go
        ...
        ...     series = run.series("energy", kind="custom")
        ...     return go.Figure(go.Scatter(x=series.step, y=series.value + 1.13727)) if len(series.value) else None
        >>> unregister("Energy against its target")
    """
    return _PLUGINS.registering("figure", name)


def alerts() -> dict[str, MetricRule]:
    """The alerts of the user's own that are on, by name."""
    return {plugin.name: plugin.rule for plugin in tuple(ALERTS) if plugin.rule is not None}


def alert_values(kind: str, fields: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """What the user's own alerts on a record kind make of its fields: name and value; guarded as in `evaluate`."""
    for plugin in tuple(ALERTS):
        if plugin.on == kind:
            value = _guarded(plugin, MappingProxyType(fields), FAULTS.rejected).get(plugin.name)
            if value is not None:
                yield plugin.name, value


def unregister(name: str) -> None:
    """Forget the plug-in metric or alert of that name, and the figure of that name.

    Raises:
        KeyError: there is none.
    """
    _PLUGINS.unregister(label_value(name))


def load_entry_points() -> None:
    """Load the plug-ins of installed packages, once a process.

    An entry point of the groups ``quantum_monitor.metrics``, ``quantum_monitor.alerts`` and ``quantum_monitor.figures``
    names a decorated function, or a module that holds some. One that fails to load is counted and logged, and stops
    neither the others nor the caller.
    """
    _PLUGINS.load_entry_points()


def evaluate(kind: str, value: Any, on_error: OnError = FAULTS.rejected) -> dict[str, float]:
    """Call every plug-in of a kind.

    A plug-in that raises, or returns anything but a number or a mapping of names to numbers, measures nothing: it is
    reported with the cause that it had first, so that a log which keeps one line a cause has one for it. After ten
    failures in a row it is switched off with one warning.

    Args:
        kind: ``state``, ``circuit`` or ``gradient``.
        value: what was logged; a NumPy array is handed on read-only.
        on_error: called with ``plugin:NAME`` and the cause.

    Returns:
        Name to number; NaN where a plug-in measured it.
    """
    plugins = tuple(_BY_KIND[kind])
    if plugins and isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    measured: dict[str, float] = {}
    for plugin in plugins:
        measured.update(_guarded(plugin, value, on_error))
    return measured


class _Plugins:
    """The plug-ins of this process, by name. What it changes in the lists above, it changes in place."""

    def __init__(self) -> None:
        self.after_fork()
        self._by_name: dict[tuple[bool, str], Plugin] = {}
        """By whether it is a figure, which may be named as a metric is, and by name."""
        self._loaded = False

    def after_fork(self) -> None:
        # Reentrant: importing an entry point's module registers what it decorates.
        self._lock = threading.RLock()

    def registering(
        self, kind: str, name: str | None, *, rule: MetricRule | None = None, on: str = ""
    ) -> Callable[[Function], Function]:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name: {name!r} is not a text; write @{_decorator(kind)}() with parentheses")

        def register(function: Function) -> Function:
            own_name = getattr(function, "__name__", "") if name is None else name
            if not own_name.strip():
                raise ValueError(f"name: {own_name!r} is empty; give it a name")
            plugin = Plugin(label_value(own_name), kind, function, rule=rule, on=on)
            key = (kind == "figure", plugin.name)
            with self._lock:
                if key in self._by_name:
                    self.switch_off(self._by_name.pop(key))
                self._by_name[key] = plugin
                _BY_KIND[kind].append(plugin)
            return function

        return register

    def unregister(self, name: str) -> None:
        with self._lock:
            keys = [key for key in ((False, name), (True, name)) if key in self._by_name]
            if not keys:
                raise KeyError(name)
            for key in keys:
                self.switch_off(self._by_name.pop(key))

    def switch_off(self, plugin: Plugin) -> bool:
        """Call it no more; False if it was off already."""
        with self._lock:
            if plugin not in _BY_KIND[plugin.kind]:
                return False
            _BY_KIND[plugin.kind].remove(plugin)
            return True

    def load_entry_points(self) -> None:
        with self._lock:
            if self._loaded:
                return
            self._loaded = True
            from importlib.metadata import entry_points

            for entry_point in chain(*(entry_points(group=group) for group in ENTRY_POINT_GROUPS)):
                where = f"plugin:{entry_point.name[:_NAME_LENGTH]}"
                try:
                    found = entry_point.load()
                except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's module may raise anything
                    FAULTS.rejected(where, error)
                    continue
                if callable(found) and not any(plugin.function is found for plugin in self._by_name.values()):
                    FAULTS.rejected(
                        where,
                        f"{entry_point.value} is undecorated; put @state_metric() or @alert_rule() there, or @figure()",
                    )


_PLUGINS = _Plugins()
os.register_at_fork(after_in_child=_PLUGINS.after_fork)


def _decorator(kind: str) -> str:
    return {"alert": "alert_rule", "figure": "figure"}.get(kind, f"{kind}_metric")


def _guarded(plugin: Plugin, value: Any, on_error: OnError) -> dict[str, float]:
    try:
        result = plugin.function(value)
        # None: an alert that has nothing to judge
        measured = {} if result is None and plugin.rule is not None else _numbers(plugin.name, result)
    except Exception as error:  # noqa: BLE001 - the user's code must not stop the training
        plugin.failures += 1
        plugin.first_cause = plugin.first_cause or f"{type(error).__name__}: {text(error)}"
        on_error(f"plugin:{plugin.name}", plugin.first_cause)
        if plugin.failures >= FAILURES_IN_A_ROW and _PLUGINS.switch_off(plugin):
            mend = "is switched off; register it again to try again"
            LOG.warning("plug-in %s failed %d times in a row and %s", plugin.name, plugin.failures, mend)
        return {}
    plugin.failures = 0
    return measured


def _numbers(name: str, result: Any) -> dict[str, float]:
    if not isinstance(result, Mapping):
        return {name: _number(name, result)}
    for key in result:
        if not isinstance(key, str) or not key.strip():
            raise ValueError(f"returned {key!r:.100} as a name; return texts that are not empty")
    return {key[:_NAME_LENGTH]: _number(key, number) for key, number in result.items()}


def _number(name: str, result: Any) -> float:
    if isinstance(result, str | bytes | complex | np.complexfloating) or np.ndim(result) > 0:
        raise ValueError(f"returned {type(result).__name__} for {name[:_NAME_LENGTH]}; return one real number")
    return float(result)
