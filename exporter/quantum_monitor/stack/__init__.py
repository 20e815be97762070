"""Prometheus and Alertmanager from local programs, on loopback, for as long as a terminal shows them."""

from __future__ import annotations


class StackError(Exception):
    """The servers cannot be run as asked; the text says why and what mends it, one sentence a line."""
