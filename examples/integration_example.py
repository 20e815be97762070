"""How monitoring goes into code that exists: one function around any pipeline with a `fit`.

`monitored_training(pipeline, X_train, y_train)` trains inside a run. What the pipeline reports while it trains is
logged step by step; one that reports nothing is timed and judged; one that fails ends its run as failed, and its
exception goes through. Copy that function; the two small pipelines below it, in NumPy alone, stand for yours.

Code that imports from `quantum_mlops.monitoring`, as here, gets the same objects as from `quantum_monitor`.
"""

import argparse
import inspect
import time

import numpy as np

from quantum_mlops.monitoring import create_quantum_monitor


def monitored_training(pipeline, X_train, y_train, validation=None, *, monitor=None, name=None):
    """Train a pipeline inside a run.

    Args:
        pipeline: anything with ``fit(X, y)``. Where ``fit`` takes a ``callback``, it is called after each step with the
            step, loss, gradient and parameters. ``predict`` and ``get_params`` are used where they are there.
        X_train: what to learn from, a row a sample.
        y_train: its labels.
        validation: a pair like these, to judge by.
        monitor: where to log; a monitor of its own, named after the pipeline, unless given.
        name: of the run; a short id unless given.

    Returns:
        The trained pipeline.
    """
    kind = type(pipeline).__name__
    own = None if monitor else create_quantum_monitor(kind)
    monitor = monitor or own
    try:
        with monitor.start_run(name):  # an exception ends the run as failed, Ctrl-C as stopped; both go through
            monitor.start_realtime_monitoring()
            monitor.log_params({"pipeline": kind, "samples": len(X_train), **params_of(pipeline)})
            began = time.perf_counter()
            if "callback" in inspect.signature(pipeline.fit).parameters:
                pipeline.fit(X_train, y_train, callback=reporter(monitor, pipeline, validation))
            else:
                pipeline.fit(X_train, y_train)
            monitor.log_metrics({"fit_seconds": time.perf_counter() - began, **scores(pipeline, X_train, y_train)})
            if validation is not None:
                monitor.log_metrics(scores(pipeline, *validation, prefix="validation_"))
    finally:
        monitor.stop_realtime_monitoring()
        if own is not None:
            own.close()
    return pipeline


def reporter(monitor, pipeline, validation, every=10):
    """What is called after each step of training: logs it, and now and then judges by the validation set."""

    def after_step(step, loss, gradient, parameters):
        judged = validation is not None and step % every == 0
        seen = scores(pipeline, *validation, prefix="validation_") if judged else None
        monitor.log_training_step(loss, gradient, parameters, step, additional_metrics=seen)

    return after_step


def scores(pipeline, X, y, prefix=""):
    """Share of samples that are labelled right, where the pipeline can label."""
    if not hasattr(pipeline, "predict"):
        return {}
    return {f"{prefix}accuracy": float(np.mean(pipeline.predict(X) == y))}


def params_of(pipeline):
    """What the pipeline says that it was made with."""
    return pipeline.get_params() if hasattr(pipeline, "get_params") else {}


# What follows stands for your own code, and knows nothing of monitoring.


class VariationalClassifier:
    """One qubit that is turned by the data and by trained angles in turn; its Z decides between -1 and 1."""

    def __init__(self, layers=4, rate=0.3, steps=60, seed=1):
        self.layers, self.rate, self.steps = layers, rate, steps
        self.weights = np.random.default_rng(seed).normal(0, 1, (layers, 4))

    def get_params(self):
        """What it was made with."""
        return {"layers": self.layers, "rate": self.rate, "steps": self.steps}

    def fit(self, X, y, callback=None):
        """Gradient descent with momentum on the mean square error."""
        if not np.isfinite(X).all():
            raise ValueError("X has values that are not finite: a circuit has no angle for them")
        velocity = np.zeros_like(self.weights)
        for step in range(self.steps):
            expected, slopes = self._with_gradient(X)
            loss = np.mean((expected - y) ** 2)
            gradient = 2 * np.mean((expected - y) * slopes, axis=-1)
            if callback is not None:
                callback(step, loss, gradient, self.weights)
            velocity = 0.8 * velocity - self.rate * gradient
            self.weights = self.weights + velocity
        return self

    def predict(self, X):
        """The label of each sample."""
        return np.where(self._expected(self._angles(X)) < 0, -1, 1)

    def _angles(self, X):
        """The angles of RY and RZ in each layer, shape (layers, 2, samples)."""
        return self.weights[:, ::2, None] * X.T + self.weights[:, 1::2, None]

    def _with_gradient(self, X):
        """Z of each sample, and its derivative by each weight: the parameter-shift rule, then the chain rule."""
        angles = self._angles(X)
        by_angle = np.empty_like(angles)
        for at in np.ndindex(angles.shape[:2]):
            shift = np.zeros_like(angles)
            shift[at] = np.pi / 2
            by_angle[at] = (self._expected(angles + shift) - self._expected(angles - shift)) / 2
        slopes = np.stack([by_angle * X.T, by_angle], axis=2)
        return self._expected(angles), slopes.reshape(self.layers, 4, -1)

    @staticmethod
    def _expected(angles):
        zero, one = np.ones(angles.shape[-1], complex), np.zeros(angles.shape[-1], complex)
        for y, z in angles:
            cosine, sine, phase = np.cos(y / 2), np.sin(y / 2), np.exp(1j * z / 2)
            zero, one = (cosine * zero - sine * one) / phase, (sine * zero + cosine * one) * phase
        return abs(zero) ** 2 - abs(one) ** 2


class KernelClassifier:
    """Kernel ridge regression on the overlaps of states of two qubits; `fit` solves one equation and has no steps."""

    def __init__(self, ridge=0.1):
        self.ridge = ridge

    def get_params(self):
        """What it was made with."""
        return {"ridge": self.ridge}

    def fit(self, X, y):
        """Solve for the weight of each sample."""
        self._known = self._states(X)
        kernel = abs(self._known.conj() @ self._known.T) ** 2
        self._weights = np.linalg.solve(kernel + self.ridge * np.eye(len(X)), y)
        return self

    def predict(self, X):
        """The label of each sample."""
        kernel = abs(self._states(X).conj() @ self._known.T) ** 2
        return np.where(kernel @ self._weights < 0, -1, 1)

    @staticmethod
    def _states(X):
        """A product of phases and their interaction, twice, from equal amplitudes on."""
        signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
        phases = np.exp(1j * (X @ signs.T + np.outer(X[:, 0] * X[:, 1] / 2, signs.prod(axis=1))))
        hadamards = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        return (phases / 2 @ hadamards) * phases


def circle(size, rng):
    """Points of a square, and -1 for those inside of a circle of half its area, 1 for the others."""
    X = rng.uniform(-1, 1, (size, 2))
    return X, np.where(np.hypot(*X.T) < np.sqrt(2 / np.pi), -1, 1)


def main():
    """Train both, and one on data that it must refuse."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    rng = np.random.default_rng(0)
    (X_train, y_train), validation = circle(100, rng), circle(200, rng)
    monitor = create_quantum_monitor(
        "circle", enable_mlflow=False
    )  # unless False, MLflow gets the runs where it is installed

    for pipeline in (VariationalClassifier(), KernelClassifier()):
        kind = type(pipeline).__name__
        monitored_training(pipeline, X_train, y_train, validation, monitor=monitor, name=kind)
        seen = monitor.get_metrics_summary()
        steps = monitor.get_comprehensive_summary()["training_summary"]["total_steps"]
        print(f"{kind}: validation accuracy {seen['validation_accuracy']['latest']:.3f}, {steps} steps")

    X_train[3, 0] = np.nan
    try:
        monitored_training(VariationalClassifier(), X_train, y_train, monitor=monitor, name="bad data")
    except ValueError as error:
        print(f"bad data: the run has failed, and the error came through: {error}")
    monitor.close()
    print(f"the runs are kept in {monitor.storage_path.resolve()}")


if __name__ == "__main__":
    main()
