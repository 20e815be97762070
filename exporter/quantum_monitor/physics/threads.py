"""Threads of BLAS: keeping work in the background to one core."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep SciPy's linear algebra to one core meanwhile.

    BLAS would wake a thread for every core, and those threads spin for a tenth of a second after each call: 2 ms of
    work on a state of 14 qubits would take 100 ms from a training loop on the other cores.

    SciPy's wheels bring an OpenBLAS of their own, so NumPy keeps its threads; other threads that call SciPy at the
    same time do not. Where SciPy was built with another BLAS nothing changes.
    """
    try:
        from scipy.linalg import _fblas

        blas = ctypes.CDLL(_fblas.__file__)
        get, set_ = blas.scipy_openblas_get_num_threads, blas.scipy_openblas_set_num_threads
    except (AttributeError, ImportError, OSError):
        yield
        return
    before = get()
    set_(1)
    try:
        yield
    finally:
        if get() == 1:  # else somebody else has set it since, and knows better
            set_(before)
