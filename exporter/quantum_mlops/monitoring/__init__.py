"""The import path that existing code uses: the same objects as `quantum_monitor`, and no logic.

`quantum_mlops` itself has no `__init__.py`. So this folder stands beside another distribution's `quantum_mlops`
in the same site-packages, whether that one has an `__init__.py` or not. Only a `quantum_mlops` *with* an
`__init__.py` in a folder of its own that comes earlier on `sys.path` (a source checkout, say) hides this one,
as Python's import rules have it; `from quantum_monitor import ...` works there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import quantum_monitor
from quantum_monitor import __all__ as __all__

if TYPE_CHECKING:
    from quantum_monitor import *  # noqa: F403  everything public, and nothing to list again


def __getattr__(name: str) -> Any:
    return getattr(quantum_monitor, name)  # one by one: a star would load the parts that few programs need
