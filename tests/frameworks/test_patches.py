"""Patches: what is wrapped does what it did, is counted where it should be, and is given back as it was."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import pickle
import weakref
from types import ModuleType
from typing import Any

import pytest

from quantum_monitor.frameworks.patches import _ONES, Patches


class Base:
    """What a framework's class looks like."""

    def run(self, circuit: str) -> str:
        """Execute a circuit."""
        return f"{type(self).__name__} ran {circuit}"

    @staticmethod
    def create(circuit: str) -> str:
        return f"created {circuit}"


class Seen:
    """An `Around` that notes what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(args)
        return original(*args, **kwargs)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def family() -> tuple[Any, Any]:
    class Parent(Base):
        def run(self, circuit: str) -> str:
            return f"parent: {super().run(circuit)}"

    class Child(Parent):
        def run(self, circuit: str) -> str:
            return f"child: {super().run(circuit)}"

    return Parent, Child


def test_a_wrapped_method_does_what_it_did_and_is_given_back(seen: Seen) -> None:
    original = Base.run
    patches = Patches()
    patches.wrap(Base, "run", seen)
    assert Base().run("c") == "Base ran c"
    assert len(seen.calls) == 1
    assert (Base.run.__doc__, inspect.signature(Base.run)) == ("Execute a circuit.", inspect.signature(original))
    patches.undo()
    assert Base.run is original
    Base().run("c")
    assert len(seen.calls) == 1


def test_a_static_method_stays_one(seen: Seen) -> None:
    original = vars(Base)["create"]
    patches = Patches()
    patches.wrap(Base, "create", seen)
    assert Base.create("c") == Base().create("c") == "created c"
    assert seen.calls == [("c",), ("c",)]
    patches.undo()
    assert vars(Base)["create"] is original


def test_a_function_of_a_module_is_wrapped(seen: Seen) -> None:
    module = ModuleType("framework")

    def run() -> int:
        return 3

    module.run = run  # type: ignore[attr-defined]
    patches = Patches()
    patches.wrap(module, "run", seen)
    assert module.run() == 3
    assert seen.calls == [()]
    patches.undo()
    assert module.run is run


def test_a_coroutine_function_stays_one(seen: Seen) -> None:
    class Remote:
        async def run(self) -> int:
            return 3

    patches = Patches()
    patches.wrap(Remote, "run", seen)
    assert inspect.iscoroutinefunction(Remote.run)
    with pytest.raises(StopIteration) as end:
        Remote().run().send(None)
    assert end.value.value == 3
    assert len(seen.calls) == 1
    patches.undo()


def test_wrapping_twice_wraps_once(seen: Seen) -> None:
    original = Base.run
    patches, again = Patches(), Patches()
    patches.wrap(Base, "run", seen)
    again.wrap(Base, "run", seen)
    Base().run("c")
    assert len(seen.calls) == 1
    again.undo()
    patches.undo()
    assert Base.run is original


def test_what_is_no_function_any_more_is_said() -> None:
    with pytest.raises(AttributeError, match=r"Base\.execute is not a function any more"):
        Patches().wrap(Base, "execute", Seen())


def test_what_somebody_has_wrapped_over_ours_stays_and_ours_does_nothing(seen: Seen) -> None:
    original = Base.run
    patches = Patches()
    patches.wrap(Base, "run", seen)
    ours = Base.run

    @functools.wraps(ours)
    def theirs(self: Any, circuit: str) -> str:
        return f"theirs: {ours(self, circuit)}"

    Base.run = theirs  # type: ignore[method-assign]
    try:
        patches.undo()
        assert Base().run("c") == "theirs: Base ran c"
        assert seen.calls == []
        again = Patches()
        again.wrap(Base, "run", seen)  # over theirs, since ours below is off
        assert Base().run("c") == "theirs: Base ran c"
        assert len(seen.calls) == 1
        again.undo()
        assert Base.run is theirs
    finally:
        Base.run = original  # type: ignore[method-assign]


def test_a_family_is_wrapped_with_members_that_are_still_to_come(seen: Seen) -> None:
    parent, child = family()
    patches = Patches()
    patches.wrap_family(parent, "run", seen)

    class Later(child):  # type: ignore[misc,valid-type]
        def run(self, circuit: str) -> str:
            return f"later: {circuit}"

    class Silent(parent):  # type: ignore[misc,valid-type]
        """Defines none of its own."""

    before = {cls: vars(cls)["run"].__wrapped__ for cls in (parent, child, Later)}
    assert child().run("c") == "child: parent: Child ran c"
    assert len(seen.calls) == 2  # each layer is told: whoever counts counts the outermost
    Later().run("c")
    assert len(seen.calls) == 3
    Silent().run("c")
    assert len(seen.calls) == 4
    patches.undo()
    for cls, original in before.items():
        assert vars(cls)["run"] is original
    assert "__init_subclass__" not in vars(parent)

    class TooLate(parent):  # type: ignore[misc,valid-type]
        def run(self, circuit: str) -> str:
            return f"too late: {circuit}"

    assert not hasattr(TooLate.run, "__wrapped__")


def test_an_init_subclass_of_the_frameworks_own_still_runs(seen: Seen) -> None:
    class Registered:
        known: list[str] = []  # noqa: RUF012 - as frameworks do

        def __init_subclass__(cls, /, name: str, **more: Any) -> None:
            super().__init_subclass__(**more)
            cls.known.append(name)

        def run(self) -> int:
            return 1

    own = vars(Registered)["__init_subclass__"]
    patches = Patches()
    patches.wrap_family(Registered, "run", seen)

    class One(Registered, name="one"):
        def run(self) -> int:
            return 2

    assert Registered.known == ["one"]
    One().run()
    assert len(seen.calls) == 1
    patches.undo()
    assert vars(Registered)["__init_subclass__"] is own


def test_an_abstract_method_stays_abstract(seen: Seen) -> None:
    import abc

    class Abstract(abc.ABC):
        @abc.abstractmethod
        def run(self) -> int: ...

    patches = Patches()
    patches.wrap_family(Abstract, "run", seen)

    class Concrete(Abstract):
        def run(self) -> int:
            return 1

    with pytest.raises(TypeError, match="abstract"):
        Abstract()  # type: ignore[abstract]
    assert Concrete().run() == 1
    assert len(seen.calls) == 1
    patches.undo()


def test_a_class_of_a_family_can_go(seen: Seen) -> None:
    parent, _ = family()
    patches = Patches()
    patches.wrap_family(parent, "run", seen)

    def make() -> weakref.ref[Any]:
        class Gone(parent):  # type: ignore[misc,valid-type]
            def run(self, circuit: str) -> str:
                return circuit

        return weakref.ref(Gone)

    gone = make()
    gc.collect()
    assert gone() is None
    patches.undo()


def test_classes_and_objects_that_are_gone_leave_nothing_behind(seen: Seen) -> None:
    parent, child = family()
    patches = Patches()
    patches.wrap_family(parent, "run", seen)

    def come_and_go() -> None:
        class Gone(child):  # type: ignore[misc,valid-type]
            def run(self, circuit: str) -> str:
                return str(super().run(circuit))

        Patches().wrap_object(Gone(), "run", seen)

    for _ in range(50):
        come_and_go()
    gc.collect()
    assert len(patches._wrapped) == 2
    assert _ONES == {}
    patches.undo()


def test_objects_of_one_class_share_theirs_and_have_it_back(seen: Seen) -> None:
    one, other = Base(), Base()
    patches, others = Patches(), Patches()
    patches.wrap_object(one, "run", seen)
    patches.wrap_object(one, "run", seen)
    others.wrap_object(other, "run", seen)
    assert type(one) is type(other)
    assert one.__class__ is Base
    assert (one.run("c"), other.run("d")) == ("Base ran c", "Base ran d")
    assert seen.calls == [(one, "c"), (other, "d")]
    patches.undo()
    assert type(one) is Base
    assert (one.run("c"), other.run("d")) == ("Base ran c", "Base ran d")
    assert seen.calls[2:] == [(other, "d")]
    others.undo()
    assert type(other) is Base


def test_a_family_that_is_wrapped_later_does_not_count_above_a_wrapped_object(seen: Seen) -> None:
    parent, child = family()
    one, all_of_them = Patches(), Patches()
    thing = child()
    watched = Seen()
    one.wrap_object(thing, "run", watched)
    all_of_them.wrap_family(parent, "run", seen)
    assert thing.run("c") == "child: parent: Child ran c"
    assert watched.calls == [(thing, "c")]
    assert seen.calls[0] == (thing, "c")
    one.undo()
    all_of_them.undo()
    assert type(thing) is child


class CopiedByHand(Base):
    """As some devices are."""

    def __copy__(self) -> CopiedByHand:
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new


@pytest.mark.parametrize("kind", [Base, CopiedByHand])
def test_a_copy_of_a_wrapped_object_runs_by_itself(seen: Seen, kind: type[Base]) -> None:
    thing = kind()
    patches = Patches()
    patches.wrap_object(thing, "run", seen)
    another = copy.copy(thing)
    for _ in range(2):
        assert another.run("c") == f"{kind.__name__} ran c"
        assert another.run.__self__ is another  # type: ignore[attr-defined]
        assert another.__class__ is kind
        assert seen.calls == []
        patches.undo()
    patches = Patches()
    patches.wrap_object(another, "run", seen)
    another.run("d")
    assert seen.calls == [(another, "d")]
    patches.undo()


class Final(Base):
    """Refuses subclasses."""

    def __init_subclass__(cls) -> None:
        raise TypeError("final")


def test_an_object_that_cannot_be_wrapped_is_left_as_it_is(seen: Seen) -> None:
    thing = Final()
    with pytest.raises(AttributeError, match="Final cannot be wrapped: final"):
        Patches().wrap_object(thing, "run", seen)
    assert type(thing) is Final
    assert thing.run("c") == "Final ran c"


def test_only_the_object_is_wrapped_and_its_class_is_not(seen: Seen) -> None:
    one, other = Base(), Base()
    patches = Patches()
    patches.wrap_object(one, "run", seen)
    patches.wrap_object(one, "run", seen)
    assert one.run("c") == other.run("c") == "Base ran c"
    assert seen.calls == [(one, "c")]
    patches.undo()
    assert vars(one) == {}


def test_an_object_that_is_wrapped_can_go(seen: Seen) -> None:
    thing = Base()
    gone = weakref.ref(thing)
    patches = Patches()
    patches.wrap_object(thing, "run", seen)
    del thing
    gc.collect()
    assert gone() is None
    patches.undo()


def test_a_deep_or_unpickled_copy_of_a_wrapped_object_runs_by_itself(seen: Seen) -> None:
    thing = Base()
    patches = Patches()
    patches.wrap_object(thing, "run", seen)
    for another in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):  # noqa: S301 - our own
        assert another.run("c") == "Base ran c"
        assert another.run.__self__ is another  # type: ignore[union-attr]
    assert seen.calls == []
    patches.undo()
