"""The alert system of a monitor: thresholds, who is told, and what was reported."""

from __future__ import annotations

import difflib
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from quantum_monitor import plugins
from quantum_monitor.alerts.delivery import Subscriber
from quantum_monitor.alerts.message import Alert, message
from quantum_monitor.alerts.rules import ALERTS, AlertRule, MetricRule, read_alert_config
from quantum_monitor.config import ConfigurationError
from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG
from quantum_monitor.prometheus.catalog import METRICS, judged

if TYPE_CHECKING:
    from quantum_monitor.alerts.board import Entry
    from quantum_monitor.alerts.by_hand import ByHand

Callback = Callable[[str, Alert], object]

_HISTORY_LENGTH = 1_000
_SECONDS_AN_HOUR = 3_600.0
_GIVE_WAY_SECONDS = 0.005
_CLOSE_SECONDS = 5.0


class Judged(Protocol):
    """Something whose alerts this system judges: a run, the backends, the machine."""

    def refresh_alerts(self) -> None:
        """Take over thresholds that have changed."""

    def standing_alerts(self) -> list[Alert]:
        """The alerts that are pending or firing."""


class QuantumAlertSystem:
    """Judges metrics by thresholds and reports when an alert begins and ends. Safe for many threads.

    The alert system of a monitor hears of every record that is logged. Without a monitor, `check_alerts` judges
    metrics by hand.

    Args:
        alert_thresholds: as ``QuantumMonitor(alert_config=...)``: the key of a built-in alert with its threshold (None
            switches it off), or the name of any metric with ``{"above": x}`` or ``{"below": x}`` and optionally
            ``severity`` (high, medium, low) and ``for`` (seconds or a text such as "5m").
        cooldown: seconds before an alert that keeps firing, or fires again, is reported again.
        clock: where the time comes from, in Unix seconds.

    Raises:
        ConfigurationError: a key or threshold is wrong; all problems at once.

    Example:
        >>> alerts = QuantumAlertSystem({"gradient_explosion": 5.0})
        >>> [alert["type"] for alert in alerts.check_alerts({"gradient_norm": 7.0})]
        ['gradient_explosion']
    """

    def __init__(
        self,
        alert_thresholds: Mapping[str, object] | None = None,
        *,
        cooldown: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = _checked(alert_thresholds, "alert_thresholds")
        _warn_of_misspelt(self._config)
        self.cooldown = cooldown
        self.now = clock
        self.monotonic = time.perf_counter
        self._lock = threading.RLock()  # a signal handler in the middle of a check may ask for the summary
        self._own_rules: dict[str, tuple[object, dict[str, list[tuple[str, str]]]]] = {}
        self._by_hand: ByHand | None = None
        self._callbacks: list[tuple[Callback, Subscriber]] = []
        self._notifiers: list[Subscriber] = []
        self._history: deque[Alert] = deque(maxlen=_HISTORY_LENGTH)
        self._judged: weakref.WeakValueDictionary[int, Judged] = weakref.WeakValueDictionary()
        _LIVE.add(self)

    # Thresholds

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of each alert that is on, by key."""
        return {key: threshold for key, (_, threshold) in self._thresholds().items()}

    def set_threshold(self, key: str, threshold: object) -> None:
        """Change a threshold while the training runs; the next record is judged by it.

        Args:
            key: as in ``alert_config``.
            threshold: as there: a number, None to switch the alert off, or a rule for a metric.

        Raises:
            ConfigurationError: there is no such alert, or the threshold cannot be used; the nearest key is named.
        """
        with self._lock:
            known = self._config.get(key)
            if threshold is None or threshold is False:
                changed = {key: None} if key in self._config else _checked({key: None}, "threshold")
            elif isinstance(known, MetricRule) and not isinstance(threshold, Mapping):
                side = "below" if known.below else "above"
                given = {side: threshold, "severity": known.severity.word, "for": known.hold_seconds}
                changed = _checked({key: given}, "threshold")
            else:
                changed = _checked({key: threshold}, "threshold")
            self._config = {**self._config, **changed}
            if self._by_hand is not None:
                self._by_hand.adopt(self._thresholds())
        for judged_here in self._judged_here():
            judged_here.refresh_alerts()

    def rules(self, scope: str) -> dict[str, tuple[AlertRule | MetricRule, float]]:
        """The alerts of a scope that are on: key to rule and threshold."""
        own = plugins.alerts()  # of a run, even where a metric of a backend has the same name
        return {
            key: found
            for key, found in self._thresholds().items()
            if ("run" if key in own else _scope(found[0])) == scope
        }

    def own_rules(self, scope: str) -> dict[str, list[tuple[str, str]]]:
        """The rules of the user's own in a scope: record kind to pairs of key and field."""
        made_of = (self._config, tuple(plugins.ALERTS))
        known = self._own_rules.get(scope)
        if known is not None and known[0] == made_of:  # asked for at every report of a backend
            return known[1]
        by_kind: dict[str, list[tuple[str, str]]] = {}
        self._own_rules[scope] = (made_of, by_kind)
        for key, (rule, _) in self.rules(scope).items():
            if isinstance(rule, MetricRule) and key not in plugins.alerts():
                kind, field, _ = judged(rule.name)
                by_kind.setdefault(kind, []).append((key, field))
        return by_kind

    def _thresholds(self) -> dict[str, tuple[AlertRule | MetricRule, float]]:
        found: dict[str, tuple[AlertRule | MetricRule, float]] = {}
        for rule in ALERTS:
            threshold = self._config.get(rule.key, rule.default)
            if isinstance(threshold, float):
                found[rule.key] = (rule, threshold)
        for key, own in plugins.alerts().items():
            threshold = self._config.get(key, own.threshold)
            if isinstance(threshold, float):
                found[key] = (own, threshold)
        for key, entry in self._config.items():
            if isinstance(entry, MetricRule):
                found[key] = (entry, entry.threshold)
        return found

    # Who is told

    def register_callback(self, fn: Callback) -> None:
        """Have ``fn(type, alert)`` called for every report.

        What `check_alerts` finds is reported in the caller's thread, before it returns. What the log calls of a
        monitor bring is reported in a thread of this callback's own: one that hangs delays no training, and no other
        callback. An exception in it is counted and stops nothing.

        Raises:
            TypeError: ``fn`` cannot be called.
        """
        if not callable(fn):
            raise TypeError(f"fn: {fn!r} cannot be called; give a function of (type, alert)")
        with self._lock:
            self._callbacks = [*self._callbacks, (fn, _own_thread(fn))]

    def notify(self, subscriber: Subscriber) -> None:
        """Have a notifier's subscriber told of every report."""
        with self._lock:
            self._notifiers = [*self._notifiers, subscriber]

    def tell(self, alert: Alert) -> None:
        """Report an alert that a record began or ended."""
        # Without the lock: its holder may have been interrupted by a signal handler that waits for the caller's.
        self._history.append(alert)
        subscribers = [*self._notifiers, *(own_thread for _, own_thread in self._callbacks)]
        for subscriber in subscribers:
            subscriber.put(dict(alert))
        # A loop of small NumPy calls never leaves the interpreter to another thread for long enough: this once, the
        # training thread steps back until the news is taken.
        deadline = time.perf_counter() + _GIVE_WAY_SECONDS
        for subscriber in subscribers:
            subscriber.wait_taken(max(0.0, deadline - time.perf_counter()))

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Deliver what still waits, within the timeout; a monitor does that when it is closed."""
        deadline = time.monotonic() + timeout
        for subscriber in [*self._notifiers, *(own_thread for _, own_thread in self._callbacks)]:
            subscriber.close(max(0.0, deadline - time.monotonic()))

    def reopen(self) -> None:
        """Tell callbacks again after `close`, and no notifiers yet; for a monitor that begins another run."""
        with self._lock:
            self._notifiers = []
            self._callbacks = [(fn, _own_thread(fn)) for fn, _ in self._callbacks]

    # What it knows

    @property
    def alert_history(self) -> list[Alert]:
        """The last 1,000 reports, oldest first: firing (also when repeated) and resolved."""
        return [dict(alert) for alert in self._history.copy()]

    @property
    def active_alerts(self) -> list[Alert]:
        """The alerts of the monitor's runs, backends and machine that stand now; ``state`` is pending or firing."""
        return [alert for judged_here in self._judged_here() for alert in judged_here.standing_alerts()]

    def get_alert_summary(self, hours: float = 24) -> dict[str, Any]:
        """What fired lately, as far as the history goes back.

        Args:
            hours: how far to look back.

        Returns:
            ``total_alerts`` (reports of firing alerts), ``alert_types`` and ``severity_breakdown`` (number by type and
            by severity), ``time_window_hours`` and ``most_recent`` (the latest of them, or None).
        """
        since = self.now() - hours * _SECONDS_AN_HOUR
        fired = [alert for alert in self.alert_history if alert["state"] == "firing" and alert["timestamp"] >= since]
        return {
            "total_alerts": len(fired),
            "alert_types": dict(Counter(alert["type"] for alert in fired)),
            "severity_breakdown": dict(Counter(alert["severity"] for alert in fired)),
            "time_window_hours": hours,
            "most_recent": fired[-1] if fired else None,
        }

    # Judging

    def judge(self, judged_here: Judged) -> None:
        """Have it follow changes of the thresholds, for as long as it lives."""
        self._judged[id(judged_here)] = judged_here

    def _judged_here(self) -> list[Judged]:
        references = self._judged.valuerefs()  # a copy: values() cannot be read while others are added
        return [found for reference in references if (found := reference()) is not None]

    def describe(self, entry: Entry, word: str, labels: Mapping[str, str], *, ended: bool = False) -> Alert:
        """The report of an alert that stands as ``word`` says; ``ended`` where it is watched no more."""
        state, now = entry.state, self.now()
        value = entry.told_value if state.value is None else state.value
        over = "run has ended" if "run" in labels else "monitor was closed"
        if ended and state.beyond:
            sentence = f"the {over}; at its end, {message(entry.rule, value, state.threshold)}"
        elif ended:  # only held
            sentence = f"the {over}; {message(entry.rule, value, state.threshold, stands='was')}"
        elif state.value is None:  # switched off, or begun anew
            sentence = f"judged no more, {message(entry.rule, value, state.threshold, stands='was')}"
        else:
            stands = "is no longer" if word == "resolved" else "is"
            sentence = message(entry.rule, value, state.threshold, stands=stands)
        return {
            "type": entry.key,
            "severity": entry.rule.severity.word,
            "message": sentence,
            "timestamp": now,
            "value": value,
            "threshold": state.threshold,
            "state": word,
            "labels": dict(labels),
            "started_at": entry.began or now,  # pending: at the earliest
            "duration": max(0.0, now - entry.began) if entry.began else 0.0,
        }

    def check_alerts(self, metrics: Mapping[str, object]) -> list[Alert]:
        """Judge one look at the metrics and report what changed.

        The list holds transitions: an alert is reported once when it begins (``state`` is firing) and once when it ends
        (resolved). While it goes on firing it is reported again after the cooldown, by default every 300 seconds.

        Each alert is judged from the names below and the catalog's aliases of them; what is absent or None changes
        nothing. A NaN counts for ``loss_not_finite`` and for nothing else: it neither begins nor ends another alert,
        since nobody knows on which side of the threshold it lies.

        - ``fidelity_drop``: ``fidelity`` (``quantum_fidelity``, ``quantum_state_fidelity``), measured from 1.
        - ``entanglement_loss``: ``entanglement_entropy`` (``entanglement``), as a fraction of the best seen here.
        - ``gradient_explosion``: ``gradient_norm``.
        - ``loss_not_finite``: ``loss`` and ``gradient_norm``, calls in a row.
        - ``barren_plateau``: ``gradient_component_variance``, else ``gradient_variance``. One look cannot tell a
          plateau from a converged run, and the variance of the norms is a weaker hint than that of the components.
        - ``training_stalled``: ``seconds_since_last_step``.
        - ``queue_time_limit``: ``queue_time`` in seconds.
        - ``cost_spike``: ``cost`` over the median of the last 50 seen here, from the sixth on; no measure while that
          median is 0.
        - ``cost_budget``: ``total_cost``.
        - ``circuit_failures``: ``failure_ratio``.
        - ``error_rate_increase``: ``error_rate`` (``error_ratio``) above the lowest seen here.
        - ``backend_down``: ``backend_down`` (1 is down) or ``backend_up`` (0 is down).
        - ``cpu_high``, ``memory_high``: ``cpu_ratio``, ``memory_ratio``, above in every call of five minutes.
        - a metric with a rule of its own: its name.

        Args:
            metrics: names and numbers.

        Returns:
            Dictionaries with ``type``, ``severity`` (high, medium, low), ``message``, ``timestamp`` (Unix seconds),
            ``value`` (what was compared), ``threshold`` and ``state`` (firing, resolved), and what else
            `quantum_monitor.alerts.message.Alert` names.
        """
        with self._lock:
            if self._by_hand is None:
                from quantum_monitor.alerts.by_hand import ByHand  # few judge by hand, and every import would pay

                self._by_hand = ByHand(self._thresholds())
            alerts = self._by_hand.judge(metrics, self.now(), self.cooldown)
            self._history.extend(alerts)
            callbacks, notifiers = self._callbacks, self._notifiers
        for alert in alerts:
            for notifier in notifiers:
                notifier.put(dict(alert))
            for callback, _ in callbacks:
                try:
                    callback(alert["type"], dict(alert))
                except Exception as error:  # noqa: BLE001 - the user's code must not stop the training
                    FAULTS.rejected("alert_callback", error)
        return [dict(alert) for alert in alerts]


def _own_thread(fn: Callback) -> Subscriber:
    return Subscriber("callback", lambda alert: fn(alert["type"], alert), where="alert_callback")


def _checked(thresholds: Mapping[str, object] | None, place: str) -> dict[str, float | MetricRule | None]:
    entries, problems = read_alert_config(thresholds)
    if problems:
        raise ConfigurationError([f"{place}{key and '.'}{key}: {text}" for key, text in problems])
    return entries


def _warn_of_misspelt(config: Mapping[str, float | MetricRule | None]) -> None:
    """A rule may be about a metric of the user's own, which nobody can know before it is logged; a typo looks alike."""
    known = [name for metric in METRICS for name in metric.names_in_log_metrics]
    for name, rule in config.items():
        if isinstance(rule, MetricRule) and judged(name)[0] == "custom" and name not in plugins.alerts():
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                LOG.warning("alert_config.%s: taken for a metric of your own; did you mean %s?", name, near[0])


def _scope(rule: AlertRule | MetricRule) -> str:
    return rule.scope if isinstance(rule, AlertRule) else judged(rule.name)[2]


_LIVE: weakref.WeakSet[QuantumAlertSystem] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child: another thread of the parent may have held them, and its runs are its own to judge."""
    for system in list(_LIVE):
        system._lock = threading.RLock()
        system._judged = weakref.WeakValueDictionary()


os.register_at_fork(after_in_child=_renew_locks)
