"""docs/comparison.md: its code runs, its links lead somewhere, its lists are those of the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from quantum_monitor.comparison import Difference, compare_runs
from quantum_monitor.comparison.metrics import COURSES
from quantum_monitor.comparison.result import Verdict
from tests.comparison.comparison_runs import write_group

PAGE = Path(__file__).parents[2] / "docs/comparison.md"
TEXT = PAGE.read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_the_example_runs_and_says_what_the_page_says(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", BLOCK], env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    (promised,) = re.findall(r"^It says `(.+)`\.$", TEXT, re.MULTILINE)
    assert f"final_loss: {promised}" in result.stdout.splitlines()
    assert "  5 pairs with the same seed" in result.stdout.splitlines()
    assert (tmp_path / "comparison.html").is_file()


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^## (.+)$", PROSE, re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(([^)\s]+)\)", PROSE)
    assert {link[1:] for link in links if link.startswith("#")} == anchors
    for link in links:
        assert link.startswith("#") or (PAGE.parent / link).is_file()


def test_the_keys_of_the_json_are_on_the_page(tmp_path: Path) -> None:
    a, b = (write_group(tmp_path / name, ends) for name, ends in (("a", [0.1, 0.3]), ("b", [0.2, 0.25])))

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    told = json.loads(compare_runs(a, b).to_json())
    for one in told["a"]["runs"] + told["b"]["runs"]:
        del one["values"]  # whose keys are those of metrics
    chapter = TEXT.split("\n## JSON\n")[1].split("\n## ")[0]
    assert keys(told) - set(re.findall(r"`(\w+)`", chapter)) == set()


def test_the_metrics_that_are_compared_are_on_the_page(tmp_path: Path) -> None:
    a, b = (write_group(tmp_path / name, ends) for name, ends in (("a", [0.1]), ("b", [0.2])))
    found: tuple[Difference, ...] = compare_runs(a, b).differences
    assert {d.metric.key for d in found} <= set(re.findall(r"`([\w:]+)`", TEXT))
    for field in COURSES:
        assert f"`{field}_over_steps`" in TEXT
    assert {"better", "worse", "lower", "higher", "not shown", "not tested"} == set(get_args(Verdict))
