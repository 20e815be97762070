"""Names that people give, as text that Prometheus, JSON and a terminal can carry."""

from __future__ import annotations

LABEL_LENGTH = 128
"""Characters that a label value may have."""


def text(value: object) -> str:
    """The text of any object, as a plain ``str``; of one whose own ``__str__`` raises, its type in brackets."""
    try:
        return "".join((str(value),))  # join() makes a plain text of a subclass, whose own methods may do anything
    except Exception:  # noqa: BLE001 - a foreign object's __str__ may raise anything
        return f"<{type(value).__name__}>"


def label_value(value: object) -> str:
    """A name as a label value: at most 128 characters, all of which UTF-8 and Prometheus can hold.

    Lone surrogates become backslash escapes, for one of them would cost a whole metric family its series; so does NUL,
    which Prometheus passes over, for two names must not become one series; and so does a line feed, which ends the text
    in a query of Grafana's, and which `.+` does not match: no "All" of a dashboard, no `run=~".+"` of Alertmanager.
    """
    name = text(value)[:LABEL_LENGTH]
    if name.isprintable():
        return name
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00").replace("\n", "\\n")[:LABEL_LENGTH]
