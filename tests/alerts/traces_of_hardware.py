"""Labelled traces of what training runs on: queues, failures, money, backends, the machine."""

from __future__ import annotations

import numpy as np

from tests.alerts.traces import Fires, Training, trace

_MINUTE, _HOUR = 60.0, 3_600.0


def _steps(training: Training, count: int, *, first: int = 0, takes: float = 0.1) -> int:
    """Healthy steps; the number of the next one."""
    for step in range(first, first + count):
        training.step(step, 1.0 / (step + 1), training.random.normal(size=10), np.ones(10), takes=takes)
    return first + count


@trace("waiting in a queue for 20 minutes, said so", fires={"queue_time_limit": Fires(1_205.0, 1_230.0)})
def _(training: Training) -> None:
    step = _steps(training, 100)
    with training.monitor.waiting_for_backend("ibm_fez"):
        training.wait(20 * _MINUTE)
    training.execute(queue_time=20 * _MINUTE, backend_info="ibm_fez")
    training.execute(queue_time=1.0, backend_info="ibm_fez")
    _steps(training, 2_000, first=step)


@trace("waiting in short queues: steps 40 minutes apart on hardware, executions every ten between them")
def _(training: Training) -> None:
    for step in range(4):
        training.execute(4, every=10 * _MINUTE - 1, queue_time=60.0)
        training.step(step, 1.0 / (step + 1), np.ones(10), np.ones(10), takes=4.0)


@trace("slow training: a step every ten minutes from the start")
def _(training: Training) -> None:
    _steps(training, 6, takes=10 * _MINUTE)


@trace("slow training: the first loss at once, then a step every ten minutes")
def _(training: Training) -> None:
    training.step(0, 1.0, np.ones(10), np.ones(10))
    _steps(training, 5, first=1, takes=10 * _MINUTE)


@trace("compilation: the second step takes eight minutes, all others a tenth of a second")
def _(training: Training) -> None:
    training.step(0, 1.0, np.ones(10), np.ones(10))
    training.step(1, 0.9, np.ones(10), np.ones(10), takes=8 * _MINUTE)
    _steps(training, 2_000, first=2)


@trace("steps of 40 minutes, then fast ones")
def _(training: Training) -> None:
    step = _steps(training, 3, takes=40 * _MINUTE)
    _steps(training, 1_500, first=step)


@trace("slow training while another threshold is changed")
def _(training: Training) -> None:
    step = _steps(training, 3, takes=10 * _MINUTE)
    training.wait(8 * _MINUTE)
    training.monitor.alert_system.set_threshold("gradient_explosion", 20.0)
    training.wait(1 * _MINUTE)
    _steps(training, 1, first=step)


@trace(
    "stalled: steps of a tenth of a second, then none for eleven minutes",
    fires={"training_stalled": Fires(310.0, 312.0, told=2)},
)
def _(training: Training) -> None:
    step = _steps(training, 100)
    training.wait(11 * _MINUTE)
    _steps(training, 2_000, first=step)


@trace(
    "stalled in its second step, whose pace nobody knows",
    fires={"training_stalled": Fires(3_000.0, 3_003.0, told=2)},
)
def _(training: Training) -> None:
    _steps(training, 1)
    training.wait(_HOUR)


@trace("intermittent failures: one circuit of ten fails")
def _(training: Training) -> None:
    for _ in range(40):
        fails = training.random.integers(10)
        for number in range(10):
            training.execute(status="failed" if number == fails else "success")


@trace(
    "intermittent failures: from the 100th on, four circuits of ten fail",
    fires={"circuit_failures": Fires(115.0, 150.0)},
)
def _(training: Training) -> None:
    training.execute(100)
    for _ in range(15):
        failing = set(training.random.choice(10, size=4, replace=False).tolist())
        for number in range(10):
            training.execute(status="failed" if number in failing else "success")
    training.execute(150)


@trace("cancelled circuits are no failures")
def _(training: Training) -> None:
    for _ in range(40):
        training.execute()
        training.execute(status="cancelled")


@trace(
    "intermittent backend: up and down every 20 seconds for three minutes",
    fires={"backend_down": Fires(20.0, 20.0)},
)
def _(training: Training) -> None:
    for number in range(9):
        training.monitor.log_backend_status("ibm_fez", up=number % 2 == 0)
        training.wait(20.0)
    training.monitor.log_backend_status("ibm_fez", up=True)
    training.wait(3 * _MINUTE)


@trace(
    "backend down for eleven minutes: told again every five",
    fires={"backend_down": Fires(60.0, 60.0, told=3)},
)
def _(training: Training) -> None:
    training.monitor.log_backend_status("ibm_fez", up=True)
    training.monitor.log_backend_status("ionq", up=True)
    training.wait(_MINUTE)
    training.monitor.log_backend_status("ibm_fez", up=False)
    training.wait(11 * _MINUTE)
    training.monitor.log_backend_status("ibm_fez", up=True)
    training.wait(3 * _MINUTE)


@trace("error rates that scatter from calibration to calibration")
def _(training: Training) -> None:
    for _ in range(48):
        rates = {"1q": 3e-4, "2q": 0.008, "readout": 0.02}
        noisy = {name: rate * training.random.uniform(0.7, 1.4) for name, rate in rates.items()}
        training.monitor.log_backend_status("ibm_fez", up=True, error_rates=noisy)
        training.wait(_MINUTE)


@trace(
    "error rate of one operation that jumps and is calibrated away",
    fires={"error_rate_increase": Fires(600.0, 600.0, told=2)},
)
def _(training: Training) -> None:
    for number in range(30):
        rates = {"1q": 3e-4, "2q": 0.04 if 10 <= number < 15 else 0.008, "readout": 0.02}
        training.monitor.log_backend_status("ibm_fez", up=True, error_rates=rates)
        training.wait(_MINUTE)


@trace("cost: parameter-shift batches, cheap and dear in turn")
def _(training: Training) -> None:
    for number in range(300):
        training.execute(cost=0.75 if number % 2 else 0.10, shots=1_000)


@trace("cost: scatters by a third")
def _(training: Training) -> None:
    for _ in range(300):
        training.execute(cost=0.3 * training.random.uniform(0.67, 1.33))


@trace("cost: one execution of ten times the price", fires={"cost_spike": Fires(101.0, 101.0)})
def _(training: Training) -> None:
    for number in range(300):
        training.execute(cost=3.0 if number == 100 else 0.3)


@trace("cost: two currencies, whose amounts are far apart")
def _(training: Training) -> None:
    for number in range(200):
        currency, cost = ("JPY", 45.0) if number % 3 == 0 else ("USD", 0.3)
        training.execute(cost=cost, backend_info={"name": "braket", "currency": currency})


@trace("cost: a free simulator, and a device that is not", alert_config={"cost_budget": 100.0})
def _(training: Training) -> None:
    for number in range(200):
        training.execute(backend_info="default.qubit", cost=0.0)
        if number % 20 == 0:
            training.execute(backend_info="ionq", cost=1.0)


@trace(
    "cost: a budget of 50, spent after 501 executions, in one currency of two",
    fires={"cost_budget": Fires(1_001.0, 1_001.0, told=2)},
    alert_config={"cost_budget": 50.0},
)
def _(training: Training) -> None:
    for _ in range(700):
        training.execute(cost=0.1)
        training.execute(cost=0.05, backend_info={"name": "iqm", "currency": "EUR"})


@trace("machine: busy in peaks of two minutes, with pauses of ten seconds")
def _(training: Training) -> None:
    for _ in range(8):
        training.machine.sample = {"cpu_ratio": 1.0, "memory_used_bytes": 0.99e9, "memory_total_bytes": 1e9}
        training.wait(2 * _MINUTE)
        training.machine.sample = {"cpu_ratio": 0.6, "memory_used_bytes": 0.5e9, "memory_total_bytes": 1e9}
        training.wait(10.0)


@trace(
    "machine: busy and full for ten minutes",
    fires={"cpu_high": Fires(361.0, 362.0, told=1), "memory_high": Fires(361.0, 362.0, told=1)},
)
def _(training: Training) -> None:
    training.machine.sample = {"cpu_ratio": 0.5, "memory_used_bytes": 0.5e9, "memory_total_bytes": 1e9}
    training.wait(_MINUTE)
    training.machine.sample = {"cpu_ratio": 1.0, "memory_used_bytes": 0.99e9, "memory_total_bytes": 1e9}
    training.wait(9 * _MINUTE)
    training.machine.sample = {"cpu_ratio": 0.5, "memory_used_bytes": 0.5e9, "memory_total_bytes": 1e9}
    training.wait(_MINUTE)


@trace(
    "a rule of the user's own with a duration: a warm refrigerator for seconds, then for two minutes",
    fires={"mixing_chamber_kelvin": Fires(240.0, 241.0)},
    alert_config={"mixing_chamber_kelvin": {"above": 0.02, "severity": "high", "for": "1m"}},
)
def _(training: Training) -> None:
    for second in range(400):
        warm = 100 <= second < 130 or 180 <= second < 300
        training.monitor.log_metrics({"mixing_chamber_kelvin": 0.03 if warm else 0.012})
        training.wait(1.0)
