"""Follower: how jobs that were sent get on, asked in the background."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from quantum_monitor import masking
from quantum_monitor.backends.jobs import CannotFollowError, JobFacts, ReadJob, UnknownJobError, read_job
from quantum_monitor.backends.rounds import Rounds, renewed_after_fork
from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG
from quantum_monitor.names import text

OnChange = Callable[[JobFacts], None]

_WHERE = "jobs"
_JOBS_AT_MOST = 1_000
_JOBS_NAMED_AT_MOST = 20
_GROWTH = 1.5
_BILL_SECONDS = 120.0


class Follower:
    """Asks for each job until it is over, at growing intervals, and tells of every change. Safe for many threads.

    A job is asked on a thread of the follower's; 16 may hang at the same time. A job of IBM Runtime that is over is
    told of once it is known what is billed for it, or two minutes later. In a forked child nothing is followed. At the
    end of the process the jobs that are open are named in the log, with the command that follows them further.

    Args:
        first: seconds to the second look at a job, and to the next after a change.
        longest: seconds between two looks, at most.
    """

    def __init__(self, first: float = 2.0, longest: float = 60.0) -> None:
        self._first, self._longest = min(first, longest), longest
        self._rounds = Rounds(_WHERE)
        self._at_exit = False
        self.renew()
        renewed_after_fork(self)

    @property
    def open(self) -> int:
        """Number of jobs that are followed."""
        return len(self._jobs)

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child."""
        self._lock = threading.RLock()
        self._jobs: dict[int, _Followed] = {}

    def follow(self, job: Any, on_change: OnChange) -> None:
        """Ask for a job until it is over.

        Args:
            job: as for `read_job`; it is held until then.
            on_change: is told of each change, the first look included, on a thread of the follower's.
        """
        self.follow_by(lambda: read_job(job), on_change)

    def follow_by(
        self, read: ReadJob, on_change: OnChange, on_error: Callable[[Exception], None] | None = None
    ) -> Callable[[], None]:
        """Ask by a function, as `reader_of_job` makes one.

        Args:
            read: asks once.
            on_change: as for `follow`. A job that the provider knows no more is ``lost``.
            on_error: is told what went wrong, and whether it can be mended: after a `CannotFollowError` before the
                first look, the job is not followed.

        Returns:
            What to call when the job is known to be over otherwise: it is not asked for any more.
        """
        with self._lock:
            if len(self._jobs) >= _JOBS_AT_MOST:
                FAULTS.dropped(_WHERE, "too_many")
                return lambda: None
            followed = _Followed(self, read, on_change, on_error, first=self._first, longest=self._longest)
            self._jobs[id(followed)] = followed
            if not self._at_exit:
                self._at_exit = True
                atexit.register(_close, weakref.ref(self))
        self._rounds.add(followed.turn, "a job's provider")

        def stop() -> None:
            followed.leave()
            self._drop(followed)

        return stop

    def close(self, *, name_open: bool = True) -> None:
        """Ask no more; what is known of jobs that are over is told.

        Args:
            name_open: whether jobs that are open are named in the log.
        """
        with self._lock:
            jobs = list(self._jobs.values())
            self._jobs.clear()
        for followed in jobs:
            followed.leave()
        self._rounds.close()
        still_open = [
            job.facts.job for job in jobs if job.facts and not job.facts.done and job.facts.provider != "local"
        ]
        if still_open and name_open:
            some = still_open[:_JOBS_NAMED_AT_MOST]
            LOG.warning(
                "jobs still open: %d; follow them with: quantum-monitor watch-job %s%s",
                len(still_open),
                " ".join(some),
                "" if len(some) == len(still_open) else " ...",
            )

    def _drop(self, followed: _Followed) -> None:
        with self._lock:
            self._jobs.pop(id(followed), None)


class _Followed:
    """One job, and what is known of it."""

    def __init__(
        self,
        follower: Follower,
        read: ReadJob,
        on_change: OnChange,
        on_error: Callable[[Exception], None] | None,
        *,
        first: float,
        longest: float,
    ) -> None:
        self.facts: JobFacts | None = None
        self._follower, self._read = follower, read
        self._on_change, self._on_error = on_change, on_error
        self._first, self._longest = first, longest
        self._wait = first
        self._lock = threading.Lock()
        self._told: JobFacts | None = None
        self._left = False
        self._bill_due: float | None = None

    def turn(self) -> float | None:
        """Ask once; the seconds until the next look, None where there is none."""
        if self._left:
            return None
        try:
            facts = self._read()
        except UnknownJobError as error:
            if self.facts is None:
                self._give_up(error)
                return None
            facts = replace(self.facts, state="lost", settled=True, error=text(error))
        except CannotFollowError as error:
            if self.facts is None:
                self._give_up(error)
                return None
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - a provider's package, or the network, may raise anything
            return self._failed(error)
        return self._heard(facts)

    def leave(self) -> None:
        """Ask no more."""
        self._left = True
        if self.facts is not None and self.facts.done:
            self._tell(self.facts)

    def _heard(self, facts: JobFacts) -> float | None:
        before = self.facts
        self.facts = facts = _with_what_was_seen(facts, before)
        self._wait = self._first if before is None or facts.state != before.state else self._grown()
        if facts.done and not facts.settled:
            now = time.monotonic()
            self._bill_due = self._bill_due or now + _BILL_SECONDS
            if now < self._bill_due:
                return min(self._wait, self._bill_due - now)
        self._tell(facts)
        if not facts.done:
            return self._wait
        self._follower._drop(self)
        return None

    def _tell(self, facts: JobFacts) -> None:
        with self._lock:
            if facts == self._told or (self._told is not None and self._told.done):
                return
            self._told = facts
        try:
            self._on_change(facts)
        except Exception as error:  # noqa: BLE001 - whoever hears it: the other jobs are followed all the same
            FAULTS.internal(_WHERE, error)

    def _failed(self, error: Exception) -> float:
        FAULTS.rejected(_WHERE, f"{type(error).__name__}: {masking.text(text(error))}; asks again")
        self._wait = self._grown()
        if self._on_error is not None:
            self._on_error(error)
        return self._wait

    def _give_up(self, error: CannotFollowError) -> None:
        self._follower._drop(self)
        if self._on_error is None:
            FAULTS.rejected(_WHERE, error)
        else:  # whoever asked to be told says it, once
            self._on_error(error)

    def _grown(self) -> float:
        return min(self._wait * _GROWTH, self._longest)


def _with_what_was_seen(facts: JobFacts, before: JobFacts | None) -> JobFacts:
    """With the moment at which it was first seen to run, where the provider does not say: late by a look at most."""
    if facts.running is not None or before is None:
        return facts
    if before.running is not None:
        return replace(facts, running=before.running)
    if facts.state == "running" and before.state == "queued":
        return replace(facts, running=time.time())
    return facts


def _close(reference: Callable[[], Follower | None]) -> None:
    follower = reference()
    if follower is not None:
        follower.close()
