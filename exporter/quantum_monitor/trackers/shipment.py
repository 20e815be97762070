"""Shipment: a run on its way, as the training process sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantum_monitor.trackers.lanes import News

if TYPE_CHECKING:
    from quantum_monitor.store.writer import RunStore

_SETTLED = frozenset({"delivered", "unusable"})


class Shipment:
    """A run on its way.

    Attributes:
        store: where its records are.
        trackers: tracker name to options.
        news: tracker name to the last that was heard.
        here: whether a thread of this process delivers it.
    """

    def __init__(self, store: RunStore, trackers: Mapping[str, Mapping[str, Any]]) -> None:
        self.store, self.trackers = store, dict(trackers)
        self.key = str(store.directory)
        self.news: dict[str, News] = {}
        self.here = False

    def backlog(self, tracker: str) -> int:
        """How many records were logged and have not been acknowledged."""
        news = self.news.get(tracker)
        if news is not None and news.condition == "unusable":
            return 0
        return max(0, self.store.accepted - (news.delivered if news else 0))

    def settled_at(self, tracker: str) -> bool:
        """Whether nothing more will happen there: the run is closed, or the tracker cannot be used."""
        news = self.news.get(tracker)
        return news is not None and news.condition in _SETTLED

    def trouble(self, tracker: str) -> str:
        """The last error there; empty if all is well."""
        news = self.news.get(tracker)
        return news.error if news else ""

    def fail(self, reason: str) -> None:
        """Note that nothing is delivered at present."""
        for name in self.trackers:
            if not self.settled_at(name):
                news = self.news.get(name) or News(self.key, name, "starting", 0, 0, "", "")
                self.news[name] = news._replace(condition="retrying", error=reason)

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen anywhere."""
        return all(map(self.settled_at, self.trackers))

    @property
    def stuck(self) -> bool:
        """Whether all that is not settled has run into an error: waiting for it would be in vain."""
        return all(self.settled_at(name) or self.trouble(name) for name in self.trackers)

    def status(self, tracker: str) -> dict[str, Any]:
        """What a summary says of it."""
        news = self.news.get(tracker) or News(self.key, tracker, "starting", 0, 0, "", "")
        return {
            "condition": news.condition,
            "delivered": news.delivered,
            "waiting": self.backlog(tracker),
            "dropped": news.dropped,
            "url": news.url,
            "error": news.error,
        }
