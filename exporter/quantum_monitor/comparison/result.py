"""Comparison: what two groups of runs have shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantum_monitor.comparison.courses import Course
from quantum_monitor.comparison.differences import Outcome, Sample
from quantum_monitor.comparison.metrics import Metric
from quantum_monitor.comparison.runs import Group

Verdict = Literal["better", "worse", "lower", "higher", "not shown", "not tested"]


@dataclass(frozen=True)
class Difference:
    """One metric of both groups.

    Attributes:
        metric: which.
        a: what the values of group A amount to; None where no run has it.
        b: those of group B.
        outcome: their difference, and what the test says.
        adjusted: p-value adjusted by Holm for all tests of the comparison; None where nothing was tested.
        verdict: what is shown of B: ``better`` or ``worse`` where it is known which way is, else ``lower`` or
            ``higher``; ``not shown``; ``not tested``.
    """

    metric: Metric
    a: Sample | None
    b: Sample | None
    outcome: Outcome
    adjusted: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Setting:
    """A parameter that is not the same in all runs.

    Attributes:
        name: of the parameter, ``outer.inner`` of one in a mapping.
        a: its values in group A as text, the commonest first, with how many runs have each; None is the absence.
        b: those in group B.
    """

    name: str
    a: tuple[tuple[str | None, int], ...]
    b: tuple[tuple[str | None, int], ...]

    @property
    def mixed(self) -> bool:
        """Whether runs of one group differ in it."""
        return len(self.a) > 1 or len(self.b) > 1


@dataclass(frozen=True)
class Comparison:
    """What two groups of runs have shown.

    Attributes:
        a: group A.
        b: group B.
        confidence: of all intervals; 1 minus it is the level of the tests.
        pairs: number of pairs of runs with the same seed; 0 where the groups are independent.
        pairing: why they are paired, or not.
        differences: a metric each.
        courses: a field over the steps each.
        settings: parameters that differ.
        tests: how many p-values are adjusted together.
        notes: sentences on what to keep in mind.
    """

    a: Group
    b: Group
    confidence: float
    pairs: int
    pairing: str
    differences: tuple[Difference, ...]
    courses: tuple[Course, ...]
    settings: tuple[Setting, ...]
    tests: int
    notes: tuple[str, ...]

    def to_text(self) -> str:
        """Lines for a terminal."""
        from quantum_monitor.comparison.text import text

        return text(self)

    def to_json(self) -> str:
        """Strict JSON; its keys are those of ``docs/comparison.md``."""
        from quantum_monitor.comparison.as_json import as_json

        return as_json(self)

    def to_html(self) -> str:
        """One self-contained page; with figures where plotly is installed."""
        from quantum_monitor.comparison.page import html_page

        return html_page(self)

    def save(self, path: str | Path) -> Path:
        """Write to a file, as its ending says: ``.html``, ``.json`` or ``.txt``.

        Raises:
            ValueError: another ending.
            OSError: the file cannot be written.
        """
        from quantum_monitor.store.runfile import replacing

        target = Path(path)
        made = {".html": self.to_html, ".json": self.to_json, ".txt": self.to_text}.get(target.suffix.lower())
        if made is None:
            raise ValueError(f"path: {target.name!r} ends in none of .html, .json and .txt")
        content = made()
        with replacing(target) as stream:
            stream.write(content)
        return target
