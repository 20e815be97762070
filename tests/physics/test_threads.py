"""Work in the background keeps to one core, and leaves BLAS as it found it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
from scipy.linalg import _fblas

from quantum_monitor.physics.threads import one_thread


@pytest.fixture
def blas() -> Iterator[ctypes.CDLL]:
    library = ctypes.CDLL(_fblas.__file__)
    if not hasattr(library, "scipy_openblas_get_num_threads"):
        pytest.skip("this SciPy brings no OpenBLAS of its own")
    before = library.scipy_openblas_get_num_threads()
    yield library
    library.scipy_openblas_set_num_threads(before)


def test_scipy_keeps_to_one_core_meanwhile_and_gets_its_threads_back(blas: ctypes.CDLL) -> None:
    blas.scipy_openblas_set_num_threads(2)
    with one_thread():
        assert blas.scipy_openblas_get_num_threads() == 1
    assert blas.scipy_openblas_get_num_threads() == 2


def test_it_gets_them_back_after_an_error_too(blas: ctypes.CDLL) -> None:
    blas.scipy_openblas_set_num_threads(2)
    with pytest.raises(ValueError, match="no state"), one_thread():
        raise ValueError("no state")
    assert blas.scipy_openblas_get_num_threads() == 2


def test_a_number_that_somebody_sets_meanwhile_stays(blas: ctypes.CDLL) -> None:
    blas.scipy_openblas_set_num_threads(1)
    with one_thread():
        blas.scipy_openblas_set_num_threads(2)
    assert blas.scipy_openblas_get_num_threads() == 2
