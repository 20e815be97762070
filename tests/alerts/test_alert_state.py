"""Where an alert stands, and how long the worst value is held: against a slow model that remembers everything."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_monitor.alerts.state import HELD_SECONDS, AlertState, Transition

LOOK_SECONDS = 5.0  # of the watcher; it looks more often, which would take long here
HELD_AT_LEAST, HELD_AT_MOST = HELD_SECONDS, 2 * HELD_SECONDS + 2 * LOOK_SECONDS
ROUNDED_UP = 1.0 - 0.95  # 0.05 and a little


def is_beyond(value: float, threshold: float, *, below: bool) -> bool:
    if abs(value - threshold) <= 1e-9 * max(abs(value), abs(threshold)) and math.isfinite(value):
        return False
    return value < threshold if below else value > threshold


@dataclass
class Seen:
    """A value, and the time for which it was the latest."""

    value: float
    since: float
    until: float = math.inf


@dataclass
class Model:
    """Remembers every value and computes everything anew from them."""

    threshold: float
    below: bool
    values: list[Seen] = field(default_factory=list)

    def see(self, value: float, now: float) -> None:
        if not math.isnan(value):
            self.end(now)
            self.values.append(Seen(value, now))

    def end(self, now: float) -> None:
        if self.values:
            self.values[-1].until = min(now, self.values[-1].until)

    def forget(self) -> None:
        self.values.clear()

    def worst_since(self, moment: float) -> float | None:
        """The worst of the values that were the latest at some time after this moment."""
        values = [seen.value for seen in self.values if seen.until > moment]
        return (min(values) if self.below else max(values)) if values else None

    def is_breached(self, moment: float) -> bool:
        worst = self.worst_since(moment)
        return worst is not None and is_beyond(worst, self.threshold, below=self.below)


values = st.sampled_from([0.0, 0.01, ROUNDED_UP, 0.05, 0.06, 1.0, -1.0, 20.0, -20.0, math.inf, -math.inf, math.nan])
thresholds = st.sampled_from([0.0, 0.05, ROUNDED_UP, 10.0, -10.0])
seconds = st.integers(0, 140).map(lambda halves: halves / 2)
events = st.lists(
    st.one_of(
        st.tuples(st.just("see"), seconds, values),
        st.tuples(st.just("forget"), seconds, st.just(0.0)),
        st.tuples(st.just("threshold"), seconds, thresholds),
    ),
    max_size=15,
)


def moments(start: float, pause: float) -> Iterator[float]:
    """The moments of a pause at which the watcher looks."""
    now = start + LOOK_SECONDS
    while now < start + pause:
        yield now
        now += LOOK_SECONDS


def play(state: AlertState, what: str, now: float, number: float) -> Transition | None:
    if what == "see":
        transition = state.see(number, now)
        if not math.isnan(number):
            return transition
        assert transition is None
    if what == "forget":
        return state.forget(now)
    if what == "threshold":
        state.threshold = number
    return state.look(now)


@settings(max_examples=300)
@given(events, thresholds, st.booleans())
def test_the_worst_value_is_held_for_one_to_two_minutes_and_the_present_one_for_as_long_as_it_is(
    story: list[tuple[str, float, float]], threshold: float, below: bool
) -> None:
    state, model = AlertState(threshold, below=below), Model(threshold, below)
    now, began = 1_000.0, 0

    def check(transition: Transition | None, was_firing: bool) -> None:
        nonlocal began
        value, surely, at_most = (
            state.value,
            model.worst_since(now - HELD_AT_LEAST),
            model.worst_since(now - HELD_AT_MOST),
        )
        if at_most is None or surely is None or value is None:
            assert value is at_most is surely is None
        else:
            lowest, highest = sorted((surely, at_most))
            assert lowest <= value <= highest or math.isclose(value, lowest) or math.isclose(value, highest)
        assert model.is_breached(now - HELD_AT_LEAST) <= state.firing <= model.is_breached(now - HELD_AT_MOST)
        began += transition is Transition.BEGAN
        assert state.times_fired == began
        assert state.word == ("firing" if state.firing else "inactive")
        expected = {(False, True): Transition.BEGAN, (True, False): Transition.ENDED}
        assert transition is expected.get((was_firing, state.firing))

    for what, pause, number in [*story, ("look", 300.0, 0.0)]:
        for moment in moments(now, pause):
            now, was_firing = moment, state.firing
            check(state.look(now), was_firing)
        now += 1.0
        if what == "see":
            model.see(number, now)
        elif what == "forget":
            model.forget()
        elif what == "threshold":
            model.threshold = number
        was_firing = state.firing
        check(play(state, what, now, number), was_firing)


@given(events, thresholds, st.booleans(), st.sampled_from([1.0, 30.0, 300.0]))
def test_with_a_hold_the_present_value_must_be_beyond_for_as_long(
    story: list[tuple[str, float, float]], threshold: float, below: bool, hold: float
) -> None:
    state, present, since, now = AlertState(threshold, below=below, hold=hold), math.nan, math.inf, 0.0

    def check() -> None:
        nonlocal since
        breached = not math.isnan(present) and is_beyond(present, state.threshold, below=below)
        since = min(since, now) if breached else math.inf
        assert state.firing == (breached and now - since >= hold)
        assert state.word == ("firing" if state.firing else "pending" if breached else "inactive")
        assert state.value == (None if math.isnan(present) else pytest.approx(present))

    for what, pause, number in [*story, ("look", 300.0, 0.0)]:
        for moment in moments(now, pause):
            now = moment
            state.look(now)
            check()
        now += 1.0
        if what == "see" and not math.isnan(number):
            present = number
        elif what == "forget":
            present = math.nan
        play(state, what, now, number)
        check()


@given(events, thresholds, st.sampled_from([0.0, 60.0]))
def test_an_alert_below_is_the_mirror_image_of_one_above(
    story: list[tuple[str, float, float]], threshold: float, hold: float
) -> None:
    above, below, now = AlertState(threshold, hold=hold), AlertState(-threshold, below=True, hold=hold), 0.0
    for what, pause, number in story:
        now += pause
        assert play(above, what, now, number) is play(below, what, now, -number)
        assert (above.value is None) == (below.value is None)
        assert above.value is None or below.value is None or above.value == -below.value


# Examples, for those who read


def test_the_threshold_itself_is_silent_and_the_next_number_is_not_once_it_is_more_than_rounding() -> None:
    state = AlertState(10.0)
    assert state.see(10.0, 0.0) is None
    assert state.see(math.nextafter(10.0, 11.0), 1.0) is None
    assert state.see(10.0 * (1 + 1e-6), 2.0) is Transition.BEGAN


def test_what_rounding_added_is_not_in_the_value_either_for_a_rule_compares_it_again() -> None:
    state = AlertState(0.05)
    state.see(ROUNDED_UP, 0.0)
    assert state.value == 0.05


def test_rounding_is_judged_by_the_threshold_that_is_in_force() -> None:
    state = AlertState(1.0)
    state.see(ROUNDED_UP, 0.0)
    state.threshold = 0.05
    assert state.look(1.0) is None
    assert state.value == 0.05


def test_a_breach_of_one_step_lasts_until_it_has_been_over_for_a_minute() -> None:
    state = AlertState(10.0)
    state.see(1.0, 0.0)
    assert state.see(50.0, 30.0) is Transition.BEGAN
    assert state.see(1.0, 30.01) is None
    ended = next(now for now in range(31, 300) if state.look(float(now)) is Transition.ENDED)
    assert 30 + HELD_SECONDS <= ended <= 30 + 2 * HELD_SECONDS + LOOK_SECONDS
    assert (state.value, state.word, state.since, state.times_fired) == (1.0, "inactive", None, 1)


def test_nan_neither_begins_nor_ends_nor_hides_anything() -> None:
    state = AlertState(10.0)
    assert state.see(math.nan, 0.0) is None
    assert state.value is None
    state.see(50.0, 1.0)
    assert state.see(math.nan, 2.0) is None
    assert state.firing
    assert state.value == state.present == 50.0


def test_a_state_that_is_pending_knows_since_when() -> None:
    state = AlertState(0.95, hold=300.0)
    assert state.see(0.99, 100.0) is None
    assert (state.word, state.since) == ("pending", 100.0)
    assert state.look(399.9) is None
    assert state.look(400.0) is Transition.BEGAN
    assert (state.word, state.since) == ("firing", 100.0)
    assert state.see(0.95, 401.0) is Transition.ENDED
    assert state.since is None


def test_a_changed_threshold_begins_and_ends_an_alert_at_the_next_look() -> None:
    state = AlertState(10.0)
    state.see(5.0, 0.0)
    state.threshold = 4.0
    assert state.look(1.0) is Transition.BEGAN
    state.threshold = 5.0
    assert state.look(2.0) is Transition.ENDED
    assert state.times_fired == 1


def test_what_is_forgotten_is_over_at_once() -> None:
    state = AlertState(10.0)
    state.see(50.0, 0.0)
    state.look(61.0)
    assert state.forget(62.0) is Transition.ENDED
    assert (state.value, state.present, state.worst) == (None, None, None)
    assert state.see(1.0, 63.0) is None
    assert state.value == 1.0
