"""Figures of the user's own: the modules that register them, imported by name or from a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantum_monitor.plugins import load_entry_points
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.theme import Theme


def load(modules: Iterable[str]) -> list[str]:
    """Import modules for the figures that they register, and load the entry points.

    Args:
        modules: names of modules, or paths of ``.py`` files.

    Returns:
        A sentence for each that could not be imported.
    """
    load_entry_points()
    return [sentence for module in dict.fromkeys(modules) if (sentence := _import(module))]


def _import(module: str) -> str:
    try:
        if module.endswith(".py"):
            _import_file(Path(module))
        else:
            importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's module may raise anything
        return f"no figures from {module}: {type(error).__name__}: {error}"
    return ""


def _import_file(file: Path) -> None:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    spec.loader.exec_module(module)


def shown(run: StoredRun, theme: Theme) -> list[Any]:
    """The user's own figures of a run, each in a card."""
    from dash import html

    from quantum_monitor.views import own
    from quantum_monitor.views.live import blocks, graphs

    cards = []
    for name, figure in own.figures(run):
        if isinstance(figure, str):
            drawn = blocks.picture(figure, name)
        else:
            ours = graphs.themed(figure, theme, revision=f"{run.directory}/{name}")
            drawn = graphs.graph({"type": "own", "name": name}, ours, name)
        cards.append(graphs.card(name, drawn))
    if cards:
        return [html.Div(cards, className="cards")]
    told = "No figure of your own drew anything. @quantum_monitor.figure registers one."
    return [blocks.sentence(f"{told} --figures MODULE imports it for this page.")]
