"""Jobs on somebody else's machine: followed in the background, and counted when they are over."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from quantum_monitor.faults import FAULTS

if TYPE_CHECKING:
    from quantum_monitor.backends import Follower, JobFacts
    from quantum_monitor.backends.jobs import ReadJob
    from quantum_monitor.backends.rounds import Rounds
    from quantum_monitor.frameworks.executions import Work
    from quantum_monitor.run import Run

_LAST_LOOK_SECONDS = 5.0
_ASKED_AT_THE_END = 50


class _Open:
    """The jobs of this process that are not over."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child."""
        self.lock = threading.Lock()
        self.jobs: dict[int, tuple[Work, ReadJob, list[Callable[[], None]]]] = {}
        self.waiting: dict[int, tuple[Run, float]] = {}
        self._follower: Follower | None = None

    def follower(self) -> Follower:
        """What asks for them."""
        with self.lock:
            if self._follower is None:
                from quantum_monitor.backends import Follower

                self._follower = Follower()
            return self._follower


_OPEN = _Open()
os.register_at_fork(after_in_child=_OPEN.renew)


def can_be_followed(job: Any) -> bool:
    """Whether a job tells when it was sent, ran and ended, as those of IBM Runtime do."""
    return all(callable(getattr(job, name, None)) for name in ("metrics", "usage", "status", "job_id"))


def follow(work: Work, job: Any) -> None:
    """Ask for a job until it is over, and finish its work then with its times and what is billed."""
    from quantum_monitor.backends import read_job

    follow_by(work, partial(read_job, job))


def follow_by(work: Work, read: ReadJob, *then: Callable[[], None]) -> None:
    """The same by a function that asks the provider once.

    Args:
        work: the circuits that the job executes.
        read: asks.
        *then: are called when the job is over.
    """
    work.state("queued")
    follower = _OPEN.follower()
    if (end := partial(settle, work.run)) not in work.run.at_end:
        work.run.at_end.append(end)

    def look() -> JobFacts:
        facts = read()
        _see_the_queue(work, facts.created if facts.state == "queued" else None)
        return facts

    with _OPEN.lock:
        stop = follower.follow_by(look, lambda facts: _changed(work, facts))
        _OPEN.jobs[id(work)] = work, read, [stop, *then]


def over(work: Work) -> None:
    """Ask no more for the job of this work: whoever says so has heard that it is over."""
    with _OPEN.lock:
        _, _, then = _OPEN.jobs.pop(id(work), (None, None, ()))
    for call in then:
        call()
    _see_the_queue(work, None)


def settle(run: Run, seconds: float = _LAST_LOOK_SECONDS) -> None:
    """Look once more after the jobs of a run that is about to end: one that is over by now is part of it.

    Args:
        run: the run.
        seconds: that the provider has to answer, for all jobs together.
    """
    with _OPEN.lock:
        waiting = [(work, read) for work, read, _ in _OPEN.jobs.values() if work.run is run][-_ASKED_AT_THE_END:]
    if not waiting:
        return
    from quantum_monitor.backends.rounds import Rounds

    rounds = Rounds("jobs")
    answers = [_ask(rounds, work, read) for work, read in waiting]
    until = time.monotonic() + seconds
    for answered in answers:
        answered.wait(max(0.0, until - time.monotonic()))
    rounds.close()


def _ask(rounds: Rounds, work: Work, read: ReadJob) -> threading.Event:
    answered = threading.Event()

    def turn() -> None:
        try:
            _changed(work, read())
        except Exception as error:  # noqa: BLE001 - a provider's package, or the network, may raise anything
            FAULTS.rejected("jobs", f"{type(error).__name__}: {error}")
        finally:
            answered.set()

    rounds.add(turn, "a job's provider")
    return answered


def _changed(work: Work, facts: JobFacts) -> None:
    if not facts.done:
        work.state("queued" if facts.state == "queued" else "running")
        return
    # In this order: at the end of the following, what it knows is told, and that may be less.
    work.finish(facts.status, facts.execution_time, queue_time=facts.queue_time, billed_time=facts.billed)
    over(work)


def _see_the_queue(work: Work, created: float | None) -> None:
    """Let the alert see the longest wait: a job that waits for ever has no execution to see it in.

    Args:
        work: whose job was asked for.
        created: when it was sent, as Unix time, if it waits still; else None.
    """
    with _OPEN.lock:
        before = _OPEN.waiting.pop(id(work), None)
        if created is not None and id(work) in _OPEN.jobs:
            _OPEN.waiting[id(work)] = work.run, created
        since = min((moment for run, moment in _OPEN.waiting.values() if run is work.run), default=None)
    if work.run.ended is not None:
        return
    if since is not None:
        work.run.waited(max(0.0, time.time() - since))
    elif before is not None:
        work.run.waited(0.0)  # nobody waits any more
