"""Extras: optional packages, and the sentence for who asks for something that one of them brings."""

from __future__ import annotations


class MissingExtraError(ImportError):
    """Something was asked for whose package is not installed; the message says what to install."""


def missing(extra: str, package: str, what: str) -> MissingExtraError:
    """The error to raise where a package of an extra cannot be imported.

    Args:
        extra: name of the extra: ``views``.
        package: the package that was looked for.
        what: what needs it, as the beginning of a sentence: ``Figures``.
    """
    message = f"{what} take the package {package}, which is not installed: pip install 'quantum-monitor[{extra}]'"
    return MissingExtraError(message, name=package)
