"""The budget of a run: what is spent, what is on its way, and the exception before more than that is.

A budget is the threshold ``cost_budget`` of ``alert_config``, in whatever currency the money is: sums of several
currencies mean nothing, so each is compared with it by itself. What counts as spent is the bill where there is one, and
the estimate (or what the caller reported) where there is none yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantum_monitor.costs.lookup import PriceTables, tables_of
from quantum_monitor.costs.models import Fields
from quantum_monitor.names import label_value

if TYPE_CHECKING:
    from quantum_monitor.costs.prices import Price
    from quantum_monitor.run import Run

_ROUNDING = 1e-9  # as alerts: what adding up tenths of a cent brings on top breaks no budget
KINDS = ("reported", "estimated", "billed")


class BudgetExceeded(RuntimeError):  # noqa: N818 - the public name says what happened
    """What was about to run would cost more than is left. It was not run.

    Attributes:
        budget: the threshold ``cost_budget``.
        spent: what the run has spent, and what is on its way, in the currency.
        needed: what was about to run is estimated at.
        currency: of the three.
    """

    def __init__(self, sentence: str, *, budget: float, spent: float, needed: float, currency: str) -> None:
        super().__init__(sentence)
        self.budget, self.spent, self.needed, self.currency = budget, spent, needed, currency

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process, as a pool of workers sends it: keyword arguments do not travel by themselves."""
        return _rebuilt, (str(self), self.budget, self.spent, self.needed, self.currency)


def _rebuilt(sentence: str, budget: float, spent: float, needed: float, currency: str) -> BudgetExceeded:
    return BudgetExceeded(sentence, budget=budget, spent=spent, needed=needed, currency=currency)


def limit(run: Run) -> float | None:
    """The budget of a run as it is now; None where there is none."""
    entry = run.alerts.board.entries.get("cost_budget")
    return None if entry is None else entry.state.threshold


def spent(run: Run) -> dict[str, float]:
    """What a run has spent, by currency: billed where there is a bill, else estimated or reported."""
    money: dict[str, float] = {}
    with run.lock:
        for activity in run.circuits.values():
            for currency, amount in activity.spent().items():
                money[currency] = money.get(currency, 0.0) + amount
    return money


def check(run: Run, amount: float = 0.0, currency: str = "USD", *, what: str = "", unpriced: bool = False) -> None:
    """Raise if what is about to run would break the budget, or if that is broken already.

    Args:
        run: whose budget it is.
        amount: what is about to run is estimated at.
        currency: of the amount.
        what: is about to run, in words: "3 circuits on Garnet".
        unpriced: whether its price is not known; the amount is 0 then.

    Raises:
        BudgetExceeded: spent and on its way and amount are more than the budget. Never where there is no budget.
    """
    budget = limit(run)
    if budget is None:
        return
    with run.lock:
        on_its_way = run.set_aside.get(currency, 0.0)
        gone = spent(run).get(currency, 0.0)
    total = gone + on_its_way + amount
    if total <= budget or math.isclose(total, budget, rel_tol=_ROUNDING):
        return
    waiting = f", {_money(on_its_way)} more are on their way" if on_its_way else ""
    estimated = "of no known price" if unpriced else f"estimated at {_money(amount)}"
    raise BudgetExceeded(
        f"cost_budget is {_money(budget)}: {_money(gone)} {label_value(currency)} are spent{waiting}. Not run: "
        f"{label_value(what) if what else 'what comes next'}, {estimated}. Take fewer shots, fewer circuits or "
        "a cheaper backend, or raise the budget: "
        f'monitor.alert_system.set_threshold("cost_budget", {math.ceil(total * 100) / 100:.2f})',
        budget=budget,
        spent=gone + on_its_way,
        needed=amount,
        currency=currency,
    )


def _money(amount: float) -> str:
    """Cents, and of less than one what counts: a task on a simulator costs some thousandths."""
    return f"{amount:.2f}" if amount >= 1 or round(amount, 2) == amount else f"{amount:.4g}"


def set_aside(
    run: Run,
    backend: str,
    executions: Iterable[Fields],
    tables: PriceTables | Path | None = None,
    *,
    label: str | None = None,
    local: bool = False,
) -> dict[str, float]:
    """Set money aside for executions that are about to begin, so that several threads cannot spend it twice.

    What time will tell is taken to be what the latest execution there cost, or what those that succeeded did on average
    where that is more, and the provider's minimum at least. Where no price is known, it raises only if the budget is
    broken already; for what is free, never.

    Args:
        run: that they belong to.
        backend: what its provider calls it.
        executions: the fields of each.
        tables: the prices, or the file or folder of one's own.
        label: what the run calls it; the same unless given.
        local: whether it is on this machine: then it is free, unless a table of one's own has a price for it.

    Returns:
        Amounts by currency, for `give_back` when the executions are counted.

    Raises:
        BudgetExceeded: there is not enough left; nothing is set aside then.
    """
    if limit(run) is None:
        return {}
    price = tables_of(tables).find(backend, local=local)
    if price is None and local:
        return {}
    fields = list(executions)
    name = label_value(backend if label is None else label)
    what = f"{len(fields)} circuit{'s' * (len(fields) != 1)} on {name}"
    with run.lock:
        if price is None:
            for currency in spent(run):
                check(run, 0.0, currency, what=what, unpriced=True)
            return {}
        amount = math.fsum(_expected(run, name, price, each) for each in fields)
        if amount:
            check(run, amount, price.currency, what=what)
            run.set_aside[price.currency] = run.set_aside.get(price.currency, 0.0) + amount
            return {price.currency: amount}
    return {}


def give_back(run: Run, amounts: Mapping[str, float]) -> None:
    """The executions are counted, or were never begun: what they cost is spent, and nothing is set aside for them."""
    with run.lock:
        for currency, amount in amounts.items():
            left = run.set_aside.get(currency, 0.0) - amount
            run.set_aside[currency] = left if left > _ROUNDING * amount else 0.0


def _expected(run: Run, name: str, price: Price, fields: Fields) -> float:
    amount = price.amount(fields)
    if amount is not None:
        return amount
    least = price.amount({**fields, "execution_time": 0.0}) or 0.0
    activity = run.circuits.get(name)
    known = activity.costs.get((price.currency, "estimated")) if activity is not None else None
    if activity is None or known is None:
        return least
    total, latest = known
    return max(least, latest, total / max(1, activity.executions["success"]))  # a latest one that failed says little


def overview(run: Run) -> dict[str, dict[str, float | None]]:
    """The money of a run, by currency, for people.

    Returns:
        ``spent`` (bills, and estimates where there is none yet), ``reported``, ``estimated``, ``billed`` (all that was
        ever of that kind), ``per_hour`` (of the last hour, or of the run so far), ``budget_left`` and ``hours_left``
        (until the budget is gone, at the rate that its forecast goes by). None is not known.
    """
    budget = limit(run)
    told: dict[str, dict[str, float | None]] = {}
    with run.lock:
        now = run.alerts.board.system.monotonic()
        burn = run.alerts.burn
        for currency, amount in spent(run).items():
            kinds: dict[str, float | None] = dict.fromkeys(KINDS)
            for activity in run.circuits.values():
                for kind in KINDS:
                    if (currency, kind) in activity.costs:
                        kinds[kind] = (kinds[kind] or 0.0) + activity.costs[currency, kind][0]
            left = None if budget is None else budget - amount
            told[currency] = {
                "spent": amount,
                **kinds,
                "per_hour": burn.per_hour(now, currency, amount) if burn else None,
                "budget_left": left,
                "hours_left": burn.hours_left(now, currency, amount, left) if burn and left is not None else None,
            }
    return told
