"""Price: what a table says of some backends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from quantum_monitor.costs.models import Fields, Model


@dataclass(frozen=True)
class Price:
    """What executions on some backends cost, by whom it is said, and when it was true.

    Attributes:
        name: of the entry; names the price where a backend is asked for.
        provider: who sends the bill.
        backends: identifiers in lower case; ``*`` stands for anything.
        model: how an execution is priced.
        currency: of the amounts: an ISO code, or a provider's own credit.
        source: the page that says so; None in a table of one's own.
        on: the day on which it said so.
        analog: whether it runs no circuits of gates.
        failed: whether a failed or cancelled execution is billed; None where the provider does not say.
    """

    name: str
    provider: str
    backends: tuple[str, ...]
    model: Model
    currency: str
    source: str | None
    on: date
    failed: bool | None
    analog: bool = False

    def amount(self, fields: Fields, *, failed: bool = False) -> float | None:
        """What one execution costs, an estimate; None where it cannot be told."""
        if not failed:
            return self.model.amount(fields)
        if self.failed:
            return self.model.amount_of_failed(fields)
        return None if self.failed is None else 0.0

    def names(self, identifier: str) -> bool:
        """Whether an identifier, in lower case, is the entry's own or one of its backends', letter for letter."""
        return identifier == self.name or identifier in self.backends

    def matches(self, identifier: str) -> bool:
        """Whether an identifier, in lower case, is like one of the backends'."""
        return any(fnmatchcase(identifier, pattern) for pattern in self.backends)
