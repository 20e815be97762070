"""PriceTables: which price a backend has."""

from __future__ import annotations

import contextlib
import difflib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantum_monitor.config import ConfigurationError
from quantum_monitor.config_values import WrongEntriesError, path
from quantum_monitor.costs.local import is_local
from quantum_monitor.costs.models import Fields
from quantum_monitor.costs.prices import Price
from quantum_monitor.costs.reading import read_prices
from quantum_monitor.log import LOG
from quantum_monitor.names import label_value, text

_PUBLISHED = Path(__file__).with_name("tables")
_BACKENDS_REMEMBERED = 1_000
_LIKE_AT_MOST, _COMPARED_LENGTH = 4, 128


class PriceTables:
    """The prices that come with this package, and those of one's own, which go before them. Safe for many threads.

    An entry of one's own with the name of one that comes along takes its place, and so does one that names the same
    backend. Of several that match an identifier, one that names it letter for letter is taken, else the first.

    Attributes:
        prices: all of them, one's own first.

    Args:
        own: a file in the format of docs/costs.md, or a folder of such.

    Raises:
        ConfigurationError: what is wrong with one's own, all at once.
    """

    def __init__(self, own: Path | None = None) -> None:
        mine = [] if own is None else read_prices(own)
        names = {price.name for price in mine}
        self.prices: Sequence[Price] = (*mine, *(price for price in _published() if price.name not in names))
        self._own = len(mine)
        self._own_names = frozenset(names)
        self._known: dict[str, Price | None] = {}
        self._told: set[tuple[str, str]] = set()

    def find(self, backend: str, *, local: bool = False) -> Price | None:
        """The price of a backend; None where none is known.

        Args:
            backend: what it is called: an ARN, ``ibm_fez``, ``ionq.qpu.aria-1``, or the name of an entry.
            local: whether it is on this machine: then it has a price only in a table of one's own.
        """
        try:
            price = self._known[backend]
        except KeyError:
            price = self._search(backend)
        return None if local and price is not None and price.name not in self._own_names else price

    def like(self, backend: str) -> list[str]:
        """Names of entries that may be meant where a backend has no price; a few, and none where none is like it.

        Args:
            backend: what it was called, such as ``Forte``, which two providers offer.
        """
        asked = text(backend).strip().lower()
        if not asked:
            return []
        entries = {
            name: price.name
            for price in self.prices
            for name in (price.name, *price.backends)
            if not name.startswith("arn:")  # they have words in common that say nothing
        }
        named = list(dict.fromkeys(entry for name, entry in entries.items() if asked in name))
        if named:
            return named[:_LIKE_AT_MOST]
        close = difflib.get_close_matches(asked[:_COMPARED_LENGTH], entries, n=_LIKE_AT_MOST)
        return list(dict.fromkeys(entries[name] for name in close))

    def price_of(
        self, backend: str, fields: Fields, *, failed: bool = False, local: bool = False
    ) -> tuple[float, str] | None:
        """See `quantum_monitor.costs.price_of`."""
        price = None if local else self._known.get(backend)
        if price is None:
            price = self.find(backend, local=local)
            if price is None:
                if not local:
                    self._miss(backend)
                return None
        amount = price.amount(fields, failed=failed)
        if amount is None:
            self._lack(backend, price, failed=failed)
            return None
        return amount, price.currency

    def _search(self, backend: str) -> Price | None:
        identifier = text(backend).strip().lower()
        own, published = self.prices[: self._own], self.prices[self._own :]
        for prices in (own, published):
            exact = (price for price in prices if price.names(identifier))
            found = next(exact, None) or next((price for price in prices if price.matches(identifier)), None)
            if found is not None:
                break
        if len(self._known) >= _BACKENDS_REMEMBERED:
            self._known.clear()
        self._known[backend] = found
        return found

    def _miss(self, backend: str) -> None:
        """Say once that there is no price, and how to give one."""
        if ("", backend) in self._told:
            return
        if not is_local(text(backend).strip().lower()):
            self._tell(
                "no price is known for the backend %r%s, so no cost is shown for it; put one into a price table of "
                "your own (price_tables, or QUANTUM_MONITOR_PRICE_TABLES; the format is in docs/costs.md)",
                label_value(backend),
                meant(self.like(backend)),
            )
        self._note("", backend)

    def _lack(self, backend: str, price: Price, *, failed: bool) -> None:
        """Say once why executions there have no cost. Not where it is time that is missing: it is known afterwards."""
        unsaid = failed and price.failed is None
        reason = "failed" if unsaid else price.model.name
        if (reason, backend) in self._told:
            return
        if unsaid:
            self._tell(
                "%s does not say whether failed executions are billed, so no cost is shown for those on %r; "
                "a price table of your own may say so (failed: free, or failed: billed)",
                price.provider,
                label_value(backend),
            )
        elif price.model.name != "time":
            self._tell(
                "the price of the backend %r takes %s of each execution, and not all are known: no cost is shown",
                label_value(backend),
                ", ".join(price.model.needs),
            )
        self._note(reason, backend)

    def _note(self, reason: str, backend: str) -> None:
        if len(self._told) >= _BACKENDS_REMEMBERED:
            self._told.clear()
        self._told.add((reason, backend))

    @staticmethod
    def _tell(sentence: str, *values: object) -> None:
        with contextlib.suppress(Exception):  # a logging handler of the user's may raise: training goes on
            LOG.warning(sentence, *values)


def meant(names: Sequence[str]) -> str:
    """What may be meant, to stand behind a name that has no price; nothing where nothing is like it."""
    return f" (did you mean {', '.join(names)}?)" if names else ""


@functools.lru_cache(maxsize=1)
def _published() -> tuple[Price, ...]:
    return tuple(read_prices(_PUBLISHED))


def tables_of(given: PriceTables | Path | None) -> PriceTables:
    """The tables that were handed over, or those of a file or folder, which is read once.

    Raises:
        ConfigurationError: what is wrong with the file.
    """
    return given if isinstance(given, PriceTables) else _tables(given)


@functools.lru_cache(maxsize=16)
def _tables(own: Path | None) -> PriceTables:
    return PriceTables(own)


def readable_tables(value: Any) -> Path:
    """A reader for a setting: the path of price tables in which nothing is wrong.

    Raises:
        WrongEntriesError: what is wrong with the path or with what is there, all at once.
    """
    own = path(value)
    try:
        tables_of(own)
    except ConfigurationError as error:
        raise WrongEntriesError([((), problem) for problem in error.problems]) from None
    return own
