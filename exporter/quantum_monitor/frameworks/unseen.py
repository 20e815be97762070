"""Functions of ours that the warnings of a framework pass over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_PASSED_OVER = "(importlib _bootstrap)"
"""Words in the name of a file over whose frames ``warnings`` passes when it counts a ``stacklevel``."""


def unseen(function: F) -> F:
    """Have ``warnings`` pass over the frames of a function, as it does over those of Python's own import system.

    A framework that deprecates an argument warns at the line that called it, and Python shows that to whoever wrote the
    line as their main program. Frames of ours in between would be blamed in its place, and nobody would see it.
    """
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    code = getattr(inner, "__code__", None)
    if code is not None and _PASSED_OVER not in code.co_filename:
        inner.__code__ = code.replace(co_filename=f"{code.co_filename} {_PASSED_OVER}")
    return function
