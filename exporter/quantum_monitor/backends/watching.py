"""Watch: jobs that are followed for a run of their own, after the script that sent them has ended."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from quantum_monitor.backends.follower import Follower
from quantum_monitor.backends.jobs import CannotFollowError, JobFacts
from quantum_monitor.backends.lookup import reader_of_job
from quantum_monitor.names import label_value, text

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor
    from quantum_monitor.run import Run

_IN_THE_GAUGE = frozenset({"queued", "running"})
_JUDGED_EVERY = 1.0
_FIRST_SECONDS = 2.0


class Watch:
    """Follows jobs, and logs what becomes of them to one run, which begins when the first of them is found.

    While a job waits, the alert ``queue_time_limit`` sees how long it has; when it is over, it is one execution. Not
    safe for several threads: the one that watches calls `look` now and then.

    Args:
        monitor: what the run belongs to.
        jobs: ids and ARNs, each once.
        name: of the run.
        interval: seconds between two looks at a job, at most.
        say: takes a line for each change.
        complain: takes a sentence for each job that cannot be followed.
        begun: is called when the first job is found, before anything is said of it.
    """

    def __init__(
        self,
        monitor: QuantumMonitor,
        jobs: Sequence[str],
        *,
        name: str,
        interval: float,
        say: Callable[[str], None],
        complain: Callable[[str], None],
        begun: Callable[[], None],
    ) -> None:
        self._monitor, self._jobs, self._name = monitor, jobs, name
        self._say, self._complain, self._begun = say, complain, begun
        self._heard: queue.SimpleQueue[tuple[str, JobFacts | CannotFollowError]] = queue.SimpleQueue()
        self._facts: dict[str, JobFacts] = {}
        self._shown: dict[str, str] = {}
        self._given_up: set[str] = set()
        self._judged = -_JUDGED_EVERY
        self._follower = Follower(_FIRST_SECONDS, interval)
        for job in jobs:
            self._follow(job)

    @property
    def over(self) -> bool:
        """Whether nothing further happens to any of them."""
        return not self.open

    @property
    def open(self) -> list[str]:
        """The jobs to which something may still happen; those that nothing was heard of are among them."""
        return [
            job
            for job in self._jobs
            if job not in self._given_up and not (job in self._facts and self._facts[job].done)
        ]

    @property
    def completed(self) -> bool:
        """Whether each of them is completed."""
        return all(job in self._facts and self._facts[job].state == "completed" for job in self._jobs)

    def look(self, seconds: float) -> None:
        """Take in what has been heard.

        Args:
            seconds: to wait for something, at most.
        """
        try:
            self._take_in(*self._heard.get(timeout=seconds))
        except queue.Empty:
            self._judge_the_queue()

    def end(self) -> str:
        """End the run, and with it the watching; jobs that are open go on.

        Returns:
            How the run ended: ``failed`` if a job has, ``stopped`` if one is not completed, else ``completed``.
        """
        self._follower.close(name_open=False)
        with contextlib.suppress(queue.Empty):  # what came in the meantime is part of the run
            while True:
                self._take_in(*self._heard.get_nowait())
        states = {facts.state for facts in self._facts.values()}
        status = "failed" if "failed" in states else "completed" if self.completed else "stopped"
        self._monitor.end_run(status)
        return status

    def _follow(self, job: str) -> None:
        def failed(error: Exception) -> None:
            if isinstance(error, CannotFollowError):
                self._heard.put((job, error))

        try:
            read = reader_of_job(job)
        except CannotFollowError as error:
            self._heard.put((job, error))
        else:
            self._follower.follow_by(read, lambda facts: self._heard.put((job, facts)), failed)

    def _take_in(self, job: str, heard: JobFacts | CannotFollowError) -> None:
        if isinstance(heard, CannotFollowError):
            if job not in self._facts:
                self._given_up.add(job)
                self._complain(text(heard))
            return
        run = self._run()
        before = self._facts.get(job)
        self._facts[job] = heard
        self._show(run, job, heard)
        if heard.done and heard.state != "lost":
            self._log(run, heard)
        if before is None or before.state != heard.state:
            self._say(_sentence(job, heard))

    def _run(self) -> Run:
        run = self._monitor.active_run
        if run is None:
            self._monitor.start_run(self._name)
            self._monitor.log_params({"jobs": " ".join(self._jobs)})
            run = self._monitor.active_run
            self._begun()
        assert run is not None  # noqa: S101 - begun in the lines above, and ended by nobody else
        return run

    def _show(self, run: Run, job: str, facts: JobFacts) -> None:
        """Bring the gauge of jobs up to date; one that is being cancelled stays where it was."""
        before = self._shown.get(job)
        after = before if facts.state == "cancelling" else facts.state if facts.state in _IN_THE_GAUGE else None
        if before != after:
            run.job(_label(facts), before, after)
        if after is None:
            self._shown.pop(job, None)
        else:
            self._shown[job] = after
        if facts.state == "running" and facts.queue_time is not None:
            run.waited(facts.queue_time)

    def _log(self, run: Run, facts: JobFacts) -> None:
        from quantum_monitor import costs

        fields = facts.fields()
        device = facts.device or _label(facts)
        price = costs.price_of(device, fields, failed=facts.state != "completed", tables=self._monitor.price_tables)
        if price is not None:
            fields["cost"] = price[0]
        run.execution(
            fields,
            backend=_label(facts),
            status=facts.status,
            currency="USD" if price is None else price[1],
            cost_kind="estimated",
        )

    def _judge_the_queue(self) -> None:
        """Let the alert see the longest wait: a job that waits for ever has no execution to see it in."""
        now = time.monotonic()
        run = self._monitor.active_run
        if run is None or now - self._judged < _JUDGED_EVERY:
            return
        self._judged = now
        waits = [waited for facts in self._facts.values() if (waited := facts.waited()) is not None]
        if waits:
            run.waited(max(waits))


def _label(facts: JobFacts) -> str:
    return label_value(facts.backend or "unknown")


def _sentence(job: str, facts: JobFacts) -> str:
    told = f"{job}: {facts.state} on {_label(facts)}"
    waited, queued, ran, billed = facts.waited(), facts.queue_time, facts.execution_time, facts.billed
    if waited is not None:
        told += f", waiting for {waited:.0f} s"
    if queued is not None:
        told += f", waited {queued:.0f} s"
    if ran is not None:
        told += f", ran {ran:.0f} s"
    if billed is not None:
        told += f", billed {billed:g} s"
    return f"{told}: {facts.error}" if facts.error else told
