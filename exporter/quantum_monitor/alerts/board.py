"""Board: the alerts of one run, of one backend or of the machine, and whom their transitions are told to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from quantum_monitor.alerts.rules import AlertRule, MetricRule
from quantum_monitor.alerts.state import AlertState, Transition

if TYPE_CHECKING:
    from quantum_monitor.alerts.message import Alert
    from quantum_monitor.alerts.system import QuantumAlertSystem

Rule = AlertRule | MetricRule
Keep = Callable[["Alert"], None]


@dataclass(frozen=True)
class AlertRow:
    """One alert as a scrape shows it.

    Attributes:
        alert: its key.
        severity: in the rules' words: critical, warning or info.
        value: what the threshold is compared with; None where there is nothing to judge.
        threshold: the threshold.
        firing: whether it fires.
        times_fired: how often it began to.
    """

    alert: str
    severity: str
    value: float | None
    threshold: float
    firing: bool
    times_fired: int


@dataclass
class Entry:
    """A rule, where it stands, and what was told of it.

    Attributes:
        key: the alert's.
        rule: what it says.
        state: where it stands.
        told: the systems that its present firing was reported to, each with its ``keep``: they hear of its end.
        told_value: the value of the last report.
        began: Unix time at which it began to fire; 0 where it does not.
    """

    key: str
    rule: Rule
    state: AlertState
    told: dict[QuantumAlertSystem, Keep | None] = field(default_factory=dict)
    told_value: float = math.nan
    began: float = 0.0


class Board:
    """The alerts of one scope: what they see, where they stand, what they report.

    Not safe for several threads at once: the caller holds a lock. Times are seconds of ``time.perf_counter()``.

    Attributes:
        entries: the alerts that are on, by key.
        judging: whether anything is still judged and reported; set to False when what it watches has ended.

    Args:
        scope: ``run``, ``backend`` or ``process``.
        labels: of the series; they stand in reports too.
        system: whose thresholds are in force, and who is told.
        keep: told of every report, to write it down.
    """

    def __init__(self, scope: str, labels: Mapping[str, str], system: QuantumAlertSystem, keep: Keep | None) -> None:
        self.scope, self.labels, self.system, self.keep = scope, labels, system, keep
        self.entries: dict[str, Entry] = {}
        self.judging = True
        # When each alert was last reported to a system as firing: longer than its entry lives, which goes and comes
        # where several systems judge in turn and not all of them have it on.
        self._told_at: WeakKeyDictionary[QuantumAlertSystem, dict[str, float]] = WeakKeyDictionary()
        self.adopt(system)

    def adopt(self, system: QuantumAlertSystem) -> None:
        """Judge by this system's thresholds from now on."""
        self.system, now = system, system.monotonic()
        rules = system.rules(self.scope)
        for key, entry in list(self.entries.items()):
            if key not in rules or _judged_by(entry.rule) != _judged_by(rules[key][0]):
                self._follow(entry, entry.state.forget(now), now)
                self.entries.pop(key, None)  # a signal handler that changes thresholds may have been faster
        for key, (rule, threshold) in rules.items():
            known = self.entries.get(key)
            if known is None:
                state = AlertState(threshold, below=rule.below, hold=rule.hold_seconds)
                self.entries[key] = Entry(key, rule, state)
            else:
                known.rule, known.state.threshold = rule, threshold
                self._follow(known, known.state.look(now), now)

    def see(self, key: str, value: float | None, now: float) -> None:
        """Judge a value; None, and an alert that is off, change nothing."""
        entry = self.entries.get(key)
        if entry is not None and value is not None and self.judging:
            self._follow(entry, entry.state.see(value, now), now)

    def forget(self, key: str, now: float) -> None:
        """There is nothing to judge any more for this alert."""
        entry = self.entries.get(key)
        if entry is not None and self.judging:
            self._follow(entry, entry.state.forget(now), now)

    def look(self, now: float) -> None:
        """Judge everything again, as time has passed."""
        for entry in list(self.entries.values()):
            self._follow(entry, entry.state.look(now), now)

    def close(self) -> None:
        """What it watched has ended: report what still fires as resolved. What a scrape sees stays as it is."""
        for entry in list(self.entries.values()):
            self._tell_the_end(entry, ended=True)

    def leave(self, system: QuantumAlertSystem) -> None:
        """This system's monitor is closed: what it knows to fire is over for it, and nothing more is told to it."""
        for entry in list(self.entries.values()):
            if system in entry.told:
                self._report(entry, "resolved", system, entry.told.pop(system), ended=True)
        if system is self.system:
            self.judging = False

    def rows(self) -> Iterator[AlertRow]:
        """Every alert, for a scrape."""
        for key, entry in list(self.entries.items()):
            state, severity = entry.state, entry.rule.severity.label
            yield AlertRow(key, severity, state.value, state.threshold, state.firing, state.times_fired)

    def standing(self) -> Iterator[Alert]:
        """The alerts that are pending or firing."""
        for entry in list(self.entries.values()):
            if entry.state.since is not None:
                yield self.system.describe(entry, entry.state.word, self.labels)

    def _follow(self, entry: Entry, transition: Transition | None, now: float) -> None:
        if transition is Transition.BEGAN:
            entry.began = self.system.now()
        if transition is Transition.ENDED:
            self._tell_the_end(entry)
            entry.began = 0.0
        elif entry.state.firing and self.judging:
            told = self._told_at.setdefault(self.system, {})
            told_at = told.get(entry.key)
            # What is only held needs no reminder: it is over already, unless it comes again.
            if told_at is None or (now - told_at >= self.system.cooldown and entry.state.beyond):
                entry.told[self.system], told[entry.key] = self.keep, now
                self._report(entry, "firing", self.system, self.keep)

    def _tell_the_end(self, entry: Entry, *, ended: bool = False) -> None:
        """Report it to those who know that it fires: nobody, where it began within the cooldown of the time before."""
        told, entry.told = entry.told, {}
        for system, keep in told.items():
            self._report(entry, "resolved", system, keep, ended=ended)

    def _report(
        self, entry: Entry, word: str, system: QuantumAlertSystem, keep: Keep | None, *, ended: bool = False
    ) -> None:
        alert = system.describe(entry, word, self.labels, ended=ended)
        entry.told_value = alert["value"]
        if keep is not None:
            keep(alert)
        system.tell(alert)


def _judged_by(rule: Rule) -> tuple[bool, float]:
    """What a state is made for, and cannot change."""
    return rule.below, rule.hold_seconds
