"""Patches: what was wrapped in a framework, so that all of it can be given back."""

from __future__ import annotations

import copyreg
import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from quantum_monitor.frameworks.unseen import unseen

Around: TypeAlias = Callable[..., Any]
"""What takes the place of a function: called with the original function first, then with the call's arguments."""

_MARK = "__quantum_monitor__"
_FOUND = "__quantum_monitor_found__"
_OF_ONE = "__quantum_monitor_of_one__"


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
        # Our wrappings, and where they are; a class made in a loop must be able to go, and leave nothing behind.
        self._wrapped: dict[weakref.ref[Any], tuple[weakref.ref[Any], str]] = {}

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
        setattr(wrapping, _FOUND, found)
        setattr(owner, name, wrapping if original is found else staticmethod(wrapping))
        self._wrapped[weakref.ref(wrapping, self._forget)] = weakref.ref(owner), name

    def _forget(self, wrapping: weakref.ref[Any]) -> None:
        self._wrapped.pop(wrapping, None)

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
        """Wrap a method of one object only; a copy of it, or what is unpickled from it, has the original.

        Raises:
            AttributeError: the object has no such method, or takes no wrapping.
        """
        getattr(type(thing), name)
        methods = _methods_of(thing)
        if _is_wrapped(methods.get(name)):
            return
        kind: Any = type(thing)
        real = kind.__mro__[1]
        if name not in vars(kind):
            setattr(kind, name, _of_one(real, name))
        replacement = methods[name] = self._replacement(getattr(real, name), around)
        place = weakref.ref(thing)  # an object that is watched must be able to go

        def undo() -> None:
            known = place()
            if known is not None and methods.get(name) is replacement:
                del methods[name]
                _give_class_back(known)

        self._undo.append(undo)

    def also_undo(self, undo: Callable[[], None]) -> None:
        """Have something else undone with the wrappings."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Give everything back, the last wrapping first."""
        self.active = False
        while self._undo:
            self._undo.pop()()
        for wrapping, (place, name) in reversed(list(self._wrapped.items())):
            ours, owner = wrapping(), place()
            present = None if owner is None else vars(owner).get(name)
            if ours is not None and (present.__func__ if isinstance(present, staticmethod) else present) is ours:
                setattr(owner, name, getattr(ours, _FOUND))
        self._wrapped.clear()

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

        unseen(replacement)
        unseen(around)
        # Of a coroutine function another one: whoever asks what it is hears the truth.
        wrapping = _awaiting(replacement) if inspect.iscoroutinefunction(original) else replacement
        setattr(wrapping, _MARK, self)
        return wrapping


class _Always:
    """The mark of a method that looks whether it was wrapped for this object: nobody is to count above it."""

    active = True


_ONES: dict[int, tuple[weakref.ref[Any], dict[str, Callable[..., Any]]]] = {}
"""The objects that are wrapped one by one, by their ids, each with what takes the place of its methods.

Such an object is of a class of ours for as long as it is wrapped: a subclass of its own which adds nothing but these
methods. An attribute of the object would be copied with it, and a copy would run on the original.
"""


def _methods_of(thing: Any) -> dict[str, Callable[..., Any]]:
    """What takes the place of methods of this object.

    Raises:
        AttributeError: it takes no other class.
    """
    known = _ONES.get(id(thing))
    if known is not None:
        return known[1]
    number = id(thing)
    try:
        place = weakref.ref(thing, lambda _: _ONES.pop(number, None))
        _set_class(thing, _class_for_one(type(thing)))
    except Exception as error:  # a class may refuse subclasses in its own way
        raise AttributeError(f"{type(thing).__qualname__} cannot be wrapped: {error}") from error
    methods: dict[str, Callable[..., Any]] = {}
    _ONES[number] = place, methods
    return methods


def _give_class_back(thing: Any) -> None:
    """An object of which nothing is wrapped any more is of its own class again."""
    known = _ONES.get(id(thing))
    if known is not None and not known[1]:
        del _ONES[id(thing)]
        if _OF_ONE in vars(type(thing)):
            _set_class(thing, type(thing).__mro__[1])


def _set_class(thing: Any, kind: type) -> None:
    vars(object)["__class__"].__set__(thing, kind)


def _class_for_one(real: Any) -> Any:
    """The class of ours for objects of this class; it says that it is theirs, and so do copies and pickles."""
    if _OF_ONE in vars(real):  # a copy made by hand, of the class that its original has at present
        return real
    for known in type.__subclasses__(real):
        if _OF_ONE in vars(known):
            return known

    def reduce(thing: Any, protocol: Any) -> Any:
        by_class = copyreg.dispatch_table.get(real)
        reduced = real.__reduce_ex__(thing, protocol) if by_class is None else by_class(thing)
        if isinstance(reduced, str):
            return reduced
        function, arguments, *state = reduced
        function, *arguments = (real if part is ours else part for part in (function, *arguments))
        return function, tuple(arguments), *state

    named = {name: vars(real)[name] for name in ("__module__", "__qualname__", "__doc__") if name in vars(real)}
    told = {"__class__": property(lambda _: real, _set_class), "__reduce_ex__": reduce, "__slots__": (), _OF_ONE: True}
    ours = type(real)(real.__name__, (real,), {**named, **told})
    return ours


def _of_one(real: Any, name: str) -> Callable[..., Any]:
    """A method that does what was wrapped for its object, and what it does otherwise for any other."""
    original = getattr(real, name)

    @functools.wraps(original)
    def of_one(thing: Any, *args: Any, **kwargs: Any) -> Any:
        known = _ONES.get(id(thing))
        method = None if known is None else known[1].get(name)
        return (method or getattr(real, name))(thing, *args, **kwargs)

    wrapping = _awaiting(of_one) if inspect.iscoroutinefunction(original) else of_one
    setattr(wrapping, _MARK, _Always)
    return wrapping


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
