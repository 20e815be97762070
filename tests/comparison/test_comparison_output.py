"""A comparison as text, as JSON and as a page in a real browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_monitor.comparison import Comparison, compare_runs
from quantum_monitor.record import Record
from tests.browser import page_of
from tests.comparison.comparison_runs import NAN, write_run

EVIL = "<img src=x onerror=alert(1)>"
FORMULA = "=cmd()\x1b[31m\u202e"
PLACEHOLDER = "%{x}"


def hostile(folder: Path) -> Comparison:
    rng = np.random.default_rng(1)
    for group, end in (("a", 1.0), ("b", 2.0)):
        for n in range(4):
            own = {EVIL: end + rng.normal(0, 0.1), PLACEHOLDER: rng.normal(), FORMULA: NAN if n == 0 else rng.normal()}
            records = [Record("custom", 101.0, None, own)]
            losses = [rng.normal(end, 0.1) + 1 / (step + 1) for step in range(30)]
            params = {EVIL: f"{EVIL}{end}", "seed": n + 10 * end}
            name = (EVIL, FORMULA, PLACEHOLDER, "plain")[n]
            write_run(folder / group / f"{n}", losses, params=params, records=records, name=name, experiment=EVIL)
        write_run(folder / group / "broke", [1.0], status="failed", name=EVIL)
    return compare_runs(folder / "a", folder / "b")


def test_names_are_text_in_a_terminal(tmp_path: Path) -> None:
    told = hostile(tmp_path).to_text()
    assert all(letter.isprintable() or letter == "\n" for letter in told)
    assert f"custom:{EVIL}: B is higher by" in told
    assert "worse in final_loss, best_loss" in told
    assert "left out 1 failed" in told


def test_json_is_strict_and_holds_every_number(tmp_path: Path) -> None:
    found = hostile(tmp_path)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    told: dict[str, Any] = json.loads(found.to_json(), parse_constant=refuse)
    assert set(told) == {
        "version", "answer", "confidence", "pairs", "pairing", "tests", "a", "b", "metrics", "over_steps", "parameters",
        "notes",
    }  # fmt: skip
    assert [run["name"] for run in told["a"]["runs"]] == [m.name for m in found.a.members]
    assert told["a"]["left_out"] == [{"name": EVIL, "why": "failed"}]
    for shown, known in zip(told["metrics"], found.differences, strict=True):
        assert (shown["key"], shown["difference"], shown["low"]) == (
            known.metric.key, known.outcome.difference, known.outcome.low,
        )  # fmt: skip
        assert (shown["p"], shown["p_adjusted"]) == (known.outcome.p, known.adjusted)
    assert told["over_steps"][0]["a"]["median"] == found.courses[0].a.median.tolist()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
def test_the_page_shows_names_as_text_and_draws_the_groups(
    tmp_path: Path, chromium: Any, width: int, scheme: str
) -> None:
    found = hostile(tmp_path)
    path = found.save(tmp_path / "comparison.html")
    with page_of(chromium, path.as_uri(), width=width, scheme=scheme) as watched:
        watched.page.wait_for_selector("html[data-drawn]")
        assert (watched.complaints, watched.foreign, watched.overflow()) == ([], [], [])
        assert watched.page.locator("img").count() == 0
        body = watched.page.inner_text("body")
        assert EVIL in body
        assert PLACEHOLDER in body
        assert "worse in final_loss" in body
        drawn = watched.page.evaluate(
            "[...document.querySelectorAll('.js-plotly-plot')].map(d => d.data.map(t => t.name))"
        )
        assert drawn == [[None, "A, median", None, "B, median"], [None, "B - A"]]
        medians = watched.page.evaluate("document.querySelector('.js-plotly-plot').calcdata[1].map(p => p.y)")
        assert medians == pytest.approx(found.courses[0].a.median.tolist())


def test_without_plotly_the_page_has_its_tables_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hostile(tmp_path)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    page = found.to_html()
    assert "pip install &#x27;quantum-monitor[views]&#x27;" in page
    assert "<script" not in page
    assert "B is worse in" in page
    assert EVIL not in page


def test_it_is_saved_as_the_ending_says_or_not_at_all(tmp_path: Path) -> None:
    found = hostile(tmp_path)
    assert json.loads(found.save(tmp_path / "x.json").read_text())["version"] == 1
    assert found.save(str(tmp_path / "x.txt")).read_text() == found.to_text()
    with pytest.raises(ValueError, match=r"'x\.pdf' ends in none of"):
        found.save(tmp_path / "x.pdf")
    with pytest.raises(FileNotFoundError):
        found.save(tmp_path / "nowhere" / "x.json")


def test_one_run_against_one_has_lines_but_no_interval(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "x" / "a", [1.0, 0.5]), write_run(tmp_path / "x" / "b", [1.0, 0.25])
    page = compare_runs(a, b).to_html()
    assert page.count('class="plot"') == 1
    assert "Not enough runs to show anything." in page


def test_runs_without_any_record_say_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "x" / "a", [], seconds=-1), write_run(tmp_path / "x" / "b", [], seconds=-1)
    found = compare_runs(a, b)
    assert "The runs have no metric to compare." in found.to_text()
    assert json.loads(found.to_json())["metrics"] == []
    assert "no metric to compare" in found.to_html()
