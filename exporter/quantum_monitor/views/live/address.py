"""What the page's address says: which run, which view of it, or which runs are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode

VIEWS = {
    "course": "Course",
    "alerts": "Alerts",
    "states": "States",
    "circuits": "Circuits",
    "backends": "Backends",
    "figures": "Own figures",
    "details": "Details",
}
"""The views of a run, by the word in the address."""

COMPARED_AT_MOST = 8


class Address(NamedTuple):
    """A place on the page. Keys are looked up among the runs there are; they are no paths.

    Attributes:
        run: key of the run that is shown; empty for none.
        view: one of ``VIEWS``.
        a: keys of the runs that are compared, or of those in group A where there is a group B.
        b: keys of those in group B.
    """

    run: str = ""
    view: str = "course"
    a: tuple[str, ...] = ()
    b: tuple[str, ...] = ()

    @property
    def compares(self) -> bool:
        """Whether it is a comparison."""
        return bool(self.a or self.b)


def read(search: str | None) -> Address:
    """The address that a query (``?run=…``) says; what it does not know is passed over."""
    found = parse_qs((search or "").removeprefix("?"), errors="replace", max_num_fields=100)
    a, b = (tuple(dict.fromkeys(found.get(name, ())))[:COMPARED_AT_MOST] for name in ("a", "b"))
    if a or b:
        return Address(a=a, b=tuple(key for key in b if key not in a))
    view = found.get("view", [""])[0]
    return Address(found.get("run", [""])[0], view if view in VIEWS else "course")


def of_run(key: str, view: str = "course") -> str:
    """The address of a run."""
    return "?" + urlencode({"run": key} | ({"view": view} if view != "course" else {}))


def of_comparison(a: Sequence[str], b: Sequence[str] = ()) -> str:
    """The address of a comparison."""
    return "?" + urlencode([*(("a", key) for key in a), *(("b", key) for key in b)])
