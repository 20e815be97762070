"""Activity: what one run did on one backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from quantum_monitor.prometheus.buckets import Buckets
from quantum_monitor.prometheus.catalog import EXECUTION_STATUSES

CIRCUIT_FACTS: Sequence[str] = ("depth", "two_qubit_depth", "gates", "two_qubit_gates", "qubits")


@dataclass
class Activity:
    """What one run did on one backend.

    Attributes:
        executions: number of executions by status.
        execution_time: seconds that executions took.
        queue_time: seconds that they waited; empty until an execution reports a queue.
        latest: depth, gates, qubits and so on of the latest circuit.
        shots: shots taken; None until an execution names them.
        billed_time: seconds that the provider bills; None until it names them.
        jobs: number of jobs that were sent and are not finished, by status; empty until there was one.
        costs: (currency, kind) to [sum, latest].
        settled: currency to what was estimated or reported of executions that a bill has come for since.
    """

    execution_time: Buckets
    queue_time: Buckets
    executions: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(EXECUTION_STATUSES, 0)))
    latest: dict[str, float] = field(default_factory=dict)
    shots: int | None = None
    billed_time: float | None = None
    jobs: Counter[str] = field(default_factory=Counter)
    costs: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    settled: dict[str, float] = field(default_factory=dict)
    labels: dict[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)

    @property
    def executed(self) -> bool:
        """Whether anything was executed; else only the facts of a circuit are known."""
        return any(self.executions.values())

    def count(self, fields: Mapping[str, float], status: str) -> None:
        """Take in an execution, but for its cost."""
        self.executions[status] += 1
        if "execution_time" in fields:
            self.execution_time.observe(fields["execution_time"])
        if "queue_time" in fields:
            self.queue_time.observe(fields["queue_time"])
        if "shots" in fields:
            self.shots = (self.shots or 0) + int(fields["shots"])
        if "billed_time" in fields:
            self.billed_time = (self.billed_time or 0.0) + fields["billed_time"]
        self.keep_facts(fields)

    def keep_facts(self, fields: Mapping[str, float]) -> None:
        """Keep the facts of the latest circuit; those of the one before are no longer true."""
        facts = {name: fields[name] for name in CIRCUIT_FACTS if name in fields}
        if facts:
            self.latest = facts

    def spent(self) -> dict[str, float]:
        """Money by currency: billed where there is a bill, else estimated or reported."""
        money: dict[str, float] = {}
        for (currency, _), (spent, _) in self.costs.items():
            money[currency] = money.get(currency, 0.0) + spent
        return {currency: spent - self.settled.get(currency, 0.0) for currency, spent in money.items()}

    def settle(self, currency: str, estimated: float | None) -> float:
        """A bill has come: the estimated and reported money that it takes the place of.

        Args:
            currency: of the bill.
            estimated: what was estimated of what it bills; None: it bills everything up to now.
        """
        kinds = ((known, kind) for known, kind in self.costs if known == currency and kind != "billed")
        before = self.settled.get(currency, 0.0)
        unbilled = sum(self.costs[money][0] for money in kinds) - before
        replaced = unbilled if estimated is None else min(unbilled, estimated)
        self.settled[currency] = before + replaced
        return replaced

    def copy(self) -> Activity:
        """A copy that later executions do not change."""
        return replace(
            self,
            execution_time=self.execution_time.copy(),
            queue_time=self.queue_time.copy(),
            executions=self.executions.copy(),
            jobs=self.jobs.copy(),
            costs={money: list(spent) for money, spent in self.costs.items()},
            settled=dict(self.settled),
        )
