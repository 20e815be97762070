"""Patches: what was wrapped in a framework, so that all of it can be given back."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

Around: TypeAlias = Callable[..., Any]
"""What takes the place of a function: called with the original function first, then with the call's arguments."""

_MARK = "__quantum_monitor__"


class Patches:
    """The wrappings of one framework.

    What somebody else has wrapped over ours cannot be taken away from below; there ours stays and does nothing but
    call the original.

    Attributes:
        active: whether the wrappings do anything.
    """

    def __init__(self) -> None:
        self.active = True
        self._undo: list[Callable[[], None]] = []

    def wrap(self, owner: Any, name: str, around: Around) -> None:
        """Wrap a function of a module, or a method (static ones, too) that a class defines itself; twice wraps once.

        Args:
            owner: the module or class.
            name: of the function in it.
            around: called in its place, as ``around(original, *args, **kwargs)``.

        Raises:
            AttributeError: there is no such function: the framework is not what it was.
        """
        found = vars(owner).get(name)
        original = found.__func__ if isinstance(found, staticmethod) else found
        if not inspect.isfunction(original):
            raise AttributeError(f"{getattr(owner, '__qualname__', owner.__name__)}.{name} is not a function any more")
        if _is_wrapped(original):
            return
        wrapping = self._replacement(original, around)
        replacement = wrapping if original is found else staticmethod(wrapping)
        setattr(owner, name, replacement)
        place = weakref.ref(owner)  # a class made in a loop must be able to go

        def undo() -> None:
            known = place()
            if known is not None and vars(known).get(name) is replacement:
                setattr(known, name, found)

        self._undo.append(undo)

    def wrap_family(self, base: Any, name: str, around: Around) -> None:
        """Wrap a method wherever a class or one of its subclasses defines it, those still to come included.

        A method that calls the one of its parent class passes two wrappings: ``around`` has to count it once.
        """
        for family_member in _family(base):
            self._wrap_own(family_member, name, around)
        before = vars(base).get("__init_subclass__")
        inherited = base.__init_subclass__

        def watch(subclass: Any, /, **arguments: Any) -> None:
            if before is None:
                super(base, subclass).__init_subclass__(**arguments)
            else:
                before.__get__(None, subclass)(**arguments)
            if self.active:
                self._wrap_own(subclass, name, around)

        functools.update_wrapper(watch, inherited)
        watcher: Any = classmethod(watch)
        base.__init_subclass__ = watcher

        def undo() -> None:
            if vars(base).get("__init_subclass__") is watcher:
                if before is None:
                    del base.__init_subclass__
                else:
                    base.__init_subclass__ = before

        self._undo.append(undo)

    def wrap_object(self, thing: Any, name: str, around: Around) -> None:
        """Wrap a method of one object only.

        Raises:
            AttributeError: the object has no such method, or takes no attributes.
        """
        if _is_wrapped(vars(thing).get(name)):
            return
        method = getattr(type(thing), name)
        setattr(thing, name, _Bound(self._replacement(method, around), thing, name))
        place = weakref.ref(thing)  # an object that is watched must be able to go

        def undo() -> None:
            known = place()
            if known is not None:
                vars(known).pop(name, None)

        self._undo.append(undo)

    def also_undo(self, undo: Callable[[], None]) -> None:
        """Have something else undone with the wrappings."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Give everything back, the last wrapping first."""
        self.active = False
        while self._undo:
            self._undo.pop()()

    def _wrap_own(self, owner: Any, name: str, around: Around) -> None:
        found = vars(owner).get(name)
        method = found.__func__ if isinstance(found, staticmethod) else found
        if inspect.isfunction(method) and not getattr(method, "__isabstractmethod__", False):
            self.wrap(owner, name, around)

    def _replacement(self, original: Callable[..., Any], around: Around) -> Callable[..., Any]:
        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            if not self.active:
                return original(*args, **kwargs)
            return around(original, *args, **kwargs)

        # Of a coroutine function another one: whoever asks what it is hears the truth.
        wrapping = _awaiting(replacement) if inspect.iscoroutinefunction(original) else replacement
        setattr(wrapping, _MARK, self)
        return wrapping


class _Bound:
    """The wrapped method of one object. A copy of the object, or what is unpickled from it, has the original."""

    def __init__(self, replacement: Callable[..., Any], thing: Any, name: str) -> None:
        self._thing, self._name = thing, name
        functools.update_wrapper(self, replacement)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(self._thing, *args, **kwargs)  # type: ignore[attr-defined]  # set by update_wrapper

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._thing, self._name)  # as bound methods do; the copy has no attributes of its own yet


def _awaiting(replacement: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(replacement)
    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        return await replacement(*args, **kwargs)

    return awaiting


def _is_wrapped(function: Any) -> bool:
    """Whether ours is on: also below somebody's decorator, which takes the mark over with ``functools.wraps``."""
    return getattr(getattr(function, _MARK, None), "active", False)


def _family(base: Any) -> list[Any]:
    """A class and all its subclasses, each once."""
    found: dict[Any, None] = {base: None}
    waiting = [base]
    while waiting:
        for subclass in waiting.pop().__subclasses__():
            if subclass not in found:
                found[subclass] = None
                waiting.append(subclass)
    return list(found)
