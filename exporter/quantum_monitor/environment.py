"""Facts about where a run runs, for whoever wants to repeat it; none of them can hold a secret."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantum_monitor import git
from quantum_monitor._version import __version__
from quantum_monitor.store import runfile

_FRAMEWORKS = ("pennylane", "qiskit", "cirq", "braket")
_PACKAGES: Mapping[str, str] = {
    "autograd": "autograd",
    "braket": "amazon-braket-sdk",
    "cirq": "cirq-core",
    "cudaq": "cudaq",
    "flax": "flax",
    "jax": "jax",
    "lightning": "lightning",
    "numpy": "numpy",
    "openfermion": "openfermion",
    "optax": "optax",
    "pennylane": "pennylane",
    "pennylane_lightning": "pennylane-lightning",
    "pyscf": "pyscf",
    "pytorch_lightning": "pytorch-lightning",
    "qiskit": "qiskit",
    "qiskit_aer": "qiskit-aer",
    "qiskit_algorithms": "qiskit-algorithms",
    "qiskit_ibm_runtime": "qiskit-ibm-runtime",
    "qiskit_machine_learning": "qiskit-machine-learning",
    "qiskit_nature": "qiskit-nature",
    "qulacs": "qulacs",
    "qutip": "qutip",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow",
    "tensorflow_quantum": "tensorflow-quantum",
    "torch": "torch",
}
"""Module to the distribution that brings it."""
_JOBS = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_PROCID",
    "PBS_JOBID",
    "LSB_JOBID",
    "OMPI_COMM_WORLD_RANK",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
)
_USERS = ("LOGNAME", "USER", "LNAME", "USERNAME")
_HARMLESS = re.compile(r"[0-9][\w.\[\]-]{0,63}", re.ASCII)
_HOST_NAME = re.compile(r"[\w.-]{1,253}", re.ASCII)
_VERSION = re.compile(r"[0-9][\w.+!-]{0,63}", re.ASCII)
_LONGEST = 256

_versions: dict[str, str] = {}


def quantum_framework() -> dict[str, str]:
    """The first quantum framework that this process has imported, and its version; never imports one."""
    for name in _FRAMEWORKS:
        if sys.modules.get(name) is not None:
            return {"framework": name, "version": _version(name)[:32]}
    return {"framework": "none", "version": ""}


def capture() -> dict[str, Any]:
    """What there is to know about this process, its machine and its code; what cannot be found out is absent.

    Fixed facts only: of the environment variables the user's name and those of job schedulers that hold a number or an
    id, of the command line the script's name, of git the commit and the branch. Never raises; takes well below 10 ms.

    Returns:
        ``python``, ``platform``, ``cpus``, ``host``, ``user``, ``quantum_monitor`` (version), ``packages`` (see
        `packages`), ``script`` (relative to its checkout, else its name), ``git`` (``commit``, ``branch``), ``seeds``
        (``PYTHONHASHSEED``), ``job`` (variables of the scheduler, ``kubernetes_pod``).
    """
    facts: dict[str, Any] = {"quantum_monitor": __version__, "packages": packages()}
    with contextlib.suppress(Exception):
        facts |= runfile.environment()
    with contextlib.suppress(Exception):
        facts["host"] = socket.gethostname()[:_LONGEST]
    # Never asked of the system, whose directory of users may be a server that does not answer.
    facts["user"] = next(filter(None, map(os.environ.get, _USERS)), "")[:_LONGEST]
    with contextlib.suppress(Exception):
        facts |= _code()
    with contextlib.suppress(Exception):
        facts |= _variables(os.environ)
    return {name: fact for name, fact in facts.items() if fact}


def packages() -> dict[str, str]:
    """The versions of the packages of this field that the process has imported by now; never imports one."""
    found = {}
    for name in _PACKAGES:
        if sys.modules.get(name) is not None and (version := _version(name)):
            found[name] = version
    return found


def git_commit(facts: Mapping[str, Any]) -> str:
    """The first 12 hex digits of the commit among captured facts; empty if there is none."""
    return str(facts.get("git", {}).get("commit", ""))[:12]


def _code() -> dict[str, Any]:
    facts: dict[str, Any] = {}
    script, found = _script(), _checkout()
    if script is not None:
        inside = found is not None and script.is_relative_to(found.top)
        facts["script"] = str(script.relative_to(found.top) if found and inside else script.name)[:_LONGEST]
    if found is not None:
        known = {"commit": found.commit, "branch": found.branch}
        facts["git"] = {name: value[:_LONGEST] for name, value in known.items() if value}
    return facts


def _script() -> Path | None:
    """The file that was started; None at a prompt, and for ``-c``."""
    given = sys.argv[0] if sys.argv else ""
    path = Path(given).resolve() if given and not given.startswith("-") else None
    return path if path is not None and path.is_file() else None


def _checkout() -> git.Checkout | None:
    """The checkout of the script; where that is installed, or in none, the one of the working folder."""
    script = _script()
    if script is not None and not script.is_relative_to(Path(sys.prefix).resolve()):
        found = git.checkout(script.parent)
        if found is not None:
            return found
    return git.checkout(Path.cwd())


def _variables(environ: Mapping[str, str]) -> dict[str, Any]:
    job = {name: environ[name] for name in _JOBS if _HARMLESS.fullmatch(environ.get(name, ""))}
    pod = environ.get("HOSTNAME", "")
    if "KUBERNETES_SERVICE_HOST" in environ and _HOST_NAME.fullmatch(pod):
        job["kubernetes_pod"] = pod
    seed = environ.get("PYTHONHASHSEED", "")
    seeds = {"PYTHONHASHSEED": seed} if seed.isascii() and seed.isdecimal() and len(seed) <= 10 else {}
    return {"job": job, "seeds": seeds}


def _version(name: str) -> str:
    """The version of an imported package, as itself says, else as it was installed; empty if nobody knows."""
    try:
        # The dictionary, not the attribute: asking a module for what it does not have may make it import things.
        own = vars(sys.modules[name]).get("__version__")
        version = own if isinstance(own, str) else _installed_version(name)
    except Exception:  # noqa: BLE001 - whatever stands in sys.modules
        return ""
    return version if _VERSION.fullmatch(version) else ""


def _installed_version(name: str) -> str:
    if name not in _versions:  # a search through all folders of sys.path: once
        from importlib import metadata

        try:
            _versions[name] = metadata.version(_PACKAGES[name])
        except Exception:  # noqa: BLE001 - not installed as a distribution, or damaged
            _versions[name] = ""
    return _versions[name]
