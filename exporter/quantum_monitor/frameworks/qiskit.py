"""Qiskit: primitives (samplers and estimators, version 2) and the ``run`` of backends.

One execution is one circuit with one set of parameter values: a PUB with an array of n sets of parameters is n of them,
each with the PUB's shots, however many observables an estimator measures. The shots of an estimator are those that its
backend took for it, shared out; exact ones take none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple, TypeAlias

from qiskit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2, StatevectorEstimator, StatevectorSampler
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers.backend import Backend

from quantum_monitor.backends.qiskit_backends import is_local
from quantum_monitor.frameworks import qiskit_changes, qiskit_jobs
from quantum_monitor.frameworks.executions import Batch, Work, enclosing, sent
from quantum_monitor.frameworks.patches import Around, Patches
from quantum_monitor.physics.circuit_objects import remember_class

Shots: TypeAlias = "int | list[int | None] | None"
"""Of each execution: as `Batch.shots`."""

_AS_GIVEN = frozenset([QuantumCircuit, list, tuple])


def install(patches: Patches) -> None:
    """Wrap what executes circuits."""
    qiskit_jobs.HOOKS.hold(patches)
    patches.wrap_family(BaseSamplerV2, "run", _run_primitive)
    patches.wrap_family(BaseEstimatorV2, "run", _run_primitive)
    patches.wrap_family(Backend, "run", _run_backend)
    qiskit_changes.install(patches)


def watch(patches: Patches, thing: Any) -> bool:
    """Wrap one primitive or backend."""
    around: Around
    if isinstance(thing, (BaseSamplerV2, BaseEstimatorV2)):
        around = _run_primitive
    elif isinstance(thing, Backend):
        around = _run_backend
    else:
        return False
    qiskit_jobs.HOOKS.hold(patches)
    patches.wrap_object(thing, "run", around)
    return True


class Place(NamedTuple):
    """Where circuits run: the label, whether that is this machine, and the object to ask for its status."""

    label: str
    local: bool
    device: Any


def place_of(backend: Any, label: str) -> Place:
    """Where a backend runs circuits.

    Args:
        backend: None where there is none.
        label: used where there is none.
    """
    if backend is None:
        return Place(label, True, None)
    name = backend.name
    local = _LOCAL.get(type(backend))
    if local is None:
        local = is_local(type(backend))
        remember_class(_LOCAL, type(backend), local)
    return Place(name() if callable(name) else name or type(backend).__name__, local, backend)


_LOCAL: dict[type, bool] = {}


def _run_primitive(original: Callable[..., Any], primitive: Any, *args: Any, **kwargs: Any) -> Any:
    if enclosing() is not None:
        return original(primitive, *args, **kwargs)
    if not args or type(args[0]) is not list:
        args, kwargs = _to_be_read_twice("pubs", args, kwargs)
    follow = partial(_follow, primitive, args, kwargs)
    return sent(_primitive_batch, follow, original, primitive, *args, **kwargs)


def _to_be_read_twice(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """Arguments whose first one, where it can only be gone through once, is a list of the same."""
    if args and isinstance(args[0], Iterator):
        return (list(args[0]), *args[1:]), kwargs
    if isinstance(kwargs.get(name), Iterator):
        return args, {**kwargs, name: list(kwargs[name])}
    return args, kwargs


def _primitive_batch(
    primitive: Any, pubs: Any, *, shots: Any = None, precision: Any = None, dry_run: bool = False, **_: Any
) -> Batch | None:
    """What a primitive is asked for; of one on this machine the details follow with its job."""
    place = _place_of_primitive(primitive)
    if place.local:
        return Batch(place.label, _circuits_of(pubs), None, True, place.device)
    if dry_run:
        return None
    coerced = _coerced(primitive, pubs, shots if precision is None else precision)
    if coerced is None:
        return Batch(place.label, _circuits_of(pubs), None, False, place.device)
    circuits, each = _executions(coerced, partial(_asked_shots, primitive))
    return Batch(place.label, circuits, each, False, place.device)


_EXACT = (
    (StatevectorEstimator, Place("statevector_estimator", True, None)),
    (StatevectorSampler, Place("statevector_sampler", True, None)),
)


def _place_of_primitive(primitive: Any) -> Place:
    for kind, exact in _EXACT:
        if isinstance(primitive, kind):
            return exact
    backend = getattr(primitive, "_backend", None)
    if backend is None:
        backend = getattr(primitive, "backend", None)
        backend = backend() if callable(backend) else backend
    return place_of(backend, type(primitive).__name__)


def _circuits_of(pubs: Any) -> Sequence[Any]:
    """The circuit of each PUB, whatever form the PUB has; one where somebody hands over a circuit in their place."""
    if isinstance(pubs, QuantumCircuit):
        return (pubs,)
    return [pub[0] if isinstance(pub, (tuple, list)) and pub else getattr(pub, "circuit", pub) for pub in pubs]


def _follow(primitive: Any, args: Sequence[Any], kwargs: Mapping[str, Any], work: Work, job: Any) -> None:
    task = qiskit_jobs.task_of(job)
    pubs = None
    if task is not None and task.arguments and _are_pubs(task.arguments[0]):
        pubs = task.arguments[0]
    elif work.batch.local:
        pubs = _coerced(primitive, args[0] if args else kwargs["pubs"], kwargs.get("shots"))
    if pubs is not None:
        circuits, shots = _executions(pubs, _shots_of)
        work.batch, work.facts = work.batch._replace(circuits=circuits, shots=shots), None
    qiskit_jobs.follow(work, job)


def _are_pubs(things: Any) -> bool:
    return isinstance(things, list) and bool(things) and isinstance(things[0], (SamplerPub, EstimatorPub))


def _coerced(primitive: Any, pubs: Iterable[Any], amount: Any) -> list[Any] | None:
    """The PUBs as the primitive sees them; None where they are not what it takes, which is for it to say."""
    kind = EstimatorPub if isinstance(primitive, BaseEstimatorV2) else SamplerPub
    try:
        return [kind.coerce(pub, amount) for pub in pubs]
    except Exception:  # noqa: BLE001 - the primitive raises the same
        return None


def _executions(pubs: Iterable[Any], shots_of: Callable[[Any], int | None]) -> tuple[list[Any], Shots]:
    """The circuit of each execution, and its shots: one number where all take as many."""
    if isinstance(pubs, list) and len(pubs) == 1 and not pubs[0].parameter_values.shape:  # most are like this
        return [pubs[0].circuit], shots_of(pubs[0])
    circuits: list[Any] = []
    shots: list[int | None] = []
    for pub in pubs:
        times = math.prod(pub.parameter_values.shape)
        circuits += [pub.circuit] * times
        shots += [shots_of(pub)] * times
    return circuits, shots[0] if len(set(shots)) == 1 else shots


def _shots_of(pub: Any) -> int | None:
    return getattr(pub, "shots", None)


def _asked_shots(primitive: Any, pub: Any) -> int | None:
    """The shots that a primitive elsewhere takes for a PUB; for an estimator those that its precision stands for."""
    options = getattr(primitive, "options", None)
    default = _number(getattr(options, "default_shots", None))
    if isinstance(pub, SamplerPub):
        return pub.shots or default
    precision = pub.precision or (None if default else getattr(options, "default_precision", None))
    if isinstance(precision, (float, int)) and precision > 0:
        return math.ceil(1 / precision**2)
    return default


def _number(shots: Any) -> int | None:
    return int(shots) if isinstance(shots, Integral) else None


def _run_backend(original: Callable[..., Any], backend: Any, *args: Any, **kwargs: Any) -> Any:
    if enclosing() is not None:
        return qiskit_jobs.on_behalf(
            partial(_shots_in_all, backend, *args, **kwargs), original, backend, *args, **kwargs
        )
    if not args or type(args[0]) not in _AS_GIVEN:
        args, kwargs = _to_be_read_twice("run_input", args, kwargs)
    return sent(_backend_batch, qiskit_jobs.follow, original, backend, *args, **kwargs)


def _backend_batch(backend: Any, *args: Any, **options: Any) -> Batch:
    circuits, shots = _runs(backend, *args, **options)
    place = place_of(backend, type(backend).__name__)
    return Batch(place.label, circuits, shots, place.local, place.device)


def _shots_in_all(backend: Any, *args: Any, **options: Any) -> int:
    circuits, shots = _runs(backend, *args, **options)
    return sum(number or 0 for number in shots) if isinstance(shots, Sequence) else (shots or 0) * len(circuits)


def _runs(
    backend: Any, *args: Any, shots: Any = None, parameter_binds: Any = None, **options: Any
) -> tuple[Sequence[Any], Shots]:
    """The circuit of each execution of a ``run``, and its shots: none of one that has nowhere to write them."""
    given = args[0] if args else options.get("run_input", options.get("circuits"))
    circuits: Sequence[Any] = given if isinstance(given, (list, tuple)) else (given,)
    binds = args[1] if len(args) > 1 else parameter_binds
    if binds:
        circuits = [circuit for circuit, bind in zip(circuits, binds, strict=False) for _ in range(_sets_in(bind))]
    if shots is None:
        shots = getattr(getattr(backend, "options", None), "shots", None)
    number = shots if type(shots) is int else _number(shots)
    if number is not None:
        for circuit in circuits:
            if not getattr(circuit, "num_clbits", 1):
                return circuits, [number if getattr(circuit, "num_clbits", 1) else None for circuit in circuits]
    return circuits, number


def _sets_in(bind: Any) -> int:
    """How many sets of values the parameters of a circuit are given, in Aer's form: a list for each parameter."""
    values = next(iter(bind.values()), None) if isinstance(bind, Mapping) else None
    return len(values) if isinstance(values, Sized) else 1
