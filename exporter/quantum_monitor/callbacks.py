"""Callbacks for optimizers that offer one: each of their steps becomes a training step, and nothing is computed anew.

For those who would rather say where their steps come from than have them found by ``instrument()``. PennyLane's
optimizers offer no callback: ``instrument()`` reads them, or the loop calls ``monitor.log_training_step``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from quantum_monitor.faults import FAULTS
from quantum_monitor.process import current_monitor

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor

T = TypeVar("T")


class _Steps:
    """Counts steps from 0 on and logs them, to the given monitor or to the one whose run is active at the time."""

    def __init__(self, monitor: QuantumMonitor | None) -> None:
        self._monitor = monitor
        self._next = 0

    def log(self, read: Callable[..., tuple[Any, Any, Any, Mapping[str, Any]]], *told: Any) -> None:
        """Log a step: loss, gradients, parameters and further values, as ``read`` finds them in what was told."""
        monitor = self._monitor or current_monitor()
        if monitor is None:
            return
        try:
            loss, gradients, parameters, more = read(*told)
        except Exception as error:  # noqa: BLE001 - optimization goes on whatever happens in here
            FAULTS.internal("callback", error)
            return
        monitor.log_training_step(loss, gradients, parameters, self._next, more or None)
        self._next += 1


def scipy_callback(monitor: QuantumMonitor | None = None) -> Callable[..., None]:
    """A ``callback`` for ``scipy.optimize.minimize`` and its kin.

    The loss comes from the solver, where it tells one: since SciPy 1.11 all but TNC do. So does the gradient:
    trust-constr alone tells it. The objective is not called for the callback's sake. An optimizer of Qiskit that wraps
    one of SciPy takes it, too: ``COBYLA(callback=scipy_callback())``.

    Args:
        monitor: whom the steps are told; the monitor whose run is active at the time unless given.

    Example:
        >>> with monitor.start_run("h2"):
        ...     minimize(energy, start, method="COBYLA", callback=scipy_callback())
    """
    steps = _Steps(monitor)

    def callback(*told: Any, **named: Any) -> None:
        steps.log(_of_scipy, *told, *named.values())

    # SciPy tells the most to a callback with this one parameter. Old versions, and TNC, tell the point alone, by
    # position, and old ones of trust-constr the point and the state.
    result = inspect.Parameter("intermediate_result", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    callback.__signature__ = inspect.Signature([result])  # type: ignore[attr-defined]
    return callback


def _of_scipy(first: Any, state: Any = None, *_: Any) -> tuple[Any, Any, Any, Mapping[str, Any]]:
    result = first if hasattr(first, "x") else state
    if not hasattr(result, "x"):
        return None, None, first, {}
    gradient = getattr(result, "grad", getattr(result, "jac", None))
    # trust-constr calls the Jacobians of the constraints `jac`, and has the gradient beside them.
    return getattr(result, "fun", None), gradient, result.x, {}


def qiskit_callback(monitor: QuantumMonitor | None = None) -> Callable[..., None]:
    """A ``callback`` for the optimizers and eigensolvers of Qiskit Algorithms and Qiskit Machine Learning.

    For SPSA, QNSPSA, GradientDescent, UMDA, VQE, SamplingVQE, QAOA and whatever else calls back with the number of
    evaluations, the parameters and the value. An eigensolver calls back at each evaluation, an optimizer at each
    iteration; the size of its step is logged as ``stepsize``, and a step that SPSA does not accept is none. With a
    callback, SPSA without ``blocking`` and GradientDescent evaluate the loss once more an iteration, which is theirs.

    Args:
        monitor: as for `scipy_callback`.

    Example:
        >>> VQE(estimator, ansatz, SPSA(maxiter=100, callback=qiskit_callback()))
    """
    steps = _Steps(monitor)

    def callback(_evaluations: Any, parameters: Any, value: Any, *more: Any) -> None:
        if len(more) == 2 and not isinstance(more[0], Mapping) and not more[1]:  # of SPSA: not accepted
            return
        steps.log(_of_qiskit, parameters, value, *more)

    return callback


def _of_qiskit(parameters: Any, value: Any, *more: Any) -> tuple[Any, Any, Any, Mapping[str, Any]]:
    told = more[0] if more else None
    if isinstance(told, Mapping):  # metadata: an eigensolver
        # VQE of Qiskit Algorithms 0.4 hands over the first parameter alone: rather none than the wrong norm.
        return value, None, parameters if len(parameters) > 1 else None, {}
    return value, None, parameters, {} if told is None else {"stepsize": told}


class TorchSteps:
    """Logs each ``optimizer.step()`` of PyTorch (2.0 or later): its gradients, the parameters after it, a loss if told.

    The numbers are read where the step ends, which on a GPU waits for it. Gradients are those that the step has used,
    so they must not be cleared in between.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        monitor: as for `scipy_callback`.

    Example:
        >>> steps = TorchSteps(optimizer)
        >>> for inputs, targets in batches:
        ...     optimizer.zero_grad()
        ...     loss = steps.loss(criterion(model(inputs), targets))
        ...     loss.backward()
        ...     optimizer.step()
    """

    def __init__(self, optimizer: Any, monitor: QuantumMonitor | None = None) -> None:
        self._steps = _Steps(monitor)
        self._loss: Any = None
        self._hook = optimizer.register_step_post_hook(self._stepped)

    def loss(self, loss: T) -> T:
        """Tell the loss of the step under way; returns it as it is."""
        # Detached, so that the graph behind it can go; still on its device, so that nobody waits.
        self._loss = loss.detach() if hasattr(loss, "detach") else loss
        return loss

    def close(self) -> None:
        """Watch no more."""
        self._hook.remove()

    def _stepped(self, optimizer: Any, *_: Any) -> None:
        loss, self._loss = self._loss, None
        self._steps.log(_of_torch, optimizer, loss)


def _of_torch(optimizer: Any, loss: Any) -> tuple[Any, Any, Any, Mapping[str, Any]]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return loss, gradients or None, parameters, {}
