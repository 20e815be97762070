"""Cirq: samplers and simulators.

Everything of Cirq's that executes circuits goes through a few methods, which samplers and simulators define or inherit.
Where Cirq's own classes define one method by another, the one that does the work counts: so each circuit of a batch or
sweep has a time and a status of its own.
"""

from __future__ import annotations

import inspect
import math
import operator
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import cirq

from quantum_monitor.frameworks.executions import (
    Batch,
    Work,
    begin,
    carried,
    enclosing,
    observed,
    observed_one_by_one,
)
from quantum_monitor.frameworks.patches import Around, Patches
from quantum_monitor.names import text

_SIMULATORS = (
    cirq.SimulatesSamples,
    cirq.SimulatesAmplitudes,
    cirq.SimulatesExpectationValues,
    cirq.SimulatesFinalState,
)
_DEFINED_BY_ANOTHER = frozenset(
    {
        cirq.Sampler.run_batch,
        cirq.SimulatesSamples.run_sweep,
        cirq.SimulatesAmplitudes.compute_amplitudes_sweep,
        cirq.SimulatesExpectationValues.simulate_expectation_values_sweep,
        cirq.SimulatesFinalState.simulate_sweep,
    }
)
_ONE_SET = frozenset({type(None), cirq.ParamResolver})


def install(patches: Patches) -> None:
    """Wrap what executes circuits, in Cirq's samplers and simulators and in anybody's.

    Raises:
        AttributeError: Cirq is not what it was.
    """
    for base, arounds in _FAMILIES.items():
        for name, around in arounds.items():
            getattr(base, name)
            patches.wrap_family(base, name, around)


def watch(patches: Patches, thing: Any) -> bool:
    """Wrap what executes circuits of one sampler or simulator."""
    arounds = [around for base, some in _FAMILIES.items() if isinstance(thing, base) for around in some.items()]
    for name, around in arounds:
        patches.wrap_object(thing, name, around)
    return bool(arounds)


def _at_once(parameters: int, shots: int | None = None) -> Around:
    """Around a method that executes a circuit once for each set of parameters, and returns all results.

    Args:
        parameters: the position of the sets of parameters.
        shots: the position of the number of repetitions; None: the simulation is exact.
    """
    describe, describe_one = _describe(parameters, shots), _describe_one(shots)

    def around(original: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_defined_by_another(original):
            # One circuit is counted here all the same: that is cheaper than as the only one of a generator.
            if type(_argument(args, kwargs, parameters, "params")) in _ONE_SET:
                return observed(describe_one, original, *args, **kwargs)
            return original(*args, **kwargs)
        args, kwargs = _repeatable(args, kwargs, parameters)
        return observed(describe, original, *args, **kwargs)

    return around


def _one_by_one(shots: int | None = None) -> Around:
    """Around a generator of results, one for each set of parameters."""
    describe = _describe_one(shots)

    def around(original: Any, *args: Any, **kwargs: Any) -> Any:
        # What is no generator does its work when it is called, by other methods of these, or by none that we know.
        if enclosing() is not None or not inspect.isgeneratorfunction(original):
            return original(*args, **kwargs)
        return observed_one_by_one(describe, original, *args, **kwargs)

    return around


def _awaited(parameters: int, shots: int) -> Around:
    """Around a coroutine function that executes a circuit once for each set of parameters."""
    at_once = _describe(parameters, shots)

    def around(original: Any, *args: Any, **kwargs: Any) -> Any:
        if enclosing() is not None or not inspect.iscoroutinefunction(original):
            return original(*args, **kwargs)
        args, kwargs = _repeatable(args, kwargs, parameters)
        work = begin(at_once, *args, **kwargs)
        coroutine = original(*args, **kwargs)
        return coroutine if work is None else _Awaited(work, coroutine)

    return around


class _Awaited:
    """A coroutine that is inside of its work whenever it runs; in between, others run on the same thread."""

    def __init__(self, work: Work, coroutine: Any) -> None:
        self._work, self._coroutine = work, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        work, began = self._work, time.perf_counter()
        running = self._coroutine.__await__()
        send, throw = carried(running.send, work), carried(running.throw, work)
        resume, value = send, None
        while True:
            try:
                waits_for = resume(value)
            except StopIteration as end:
                work.finish("success", time.perf_counter() - began)
                return end.value
            except BaseException as error:
                work.fail(error, time.perf_counter() - began)
                raise
            try:
                resume, value = send, (yield waits_for)
            except BaseException as error:  # noqa: BLE001 - the coroutine is told, and says what becomes of it
                resume, value = throw, error


def _step_by_step(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Around a generator of steps of one circuit, which is executed when the last has come."""
    work = begin(_describe_one(None), *args, **kwargs) if enclosing() is None else None
    steps = original(*args, **kwargs)
    return steps if work is None else _counted_at_its_end(work, steps)


def _by_amplitudes(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Around ``sample_from_amplitudes``, which computes amplitudes of many parts of the one circuit."""
    return observed(_describe_one(4), original, *args, **kwargs)


def _counted_at_its_end(work: Work, steps: Iterator[Any]) -> Iterator[Any]:
    step = carried(steps.__next__, work)
    seconds = 0.0
    while True:
        began = time.perf_counter()
        try:
            result = step()
        except StopIteration:
            work.finish("success", seconds + time.perf_counter() - began)
            return
        except BaseException as error:
            work.fail(error, seconds + time.perf_counter() - began)
            raise
        seconds += time.perf_counter() - began
        yield result


def _batch(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Around ``run_batch`` of a sampler that sends all circuits in one job."""
    if _is_defined_by_another(original):
        return original(*args, **kwargs)
    return observed(_batch_of, original, *args, **kwargs)


def _batch_of(*args: Any, **kwargs: Any) -> Batch | None:
    programs = _argument(args, kwargs, 1, "programs")
    if not isinstance(programs, Sequence):
        return None
    sets = _argument(args, kwargs, 2, "params_list") or (None,) * len(programs)
    shots = _argument(args, kwargs, 3, "repetitions", 1)
    each = shots if isinstance(shots, Sequence) else (shots,) * len(programs)
    circuits, repetitions = [], []
    for program, some, number in zip(programs, sets, each, strict=False):
        count = _number_of_sets(some)
        circuits += [program] * count
        repetitions += [_whole(number)] * count
    name, local = _place(args[0])
    return Batch(name, circuits, repetitions, local)


def _describe_one(shots: int | None) -> Callable[..., Batch | None]:
    """Says that a call executes one circuit.

    Args:
        shots: the position of the number of repetitions; None: the simulation is exact.
    """

    def describe(*args: Any, **kwargs: Any) -> Batch | None:
        program = args[1] if len(args) > 1 else kwargs.get("program", kwargs.get("circuit"))
        if program is None:
            return None
        name, local = _place(args[0])
        repetitions = None if shots is None else _whole(_argument(args, kwargs, shots, "repetitions", 1))
        return Batch(name, (program,), repetitions, local)

    return describe


def _describe(parameters: int, shots: int | None) -> Callable[..., Batch | None]:
    """Says that a call executes a circuit once for each of its sets of parameters."""
    describe_one = _describe_one(shots)

    def describe(*args: Any, **kwargs: Any) -> Batch | None:
        batch = describe_one(*args, **kwargs)
        sets = _number_of_sets(_argument(args, kwargs, parameters, "params"))
        return batch and batch._replace(circuits=(*batch.circuits,) * sets)

    return describe


def _place(owner: Any) -> tuple[str, bool]:
    """The name of a sampler or simulator, as `quantum_monitor.hardware` has it, and whether it is on this machine."""
    name, local = _kind(owner.__class__)
    known = None if local else getattr(owner, "processor_id", None)
    return (text(known) if known else name), local


@lru_cache(maxsize=256)
def _kind(kind: Any) -> tuple[str, bool]:
    return f"cirq.{kind.__name__}", issubclass(kind, _SIMULATORS) or kind.__module__.split(".")[0] == "cirq"


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, name: str, default: Any = None) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _whole(number: Any) -> int | None:
    try:
        return operator.index(number)
    except TypeError:
        return None


def _number_of_sets(params: Any) -> int:
    """How many sets of parameters a ``cirq.Sweepable`` holds; an iterator in it is left alone, and passes for one."""
    if isinstance(params, cirq.Sweep):
        return len(params)
    if isinstance(params, dict):
        return math.prod(len(some) for some in params.values() if isinstance(some, Sequence))
    if isinstance(params, (list, tuple, set, frozenset)):
        return sum(map(_number_of_sets, params))
    return 1


def _repeatable(args: tuple[Any, ...], kwargs: dict[str, Any], position: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, with a list of sets of parameters where it has an iterator of them."""
    if isinstance(kwargs.get("params"), Iterator):
        return args, {**kwargs, "params": list(kwargs["params"])}
    if len(args) > position and isinstance(args[position], Iterator):
        return (*args[:position], list(args[position]), *args[position + 1 :]), kwargs
    return args, kwargs


def _is_defined_by_another(method: Any) -> bool:
    return method in _DEFINED_BY_ANOTHER or hasattr(method, "_abstract_alternatives_")


_FAMILIES: Mapping[type, Mapping[str, Around]] = {
    cirq.Sampler: {
        "run_sweep": _at_once(parameters=2, shots=3),
        "run_sweep_async": _awaited(parameters=2, shots=3),
        "run_batch": _batch,
    },
    cirq.SimulatesSamples: {"run_sweep_iter": _one_by_one(shots=3)},
    cirq.SimulatesAmplitudes: {
        "compute_amplitudes_sweep": _at_once(parameters=3),
        "compute_amplitudes_sweep_iter": _one_by_one(),
        "sample_from_amplitudes": _by_amplitudes,
    },
    cirq.SimulatesExpectationValues: {
        "simulate_expectation_values_sweep": _at_once(parameters=3),
        "simulate_expectation_values_sweep_iter": _one_by_one(),
    },
    cirq.SimulatesFinalState: {
        "simulate_sweep": _at_once(parameters=2),
        "simulate_sweep_iter": _one_by_one(),
    },
    cirq.SimulatesIntermediateState: {"simulate_moment_steps": _step_by_step},
}
