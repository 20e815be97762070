"""Costs: what executions cost, estimated from price tables; before a run, while it goes on, and against a budget."""

from __future__ import annotations

from pathlib import Path

from quantum_monitor.costs.budget import BudgetExceeded
from quantum_monitor.costs.estimates import Estimate, estimate
from quantum_monitor.costs.lookup import PriceTables, tables_of
from quantum_monitor.costs.models import Fields

__all__ = ["BudgetExceeded", "Estimate", "PriceTables", "estimate", "price_of"]


def price_of(
    backend: str, fields: Fields, *, failed: bool = False, local: bool = False, tables: PriceTables | Path | None = None
) -> tuple[float, str] | None:
    """What one execution on a backend costs, by its provider's public price: an estimate.

    Args:
        backend: what it is called: an ARN, ``ibm_fez``, ``ionq.qpu.aria-1``, or the name of an entry of the tables.
        fields: of the execution: ``shots``, ``gates``, ``two_qubit_gates``, ``qubits``, ``measurements`` (and resets;
            each qubit once unless given), ``execution_time`` in seconds, ``billed_time`` (seconds that the provider
            says it bills, which go before), ``error_mitigation`` (0: off), ``reserved`` (1: within a reservation).
        failed: whether it failed or was cancelled; priced as the provider does.
        local: whether it ran on this machine: then only a price of one's own counts, and a missing one is not said.
        tables: the prices, or the file or folder of one's own; those that come with this package unless given.

    Returns:
        Amount and currency. None where there is no price or a field is missing, which is logged once for each backend,
        but never of simulators on this machine.
    """
    if local and tables is None:
        return None
    return tables_of(tables).price_of(backend, fields, failed=failed, local=local)
