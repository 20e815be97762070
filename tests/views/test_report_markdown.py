"""The report as Markdown: the same chapters, and whatever anybody wrote is text in every reader of it."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from quantum_monitor import masking
from quantum_monitor.record import Record
from quantum_monitor.store import artifacts
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.report import generate_report
from quantum_monitor.views.report_markdown import told

BEGIN = 1_700_000_000.0
EVIL = "<img src=x onerror=alert(1)> | [a](http://evil) `code` **b** ~~s~~ @alice #1 &lt; =cmd() %{x}\n# h\n- l"
WriteRun = Callable[..., StoredRun]


def rendered(source: str) -> str:
    """The HTML of GitHub's dialect: tables, strike-through, and links out of bare addresses."""
    reader = MarkdownIt("gfm-like")
    assert reader.linkify is not None
    reader.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    return str(reader.render(source))


def text_of(part: str) -> str:
    """What a reader sees of a piece of HTML that may hold code spans, and nothing else."""
    shown = re.sub(r"</?code>", "", part)
    assert "<" not in shown, part
    return " ".join(html.unescape(shown).split())


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a run: its records, and what its run.json says."""

    def write(*records: Record, **info: Any) -> StoredRun:
        described = {"experiment": "h2", "name": "a", "run_id": "1", "start_time": BEGIN, **info}
        store = RunStore(tmp_path / "runs" / "h2" / "1", {"status": "completed", **described})
        for record in records:
            store.put(record)
        assert store.close(20)
        return StoredRun(store.directory)

    return write


def markdown(run: StoredRun) -> str:
    return generate_report(run, format="md").read_text(encoding="utf-8")


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from([*"\\`*_{}[]<>#|~$!&=:@+-.()\"'/^%?,; ab1xw\n\t", "http://a", "www.", "&amp;", "<b>", "1. "]),
        max_size=14,
    ).map("".join)
)
def test_any_text_is_shown_as_it_is(given_text: str) -> None:
    shown = " ".join(masking.text(given_text).split())
    page = rendered(
        f"| {told(given_text, in_cell=True)} | z |\n| --- | --- |\n| {told(given_text, in_cell=True)} | z |"
    )
    cells = re.findall(r"<t[hd]>(.*?)</t[hd]>", page)
    assert [text_of(cell) for cell in cells] == [shown, "z"] * 2
    if shown:
        for begin, tag in (("# ", "h1"), ("", "p"), ("- ", "li")):
            found = re.search(rf"<{tag}>(.*?)</{tag}>\n", rendered(f"{begin}{told(given_text)}\n\n") + "\n", re.DOTALL)
            assert found
            assert text_of(found[1]) == shown


def test_nothing_that_anybody_wrote_becomes_more_than_text(write_run: WriteRun) -> None:
    labels = {"backend": EVIL, "status": "success", "currency": EVIL, "cost_kind": EVIL}
    run = write_run(
        Record("training", BEGIN, 0, {"loss": 1.0}),
        Record("custom", BEGIN, 0, {EVIL: 1.0}),
        Record("circuit", BEGIN, 0, {"cost": 1.0}, labels),
        Record("alert", BEGIN, 0, {"alert_value": 1.0}, {"alert": EVIL, "severity": EVIL}),
        name=EVIL,
        experiment=EVIL,
        status=EVIL,
        params={EVIL: EVIL, "nested": {EVIL: [EVIL]}},
        tags={EVIL: EVIL},
        labels={EVIL: EVIL},
        environment={EVIL: {EVIL: EVIL}},
        framework=EVIL,
    )
    folder = run.directory / "artifacts" / "circuits" / "c"
    folder.mkdir(parents=True)
    (folder / "circuit.txt").write_text("q0: ─H─\n```\n<script>alert(2)</script>\n# h\n")
    entry = {"number": 1, "kind": "circuit", "name": EVIL, "path": "artifacts/circuits/c", "time": BEGIN,
             "metadata": {EVIL: EVIL}, "register_as": EVIL}  # fmt: skip
    (run.directory / artifacts.INDEX).write_text(json.dumps(entry) + "\n")
    page = rendered(markdown(run))
    own = {"h1", "h2", "p", "strong", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td", "pre"}
    assert set(re.findall(r"<([a-zA-Z][\w-]*)", page)) == own
    assert page.count("<h1>") == 1
    attributes = set(re.findall(r"<\w+ ([^>]*)>", page))
    assert attributes == {
        'style="text-align:right"',
        'class="language-text"',
        'class="language-sh"',
        'class="language-python"',
    }


def test_it_has_the_chapters_and_numbers_of_the_page(write_run: WriteRun) -> None:
    labels = {"backend": "a|b", "status": "success", "currency": "USD", "cost_kind": "reported"}
    run = write_run(
        *(Record("training", BEGIN + step, step, {"loss": loss}) for step, loss in enumerate((3.0, math.nan, 1.25))),
        Record("circuit", BEGIN, None, {"cost": 12345678.25}, labels),
        params={"learning_rate": 0.05},
    )
    text = markdown(run)
    page = generate_report(run, include_visualizations=False).read_text(encoding="utf-8")
    chapters = re.findall(r"<h2>(.*?)</h2>", page)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == chapters
    assert "| Best loss (step 2) | 1.25 |" in text
    assert "| a\\|b | USD | reported | 1 | 12345678.25 | 12345678.25 |" in text
    assert "| learning_rate | 0.05 |" in text
    bars = "`█\N{MULTIPLICATION SIGN}▁`"
    assert f"lowest 1.25, highest 3: {bars} 1 of 3 values are NaN or infinite" in text


def test_the_line_of_bars_shows_a_spike_among_ten_thousand_steps(write_run: WriteRun) -> None:
    losses = [0.0] * 10_000
    losses[5_000] = 1e6
    run = write_run(*(Record("training", BEGIN + step, step, {"loss": loss}) for step, loss in enumerate(losses)))
    found = re.search(r"highest 1,000,000: `([▁▂▃▄▅▆▇█]+)`", markdown(run))
    assert found
    bars = found[1]
    assert sorted(bars) == ["▁"] * (len(bars) - 1) + ["█"]
    assert bars.index("█") == len(bars) // 2


def test_a_run_without_records_says_what_would_help(write_run: WriteRun) -> None:
    text = markdown(write_run())
    assert "| Loss | `log_training_step(loss, gradients, parameters, step)` |" in text
    assert "No alert was reported." in text
    assert "## Course" not in text
