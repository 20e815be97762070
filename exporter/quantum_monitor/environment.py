"""Facts about where a run runs."""

from __future__ import annotations

import sys

_FRAMEWORKS = ("pennylane", "qiskit", "cirq", "braket")


def quantum_framework() -> dict[str, str]:
    """The first quantum framework that this process has imported, and its version; never imports one."""
    for name in _FRAMEWORKS:
        module = sys.modules.get(name)
        if module is not None:
            return {"framework": name, "version": str(getattr(module, "__version__", ""))[:32]}
    return {"framework": "none", "version": ""}
