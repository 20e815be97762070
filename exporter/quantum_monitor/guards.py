"""Guards around the public calls: what goes wrong stays out of the training, and what was given is remembered."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec

from quantum_monitor.faults import FAULTS

P = ParamSpec("P")


def never_raises(call: Callable[P, None]) -> Callable[P, None]:
    """Keep whatever goes wrong inside a log call from the training loop: count it, log it once."""

    @functools.wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except ValueError as error:
            FAULTS.rejected(call.__name__, error)
        except Exception as error:  # noqa: BLE001 - the promise: no log call raises into training
            FAULTS.internal(call.__name__, error)

    return guarded


def remembering_what_is_given(init: Callable[P, None]) -> Callable[P, None]:
    """Keep the settings that a caller wrote down apart from those left at their default: they overrule a file."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> None:
        given = dict(signature.bind(*args, **kwargs).arguments)
        given |= given.pop("options", {})
        monitor = given.pop("self")
        monitor._given = {name: value for name, value in given.items() if name not in {"registry", "config"}}
        init(*args, **kwargs)

    return remembering
