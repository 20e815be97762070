"""Backends and jobs elsewhere: what they say of themselves, asked in the background."""

from quantum_monitor.backends.follower import Follower
from quantum_monitor.backends.jobs import CannotFollowError, JobFacts, UnknownJobError, read_job
from quantum_monitor.backends.poller import Poller
from quantum_monitor.backends.reading import BackendReading

__all__ = [
    "BackendReading",
    "CannotFollowError",
    "Follower",
    "JobFacts",
    "Poller",
    "UnknownJobError",
    "read_job",
]
