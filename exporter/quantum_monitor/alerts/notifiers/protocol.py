"""Notifier: what tells people of alerts; and how it says that it could not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class DeliveryError(Exception):
    """An alert did not reach its receiver.

    The text names the reason in words of our own: those of a library would hold the address, which is often a secret.

    Attributes:
        retry: whether another try may help: the receiver is down, busy or asks for patience.
        after: seconds that the receiver asked to wait before it; None where it did not.
    """

    def __init__(self, reason: str, *, retry: bool, after: float | None = None) -> None:
        super().__init__(reason)
        self.retry = retry
        self.after = after


class Notifier(Protocol):
    """Tells a person or a system of alerts."""

    @property
    def name(self) -> str:
        """What the log and the counts of errors call it."""

    def send(self, alert: Mapping[str, Any]) -> None:
        """Deliver one alert; waits for the receiver's answer.

        Raises:
            DeliveryError: it did not arrive.
        """
