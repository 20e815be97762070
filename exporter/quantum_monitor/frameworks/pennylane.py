"""PennyLane: the circuits that devices execute, and the steps that its optimizers make.

Every method of a device that executes circuits is wrapped, in every class of devices: adjoint differentiation and
Lightning never call ``execute``. The device sees circuits as they are executed, templates expanded already. What
calculates derivatives runs each circuit once, too, and counts like an execution of it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pennylane as qml
from pennylane.devices import Device
from pennylane.tape import QuantumScript

from quantum_monitor.backends.reading import name_of
from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks.executions import Batch, observed
from quantum_monitor.frameworks.patches import Around, Patches
from quantum_monitor.frameworks.steps import automatic_step, step_begins
from quantum_monitor.frameworks.unseen import unseen

_EXECUTING = (
    "execute",
    "compute_derivatives",
    "execute_and_compute_derivatives",
    "compute_jvp",
    "execute_and_compute_jvp",
    "compute_vjp",
    "execute_and_compute_vjp",
)

_BATCHES = {list, tuple}
_REMOTE = ("ionq", "aqt.", "cirq.pasqal", "honeywell.", "quantinuum.", "rigetti.qpu", "strawberryfields.remote")

_STEPPING = ("step", "step_and_cost")
_OPTIMIZERS = {
    "GradientDescentOptimizer": ("compute_grad", "apply_grad", *_STEPPING),
    "SPSAOptimizer": ("apply_grad", *_STEPPING),
    "QNSPSAOptimizer": _STEPPING,
    "RotosolveOptimizer": _STEPPING,
    "RotoselectOptimizer": _STEPPING,
    "AdaptiveOptimizer": _STEPPING,
    "RiemannianGradientOptimizer": _STEPPING,
}
"""The methods of optimizers, and of all that are made from them, that tell something."""


def install(patches: Patches) -> None:
    """Wrap the devices and the optimizers of PennyLane.

    Raises:
        AttributeError: they have no such methods any more.
    """
    for name in _EXECUTING:
        _wrap(patches, Device, name, _executed)
    telling = {"compute_grad": _computed, "apply_grad": _applied, "step": _stepped, "step_and_cost": _stepped_with_cost}
    for optimizer, names in _OPTIMIZERS.items():
        for name in names:
            _wrap(patches, getattr(qml.optimize, optimizer), name, telling[name])


def _wrap(patches: Patches, family: Any, name: str, around: Around) -> None:
    if not callable(getattr(family, name, None)):
        message = f"{family.__qualname__}.{name} is not a function any more"
        raise AttributeError(message)  # noqa: TRY004 - as `Patches.wrap` has it
    patches.wrap_family(family, name, around)


def watch(patches: Patches, thing: Any) -> bool:
    """Wrap one device, or the device of one QNode."""
    device = thing.device if isinstance(thing, qml.QNode) else thing
    if not isinstance(device, Device):
        return False
    for name in _EXECUTING:
        patches.wrap_object(device, name, _executed)
    return True


# Devices


def _executed(original: Callable[..., Any], device: Any, *args: Any, **kwargs: Any) -> Any:
    if args and type(args[0]) not in _BATCHES and isinstance(args[0], Iterator):
        args = (tuple(args[0]), *args[1:])  # it can be gone through once
    elif isinstance(kwargs.get("circuits"), Iterator):
        kwargs["circuits"] = tuple(kwargs["circuits"])
    return observed(_batch, original, device, *args, **kwargs)


def _batch(device: Any, *args: Any, **kwargs: Any) -> Batch:
    """The circuits that a method of a device is given: one tape or several, before anything else."""
    given: Any = args[0] if args else kwargs.get("circuits", ())
    tapes = given if type(given) in _BATCHES else (given,) if isinstance(given, QuantumScript) else tuple(given)
    # The shots of all parts of a shot vector, for each entry of a broadcast parameter.
    shots = [
        None if (number := tape.shots.total_shots) is None else int(number) * (tape.batch_size or 1) for tape in tapes
    ]
    known = _DEVICES.get(id(device))
    if known is not None and known[0]() is device:
        return Batch(known[1], tapes, shots, known[2])
    backend, local, inner = _backend(device)
    if inner is None:
        _remember(device, backend, local)
    return Batch(backend, tapes, shots, local, inner)


def _remember(device: Any, backend: str, local: bool) -> None:
    """Remember what a device is called that leads to no backend of another framework."""
    number = id(device)
    if len(_DEVICES) >= _DEVICES_REMEMBERED:
        _DEVICES.clear()
    _DEVICES[number] = weakref.ref(device, lambda _: _DEVICES.pop(number, None)), backend, local


_DEVICES: dict[int, tuple[weakref.ref[Any], str, bool]] = {}
_DEVICES_REMEMBERED = 64


def _backend(device: Any) -> tuple[str, bool, Any]:
    """The label of a device, whether it is known to be on this machine, and the provider's object, where there is one.

    A plug-in that leads to the backends of another framework is called as those are: that is what has a price, or is
    known to have none.
    """
    name = str(getattr(device, "short_name", None) or device.name)
    if name.startswith("braket.aws."):
        inner = device.target_device._device
    elif name == "qiskit.remote":
        inner = device.backend
    else:
        return name, not name.startswith(_REMOTE), None
    return name_of(inner), False, inner


# Optimizers


class _Step:
    """What is known so far of the step that an optimizer makes.

    Attributes:
        optimizer: whose step it is.
        gradient: what was computed, an array for each trainable argument.
        parameters: the new arguments, those included that are not trained.
    """

    __slots__ = ("gradient", "loss", "optimizer", "parameters")

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.loss: Any = None
        self.gradient: Any = None
        self.parameters: Any = None

    def log(self) -> None:
        automatic_step(self.loss, _alone(self.gradient), _alone(_trained(self.parameters)))


class _Here(threading.local):
    """What the present thread is inside of, and the gradient that it computed last, with the loss found beside it."""

    step: _Step | None = None
    computed: tuple[Any, Any] | None = None


_HERE = _Here()

_Read: TypeAlias = Callable[[_Step, tuple[Any, ...], Any], None]
"""Takes over what a method's arguments and result tell of a step."""


def _stepped(original: Callable[..., Any], optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    return _step(_read_step, original, optimizer, *args, **kwargs)


def _stepped_with_cost(original: Callable[..., Any], optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    return _step(_read_cost, original, optimizer, *args, **kwargs)


def _applied(original: Callable[..., Any], optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    return _step(_read_gradient, original, optimizer, *args, **kwargs)


def _computed(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    result = original(*args, **kwargs)
    _HERE.computed = result if isinstance(result, tuple) and len(result) == 2 else None
    return result


@unseen
def _step(read: _Read, original: Callable[..., Any], optimizer: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method of an optimizer. The outermost one is the step; others that it uses for itself tell of it."""
    outer = _HERE.step
    if outer is None:
        step_begins()
    step = outer if outer is not None and outer.optimizer is optimizer else _Step(optimizer)
    _HERE.step = step
    try:
        result = original(optimizer, *args, **kwargs)
    finally:
        _HERE.step = outer
    try:
        read(step, args, result)
        if outer is None:
            _HERE.computed = None
            step.log()
    except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
        FAULTS.internal("instrumentation", error)
    return result


def _read_step(step: _Step, _: tuple[Any, ...], result: Any) -> None:
    if step.parameters is None:
        step.parameters = result


def _read_cost(step: _Step, _: tuple[Any, ...], result: Any) -> None:
    if isinstance(result, tuple) and len(result) > 1:
        step.parameters = result[0]
        step.loss = result[-1 if isinstance(step.optimizer, qml.RotoselectOptimizer) else 1]


def _read_gradient(step: _Step, args: tuple[Any, ...], result: Any) -> None:
    step.parameters = result
    if not args:
        return
    step.gradient = args[0]
    computed = _HERE.computed
    # Of the optimizer that adapts its shots, what comes with the gradient is a variance.
    if computed is not None and computed[0] is step.gradient and not isinstance(computed[1], (list, tuple)):
        step.loss = computed[1]


def _trained(values: Any) -> list[Any]:
    """Those of the arguments that are trained: not the data that the objective function is given beside."""
    several = values if isinstance(values, (list, tuple)) else (values,)
    return [value for value in several if getattr(value, "requires_grad", False)]


def _alone(values: Any) -> Any:
    """What stands alone in a sequence; None for an empty one."""
    if not isinstance(values, (list, tuple)) or len(values) > 1:
        return values
    return values[0] if values else None
