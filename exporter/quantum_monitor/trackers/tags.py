"""The tags that a run carries in every tracker: what it ran on, what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantum_monitor.names import text

# What people look for a run by, under the names they give it in parameters or tags.
_SUBJECTS = {
    "molecule": ("molecule",),
    "ansatz": ("ansatz",),
    "optimizer": ("optimizer",),
    "backend": ("backend", "device"),
    "qubits": ("qubits", "n_qubits", "num_qubits", "wires", "n_wires"),
    "seed": ("seed", "random_seed", "rng_seed"),
}
_LENGTH = 1_000


def run_tags(info: Mapping[str, Any]) -> dict[str, str]:
    """What ``run.json`` says of a run as tags: the person's own as they are, ours under ``quantum.``."""
    environment = _mapping(info, "environment")
    git = environment.get("git")
    facts: dict[str, Any] = {
        "run_id": info.get("run_id"),
        "run_name": info.get("name"),
        "experiment": info.get("experiment"),
        "framework": info.get("framework"),
        "framework_version": info.get("version"),
        "python": environment.get("python"),
        "platform": environment.get("platform"),
        "host": environment.get("host"),
        "git_commit": git.get("commit") if isinstance(git, Mapping) else None,
        "git_branch": git.get("branch") if isinstance(git, Mapping) else None,
        "script": environment.get("script"),
        "monitor_version": environment.get("quantum_monitor"),
    }
    versions = environment.get("packages")
    if isinstance(versions, Mapping):
        facts["packages"] = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    given = {**_mapping(info, "params"), **_mapping(info, "tags")}
    for subject, names in _SUBJECTS.items():
        facts[subject] = next((given[name] for name in names if given.get(name) is not None), None)
    ours = {f"quantum.{name}": text(fact)[:_LENGTH] for name, fact in facts.items() if fact is not None and fact != ""}
    return {**ours, **{name: text(value) for name, value in _mapping(info, "tags").items()}}


def _mapping(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = info.get(key)
    return value if isinstance(value, Mapping) else {}
