"""RunAlerts: what the alerts of a run are judged by, record for record."""

from __future__ import annotations

import math
import sys
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantum_monitor import plugins
from quantum_monitor.alerts.board import Board, Keep
from quantum_monitor.alerts.conditions import (
    CostSpikes,
    FailureShare,
    References,
    RollingMedian,
    Spending,
    pace,
)
from quantum_monitor.alerts.plateau import Plateau
from quantum_monitor.log import LOG

if TYPE_CHECKING:
    from quantum_monitor.alerts.state import AlertState
    from quantum_monitor.alerts.system import QuantumAlertSystem
    from quantum_monitor.costs.burn import Burn
    from quantum_monitor.record import Record

_MEDIAN_STEPS = 10
_ENTANGLED = 1e-6  # bits; less is the rounding of a product state


class RunAlerts:
    """Judges every record of a run. The run's lock guards it.

    A training step must cost next to nothing where nothing changes. So the run compares each step with the bounds
    below, and calls `step` only when one of them is passed: they are set such that whatever lies within them can
    neither begin nor end an alert, nor be the worst value of late.

    Attributes:
        norm: a gradient norm up to this is quiet.
        low: a component variance below this is not.
        high: nor is one above this.
        next_look: nor is the step of this number, counted from 1 in this run, or a later one.
        explosions: steps whose gradient norm was above the threshold.
        waiting_for: number of jobs that wait or run, by backend.
        burn: how fast money is spent; None before any is.
    """

    def __init__(
        self, history: deque[Record], labels: Mapping[str, str], system: QuantumAlertSystem, keep: Keep
    ) -> None:
        self.board = Board("run", labels, system, keep)
        self.explosions = 0
        self.waiting_for: Counter[str] = Counter()
        self._history = history
        self._fidelity, self._entanglement = RollingMedian(), RollingMedian()
        self._references = References()
        self._cost_spikes, self._spending, self._failures = CostSpikes(), Spending(), FailureShare()
        self._failed: float | None = None
        self.burn: Burn | None = None
        self._began = system.monotonic()
        self._not_finite = 0
        self._alive: float | None = None  # when the last step, execution or job ended
        self._alive_at_last_look = -math.inf
        self._ended = False
        self._plateau = Plateau(history, self.board)
        self.refresh()

    # Training steps

    def step(self, steps: int, record: Record, now: float) -> None:
        """Judge a step that is not quiet.

        Args:
            steps: its number, counted from 1 in this run.
            record: what it showed.
            now: seconds of the monotonic clock.
        """
        fields = record.fields
        if steps < self._plateau.due and self._brings_nothing_new(fields):
            self._judge_by_plugins("training", fields, now)
            return
        self._plateau.step(steps, record, now)
        self.training(fields, now)

    def training(self, fields: Mapping[str, float], now: float) -> None:
        """Judge what was measured of training, in a step or between two."""
        norm = fields.get("gradient_norm")
        if norm is not None or "loss" in fields:
            finite = math.isfinite(fields.get("loss", 0.0)) and math.isfinite(norm or 0.0)
            self._not_finite = 0 if finite else self._not_finite + 1
            self.board.see("loss_not_finite", float(self._not_finite), now)
        if norm is not None:
            self._count_explosion(norm)
            self.board.see("gradient_explosion", norm, now)
        self.values("training", fields, now)
        self._set_bounds()

    def _brings_nothing_new(self, fields: Mapping[str, float]) -> bool:
        """Whether a step that is not quiet changes nothing all the same: an explosion that goes on, or a rule kept."""
        norm = fields.get("gradient_norm", -math.inf)
        if self._not_finite or not norm <= self._worst_norm:
            return False
        if not self.low <= fields.get("gradient_component_variance", self.low) <= self.high:
            return False
        if not math.isfinite(fields.get("loss", 0.0)):
            return False
        for field, low, high in self._limits:
            value = fields.get(field)
            if value is not None and not low <= value <= high:
                return False
        self._count_explosion(norm)
        return True

    def _count_explosion(self, norm: float) -> None:
        if self._explosion < math.inf and not norm <= self._explosion:
            self.explosions += 1

    def _set_bounds(self) -> None:
        entries = self.board.entries
        explosion = entries.get("gradient_explosion")
        worst = math.inf if explosion is None else _quiet(explosion.state)[1]
        self._worst_norm = min(worst, sys.float_info.max)  # an infinite norm is never quiet: it is not finite
        self.norm = min(self._worst_norm, self._explosion)
        self.low, self.high = self._plateau.low, self._plateau.high
        self._limits = [(field, *_quiet(entries[key].state)) for key, field in self._own.get("training", ())]
        each_step = self._limits or self._plugged_in or self._not_finite
        self.next_look = 0 if each_step else self._plateau.due

    # Everything else

    def state(self, fields: Mapping[str, float], step: int | None, now: float) -> None:
        """Judge what was measured of a state."""
        if "fidelity" in fields:
            medians = self._medians("fidelity_drop", self._fidelity, fields["fidelity"], step, now)
            self.board.see("fidelity_drop", medians and medians[0] - medians[1], now)
        if "entanglement_entropy" in fields:
            entropy = fields["entanglement_entropy"]
            medians = self._medians("entanglement_loss", self._entanglement, entropy, step, now)
            if medians is not None and medians[0] > _ENTANGLED:
                self.board.see("entanglement_loss", 1.0 - medians[1] / medians[0], now)
        self.values("state", fields, now)

    def _medians(
        self, key: str, medians: RollingMedian, value: float, step: int | None, now: float
    ) -> tuple[float, float] | None:
        if medians.begins_anew(step):
            self.board.forget(key, now)
        return medians.take(value)

    def reference(self, given: object, array: Any) -> None:
        """States are compared with this reference from now on."""
        if self._references.changed(given, array):
            self._fidelity.restart()
            self.board.forget("fidelity_drop", self.board.system.monotonic())

    def execution(self, fields: Mapping[str, float], backend: str, status: str, currency: str, now: float) -> None:
        """Judge an execution."""
        self._alive = now
        see = self.board.see
        if "queue_time" in fields:
            see("queue_time_limit", fields["queue_time"], now)
        if "cost" in fields:
            see("cost_spike", self._cost_spikes.take(fields["cost"], backend, currency), now)
            see("cost_budget", self._spending.take(fields["cost"], currency), now)
        share = self._failures.take(status)
        if share or share != self._failed:  # as nearly always, none fails, as before
            see("circuit_failures", share, now)
            self._failed = share
        if plugins.ALERTS or "circuit" in self._own:
            self.values("circuit", fields, now)

    def bill(self, difference: float, currency: str, now: float) -> None:
        """Judge what is spent after a bill that differs by so much from what was estimated before."""
        if self.burn is not None:
            self.burn.correct(currency, difference)
        self.board.see("cost_budget", self._spending.take(difference, currency), now)

    def values(self, kind: str, fields: Mapping[str, float], now: float) -> None:
        """Judge fields by the rules that the user made for them, and by the user's own alerts."""
        for key, field in self._own.get(kind, ()):
            if field in fields:
                self.board.see(key, fields[field], now)
        self._judge_by_plugins(kind, fields, now)

    def _judge_by_plugins(self, kind: str, fields: Mapping[str, float], now: float) -> None:
        if plugins.ALERTS and kind != "custom":
            for alert, value in plugins.alert_values(kind, fields):
                self.board.see(alert, value, now)

    def job_began(self, backend: str) -> None:
        """A job waits or runs on a backend: training that makes no step is not stalled."""
        self.waiting_for[backend] += 1

    def job_ended(self, backend: str) -> None:
        """It is done."""
        self.waiting_for -= Counter([backend])  # which forgets a backend that nobody waits for
        self._alive = self.board.system.monotonic()

    # As time passes

    def look(self, now: float, last_step: float | None, latest: Mapping[str, float]) -> None:
        """Judge again what time changes.

        Args:
            now: seconds of the monotonic clock.
            last_step: when the last step was, on the same clock; None before the first.
            latest: the run's latest values: those of quiet steps have not been seen here.
        """
        if self._ended:
            return
        if self._plugins != tuple(plugins.ALERTS):
            self.refresh()
        self._see_again("gradient_explosion", latest.get("gradient_norm"), now)
        for key, field in self._own.get("training", ()):
            self._see_again(key, latest.get(field), now)
        self._plateau.see_again(now, latest.get("gradient_component_variance"))
        self._judge_stall(now, last_step)
        self._judge_burn(now)
        self.board.look(now)
        self._set_bounds()

    def _see_again(self, key: str, value: float | None, now: float) -> None:
        """Take in a present value that may have been quiet."""
        entry = self.board.entries.get(key)
        if entry is not None and entry.state.present is not None:
            self.board.see(key, value, now)

    def _judge_stall(self, now: float, last_step: float | None) -> None:
        entry = self.board.entries.get("training_stalled")
        if entry is None or last_step is None:
            return
        # Before two steps nobody knows how long one takes: as long as the threshold, for all that is known.
        usual = pace(self._history)
        entry.state.threshold = max(self._stall, _MEDIAN_STEPS * (self._stall if usual is None else usual))
        alive = last_step if self._alive is None else max(last_step, self._alive)
        if alive > self._alive_at_last_look and not entry.state.firing:
            self.board.forget("training_stalled", now)  # a silence that is over was judged by the pace of its time
        self._alive_at_last_look = alive
        self.board.see("training_stalled", 0.0 if self.waiting_for else now - alive, now)

    def _judge_burn(self, now: float) -> None:
        """Warn where the budget will not last, for who has no Prometheus, whose rule says the same."""
        spent = self._spending.by_currency
        if not spent:
            return
        if self.burn is None:
            from quantum_monitor.costs.burn import Burn  # few runs cost anything

            self.burn = Burn(self._began)
        entry = self.board.entries.get("cost_budget")
        due = self.burn.look(now, spent, None if entry is None else entry.state.threshold)
        if due is not None:
            LOG.warning(
                "the budget of run %s will not last: at the rate of the last hour, its dearest quarter left out, it "
                "will have spent %.2f %s in six hours, and its budget is %.2f",
                self.board.labels.get("run"),
                due.forecast,
                due.currency,
                due.budget,
            )

    def refresh(self) -> None:
        """Take over thresholds that have changed."""
        board = self.board
        if self._ended:
            return
        stalled = board.entries.get("training_stalled")
        if stalled is not None and not stalled.state.firing:  # to be judged by the pace, which the board does not know
            board.forget("training_stalled", board.system.monotonic())
        board.adopt(board.system)
        self._failed = None  # what is new on the board has seen nothing yet
        thresholds = {key: entry.state.threshold for key, entry in board.entries.items()}
        self._explosion = thresholds.get("gradient_explosion", math.inf)
        self._plateau.judge_by(thresholds.get("barren_plateau"))
        self._stall = thresholds.get("training_stalled", math.inf)
        self._own = board.system.own_rules("run")
        self._plugins = tuple(plugins.ALERTS)
        self._plugged_in = any(plugin.on == "training" and plugin.name in board.entries for plugin in plugins.ALERTS)
        self._set_bounds()

    def close(self, latest: Mapping[str, float]) -> None:
        """The run has ended: what still fires is reported as resolved; a scrape goes on seeing how it ended."""
        explosion, norm = self.board.entries.get("gradient_explosion"), latest.get("gradient_norm", math.nan)
        if explosion is not None and not math.isnan(norm):  # the last steps may have been quiet
            explosion.state.present = norm
        self.board.close()
        self.end()

    def end(self) -> None:
        """Judge nothing any more."""
        self._ended = True
        self.board.judging = False


def _quiet(state: AlertState) -> tuple[float, float]:
    """From where to where a value changes nothing, given that the present one is taken in once a second."""
    if state.worst is None or (state.hold and state.since is not None):
        return math.inf, -math.inf  # nothing is quiet
    limit = state.threshold if state.hold else state.worst
    return (limit, math.inf) if state.below else (-math.inf, limit)
