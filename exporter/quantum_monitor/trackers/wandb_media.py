"""Artifacts of ours as W&B shows them: versioned artifacts, and pictures and pages beside the curves."""

from __future__ import annotations

import contextlib
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.runfile import plain
from quantum_monitor.trackers.wandb_names import metric_name, path_name

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".gif"})
_PAGES = frozenset({".html", ".htm"})
_DRAWING, _TEXT, _QASM = "circuit.svg", "circuit.txt", "circuit.qasm"


def shown(wandb: Any, artifact: Artifact) -> tuple[str, Any] | None:
    """The key and the picture or page of an artifact; None for what cannot be looked at."""
    path = artifact.path
    if artifact.kind == "circuit" and path.is_dir():
        page = _circuit_page(path)
        return (f"circuits/{artifact.name}", wandb.Html(page)) if page else None
    if not path.is_file():
        return None
    suffix = path.suffix.lower()
    folder = "" if artifact.kind == "report" else f"{artifact.kind}s/"
    key = "report" if artifact.kind == "report" else metric_name(f"{folder}{artifact.name}")
    if suffix in _PAGES:
        return key, wandb.Html(path.read_text(encoding="utf-8", errors="replace"), inject=False)
    if suffix == ".svg":
        return key, wandb.Html(_drawing(path))
    if suffix in _IMAGES and find_spec("PIL") is not None:  # without Pillow it is a versioned file, and no picture
        with contextlib.suppress(Exception):  # nor is a file that is no picture: Pillow raises all there is
            return key, wandb.Image(str(path))
    return None


def versioned(wandb: Any, artifact: Artifact) -> Any | None:
    """An artifact of W&B's, which counts versions of one name; None for what is only looked at.

    Its files stay where they are and are not copied: what the index of a run names does not change any more.
    """
    if artifact.kind == "report":
        return None
    name = artifact.name if artifact.kind == "model" else f"{artifact.kind}-{artifact.name}"
    metadata = {**artifact.metadata, "name": artifact.name, "logged_at": artifact.time}
    if artifact.register_as:
        metadata["register_as"] = artifact.register_as
    made = wandb.Artifact(path_name(name), type=artifact.kind, metadata=plain(metadata))
    if artifact.path.is_dir():
        made.add_dir(str(artifact.path), policy="immutable")
    else:
        made.add_file(str(artifact.path), policy="immutable")
    return made


def registered_as(name: str) -> str:
    """The path of a name in W&B's model registry; a name with slashes is a path already."""
    return name if "/" in name else f"wandb-registry-model/{path_name(name)}"


def _circuit_page(folder: Path) -> str:
    drawing = _drawing(folder / _DRAWING) if (folder / _DRAWING).is_file() else _text(folder / _TEXT)
    return drawing + _text(folder / _QASM)


def _drawing(path: Path) -> str:
    svg = path.read_text(encoding="utf-8", errors="replace")
    return f"<div>{svg[max(svg.find('<svg'), 0) :]}</div>"


def _text(path: Path) -> str:
    return f"<pre>{escape(path.read_text(encoding='utf-8', errors='replace'))}</pre>" if path.is_file() else ""
