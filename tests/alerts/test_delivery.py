"""Delivery of alerts: nobody is delayed, nothing is told twice, and what could not be told is counted."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quantum_monitor.alerts.delivery import QUEUE_LIMIT, Retry, Subscriber
from quantum_monitor.alerts.notifiers.protocol import DeliveryError
from quantum_monitor.faults import FAULTS
from tests.server_process import eventually

Make = Callable[..., Subscriber]
SOON = Retry(first=0.01, longest=0.05, patience=60.0)


@pytest.fixture
def subscriber() -> Iterator[Make]:
    made: list[Subscriber] = []

    def make(deliver: Callable[[dict[str, Any]], object], **options: Any) -> Subscriber:
        made.append(Subscriber("pager", deliver, **{"where": "alert_callback", **options}))
        return made[-1]

    yield make
    for one in made:
        one.close(0.0)


def alert(state: str = "firing", *, kind: str = "gradient_explosion", run: str = "a", n: int = 0) -> dict[str, Any]:
    return {"type": kind, "state": state, "labels": {"run": run}, "value": n}


def dropped(reason: str) -> int:
    return FAULTS.drops["alerts", reason]


class Patient:
    """A receiver that is down until it is mended, and then keeps what it gets."""

    def __init__(self, asks: float | None = None) -> None:
        self.asks = asks
        self.down = threading.Event()
        self.down.set()
        self.tries: list[float] = []
        self.got: list[tuple[str, str, int]] = []

    def __call__(self, told: dict[str, Any]) -> None:
        self.tries.append(time.monotonic())
        if self.down.is_set():
            raise DeliveryError("the receiver answered 503", retry=True, after=self.asks)
        self.got.append((told["type"], told["state"], told["value"]))


# Callbacks


def test_alerts_are_delivered_in_order_by_one_thread_that_starts_with_the_first(subscriber: Make) -> None:
    got: list[tuple[int, int]] = []
    before = threading.active_count()
    one = subscriber(lambda told: got.append((told["value"], threading.get_ident())))
    assert threading.active_count() == before
    for n in range(50):
        one.put(alert(n=n))
    assert one.close(10.0)
    assert [n for n, _ in got] == list(range(50))
    assert len({thread for _, thread in got} | {threading.get_ident()}) == 2


def test_a_callback_that_hangs_delays_neither_the_caller_nor_another_one(subscriber: Make) -> None:
    free, got = threading.Event(), threading.Event()
    hanging, other = subscriber(lambda _: free.wait(60)), subscriber(lambda _: got.set())
    for one in (hanging, other):
        one.put(alert())
    assert got.wait(20)
    hanging.put(alert())
    assert not hanging.wait_taken(60.0), "it is busy, which is said at once"
    free.set()


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), DeliveryError("x", retry=True)]
)
def test_a_callback_that_raises_is_counted_and_called_again(subscriber: Make, error: BaseException) -> None:
    got: list[int] = []

    def callback(told: dict[str, Any]) -> None:
        got.append(told["value"])
        raise error

    before = FAULTS.errors["alert_callback"]
    one = subscriber(callback)
    for n in range(3):
        one.put(alert(n=n))
    assert one.close(10.0)
    assert got == [0, 1, 2]
    assert FAULTS.errors["alert_callback"] == before + 3


def test_a_callback_that_changes_its_alert_changes_nobody_elses(subscriber: Make) -> None:
    told = alert()
    one = subscriber(lambda mine: mine["labels"].clear())
    one.put(told)
    assert one.close(10.0)
    assert told == alert()


def test_of_too_many_alerts_the_oldest_go_and_are_counted(subscriber: Make) -> None:
    free, got = threading.Event(), list[int]()

    def slow(told: dict[str, Any]) -> None:
        free.wait(60)
        got.append(told["value"])

    before = dropped("queue_full")
    one = subscriber(slow)
    one.put(alert(n=-1))
    eventually(lambda: one.wait_taken(1.0), what="the first delivery")
    for n in range(2 * QUEUE_LIMIT):
        one.put(alert(n=n))
    free.set()
    assert one.close(20.0)
    assert got == [-1, *range(QUEUE_LIMIT, 2 * QUEUE_LIMIT)]
    assert dropped("queue_full") == before + QUEUE_LIMIT


def test_a_callback_may_close_its_own_subscriber(subscriber: Make) -> None:
    answers: list[bool] = []
    one: Subscriber = subscriber(lambda _: answers.append(one.close(10.0)))
    one.put(alert())
    eventually(lambda: answers, what="the call")
    assert answers == [False]
    assert one.close(10.0)


def test_the_thread_has_an_alert_once_its_caller_has_waited(subscriber: Make) -> None:
    got: list[int] = []
    one = subscriber(lambda told: got.append(told["value"]))
    for n in range(20):
        one.put(alert(n=n))
        assert one.wait_taken(20.0) or one._delivering
    assert one.close(20.0)
    assert got == list(range(20))


# Notifiers


def test_a_receiver_that_comes_back_is_told(subscriber: Make) -> None:
    receiver = Patient()
    one = subscriber(receiver, retry=SOON)
    one.put(alert())
    eventually(lambda: len(receiver.tries) > 3, what="the fourth try")
    receiver.down.clear()
    eventually(lambda: receiver.got, what="the delivery")
    assert one.close(10.0)
    assert receiver.got == [("gradient_explosion", "firing", 0)]


def test_after_an_outage_the_last_beginning_and_its_end_are_told_and_nothing_older(subscriber: Make) -> None:
    receiver = Patient()
    one = subscriber(receiver, retry=SOON)
    for n in range(10):
        one.put(alert(n=n))
        one.put(alert("resolved", n=n))
    one.put(alert(n=99, run="b"))
    one.put(alert(n=100, run="b"))  # said again after a cooldown
    one.put(alert("resolved", n=7, kind="fidelity_drop"))
    eventually(lambda: one.wait_taken(1.0) and len(receiver.tries) > 1, what="a second try")
    receiver.down.clear()
    assert one.close(20.0)
    assert receiver.got == [
        ("gradient_explosion", "firing", 9),
        ("gradient_explosion", "resolved", 9),
        ("gradient_explosion", "firing", 100),
        ("fidelity_drop", "resolved", 7),
    ]


def test_the_end_of_an_alert_is_never_told_before_its_beginning(subscriber: Make) -> None:
    receiver = Patient()
    one = subscriber(receiver, retry=SOON)
    one.put(alert())
    eventually(lambda: receiver.tries, what="a try")
    one.put(alert("resolved"))
    receiver.down.clear()
    assert one.close(10.0)
    assert [state for _, state, _ in receiver.got] == ["firing", "resolved"]


def test_an_alert_that_cannot_be_delivered_is_dropped_counted_and_logged_once(
    subscriber: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    receiver = Patient()
    before = dropped("undelivered")
    one = subscriber(receiver, retry=Retry(first=0.01, longest=0.02, patience=0.2), where="notifier_pager")
    for run in "abc":
        one.put(alert(run=run))
    eventually(lambda: dropped("undelivered") == before + 3, what="the end of patience")
    lines = [record.getMessage() for record in caplog.records]
    told = [re.findall(r"pager: dropped (\d) alerts? that could not be delivered .*503", line) for line in lines]
    assert sum(int(number) for (number,) in filter(None, told)) == 3
    assert sum("tried again" in line for line in lines) == 1
    receiver.down.clear()
    one.put(alert("resolved", n=5))
    assert one.close(10.0)
    assert receiver.got == [("gradient_explosion", "resolved", 5)]
    assert caplog.text.count("answers again") == 1


def test_what_no_retry_can_help_is_dropped_at_once_and_the_next_one_tried(subscriber: Make) -> None:
    tries: list[int] = []

    def refuse(told: dict[str, Any]) -> None:
        tries.append(told["value"])
        raise DeliveryError("the receiver answered 404", retry=False)

    errors, before = FAULTS.errors["notifier_pager"], dropped("refused")
    one = subscriber(refuse, retry=SOON, where="notifier_pager")
    one.put(alert(n=1, run="a"))
    one.put(alert(n=2, run="b"))
    assert one.close(10.0)
    assert tries == [1, 2]
    assert (FAULTS.errors["notifier_pager"] - errors, dropped("refused") - before) == (2, 2)


def test_a_bug_in_a_notifier_is_told_by_its_type_alone(subscriber: Make, caplog: pytest.LogCaptureFixture) -> None:
    def buggy(_: dict[str, Any]) -> None:
        raise ValueError("https://hooks.example/s3cret")

    one = subscriber(buggy, retry=SOON, where="notifier_pager")
    one.put(alert())
    assert one.close(10.0)
    assert "notifier_pager: ValueError" in caplog.text
    assert "s3cret" not in caplog.text


def test_pauses_double_up_to_the_longest_and_grant_what_a_receiver_asks() -> None:
    retry = Retry()
    for failures, whole in [(1, 1.0), (2, 2.0), (6, 32.0), (7, 60.0), (1_000, 60.0)]:
        assert whole / 2 <= retry.pause(failures, None) <= whole
    assert retry.pause(1, 30.0) == 30.0
    assert retry.pause(1, 1e9) == retry.longest_asked
    assert retry.pause(7, 0.0) >= 30.0


def test_jitter_leaves_the_random_numbers_of_the_training_alone() -> None:
    state = random.getstate()
    Retry().pause(3, None)
    assert random.getstate() == state


# The end


def test_close_delivers_what_is_left_and_tries_a_receiver_that_is_down_once_more(subscriber: Make) -> None:
    receiver = Patient(asks=300.0)
    one = subscriber(receiver, retry=SOON)
    one.put(alert())
    eventually(lambda: receiver.tries, what="the first try, before a pause of five minutes")
    receiver.down.clear()
    assert one.close(20.0)
    assert len(receiver.got) == 1
    assert one.close(20.0), "harmless a second time"


def test_close_gives_up_on_a_receiver_that_stays_down(subscriber: Make) -> None:
    before = dropped("closed")
    one = subscriber(Patient(), retry=SOON)
    one.put(alert(run="a"))
    one.put(alert(run="b"))
    assert not one.close(0.3)
    assert dropped("closed") == before + 2


def test_close_leaves_a_hanging_delivery_behind(subscriber: Make) -> None:
    free, got = threading.Event(), list[int]()

    def hang(told: dict[str, Any]) -> None:
        free.wait(60)
        got.append(told["value"])

    before = dropped("closed")
    one = subscriber(hang)
    one.put(alert(n=1))
    one.put(alert(n=2))
    assert not one.close(0.2)
    assert dropped("closed") == before + 2
    thread = one._thread
    free.set()
    assert thread is not None
    thread.join(20)
    assert got == [1], "what was given up is not delivered later"


def test_after_close_an_alert_is_dropped_and_counted(subscriber: Make) -> None:
    before = dropped("closed")
    one = subscriber(lambda _: None)
    assert one.close(1.0)
    one.put(alert())
    assert dropped("closed") == before + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_delivers_its_own_alerts_and_none_of_its_parents(subscriber: Make) -> None:
    free = threading.Event()
    reading, writing = os.pipe()

    def deliver(told: dict[str, Any]) -> None:
        if told["value"] < 10:
            free.wait(60)
        os.write(writing, f"{os.getpid()}:{told['value']} ".encode())

    one = subscriber(deliver)
    one.put(alert(n=1))
    eventually(lambda: one.wait_taken(1.0), what="the first delivery")
    one.put(alert(n=2))
    child = os.fork()
    if child == 0:
        one.put(alert(n=10))
        os._exit(0 if one.close(20.0) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    free.set()
    assert one.close(20.0)
    os.close(writing)
    told = set(os.read(reading, 1_000).decode().split())
    os.close(reading)
    assert told == {f"{child}:10", f"{os.getpid()}:1", f"{os.getpid()}:2"}


def test_a_delivery_that_hangs_does_not_keep_a_process_alive() -> None:
    code = (
        "import time\nfrom quantum_monitor.alerts.delivery import Subscriber\n"
        "one = Subscriber('pager', lambda _: time.sleep(600), where='alert_callback')\n"
        "one.put({'type': 'a', 'state': 'firing'})\n"
        "print(one.wait_taken(20.0), one.close(0.1))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.split() == ["True", "False"]


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys, quantum_monitor; print([m for m in ('requests', 'smtplib', 'urllib3') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == "[]"
