"""Pages with figures, in a real browser: they draw what they hold, load nothing, and are legible on light and dark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from quantum_monitor.views import theme
from quantum_monitor.views.pages import figure_box, interactive_page
from quantum_monitor.views.report_html import text
from tests.browser import Watched, page_of
from tests.server_process import eventually

HOSTILE = "</script><img src=x onerror=alert(1)>"
BEGIN = np.datetime64("2024-01-01T00:00:00", "ms")
X = np.arange(5, dtype=np.float64)
Y = np.array([1.0, -2.5, np.nan, 1e-300, 1e300])

CONTRASTS = """() => {
  const rgb = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = rgb(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const own = getComputedStyle(element).backgroundColor, parts = rgb(own);
      if (parts.length < 4 || parts[3] > 0) return own;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const element of document.querySelectorAll('main *')) {
    const svg = element.tagName === 'text' || element.tagName === 'tspan';
    const told = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const style = getComputedStyle(element), colour = svg ? style.fill : style.color;
    if (!told || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName) || colour === 'none') continue;
    const [high, low] = [light(colour), light(behind(element))].sort((a, b) => b - a);
    found.push([element.textContent.trim().slice(0, 40), (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""


def figure(name: theme.Theme = "light") -> go.Figure:
    line = go.Scatter(x=X, y=Y, name=theme.label(HOSTILE), marker={"color": theme.ink(name)})
    dates = np.array(["2024-01-01T00:00:00.250", "NaT"], "datetime64[ms]")
    other = go.Scatter(x=[0, 1], y=[0, 1], name="%{x}")
    dated = go.Scatter(x=dates, y=[1.0, 2.0], xaxis="x2", yaxis="y2", name="later")
    layout = {"template": theme.template(name), "title": "A title", "width": 2000, "xaxis": {"title": {"text": "Step"}}}
    return go.Figure([line, other, dated], layout=layout)


def opened(folder: Path) -> str:
    foreign = go.Figure(go.Scattergl(x=[1, 2], y=[3, 4]), layout={"paper_bgcolor": "#fff0f0", "template": "plotly"})
    space = go.Figure(go.Surface(z=[[1, 2], [3, 4]]), layout={"template": theme.template()})
    parts = [
        f"<h1>{text(HOSTILE)}</h1>",
        '<div class="figures">',
        figure_box(figure(), title=HOSTILE, note=HOSTILE),
        figure_box(figure("dark"), title="The same, made for dark"),
        figure_box(foreign, title="Somebody's"),
        figure_box(space, title="In space"),
        "</div>",
    ]
    file = folder / "page.html"
    file.write_text(interactive_page(HOSTILE, parts), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return opened(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module", params=[(390, "light"), (1600, "dark")], ids=["phone, light", "wide, dark"])
def watched(request: pytest.FixtureRequest, chromium: Any, address: str) -> Iterator[Watched]:
    width, scheme = request.param
    with page_of(chromium, address, width=width, scheme=scheme) as page:
        page.page.wait_for_selector("html[data-drawn]")
        yield page


def test_a_page_draws_its_figures_and_asks_nobody(watched: Watched) -> None:
    assert watched.page.locator("figure.plot .main-svg").count() >= 4
    assert watched.complaints == []
    assert watched.foreign == []
    assert watched.overflow() == []


def test_the_numbers_in_the_browser_are_those_of_the_figure(watched: Watched) -> None:
    x, y = watched.page.evaluate(
        "() => { const t = document.querySelector('.js-plotly-plot')._fullData[0];"
        " return [Array.from(t.x), Array.from(t.y, (v) => Number.isFinite(v) ? v : null)] }"
    )
    assert x == X.tolist()
    assert y == [None if np.isnan(value) else value for value in Y]


def test_text_stays_text(watched: Watched) -> None:
    page = watched.page
    assert page.locator("img").count() == 0
    assert page.title() == HOSTILE
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator(".legendtext").first.text_content() == HOSTILE
    assert page.locator(".legendtext").nth(1).text_content() == "%{x}"


def test_text_is_legible(watched: Watched) -> None:
    found = watched.page.evaluate(CONTRASTS)
    assert len(found) > 20
    assert [pair for pair in found if pair[1] < 4.5] == []


def test_nothing_offers_to_send_data_away(watched: Watched) -> None:
    shown = watched.page.locator(".modebar-btn").evaluate_all("all => all.map((b) => b.dataset.title)")
    harmless = {"Download plot", "Zoom", "Pan", "Zoom in", "Zoom out", "Autoscale", "Reset axes"}
    in_space = {"Orbital rotation", "Turntable rotation", "Reset camera to default", "Reset camera to last save"}
    assert harmless <= set(shown) <= harmless | in_space


def test_a_figure_is_as_high_as_it_says(watched: Watched) -> None:
    box = watched.page.locator(".js-plotly-plot .main-svg").first.bounding_box()
    assert box is not None
    assert box["height"] == 340


def test_a_figure_grows_with_its_row_and_gives_the_room_back(chromium: Any, tmp_path: Path) -> None:
    sizes = (300, 400, 900)
    made = [go.Figure(go.Scatter(y=[1, 2]), layout={"height": size, "template": theme.template()}) for size in sizes]
    parts = ['<div class="figures">', *(figure_box(each, title="one") for each in made), "</div>"]
    (tmp_path / "page.html").write_text(interactive_page("Row", parts), encoding="utf-8")
    heights = """all => all.map((drawn) => drawn.getBoundingClientRect().height).join()"""
    with page_of(chromium, (tmp_path / "page.html").as_uri(), width=1600) as watched:
        watched.page.wait_for_selector("html[data-drawn]")
        drawn = watched.page.locator(".js-plotly-plot .main-svg:first-child")
        assert drawn.evaluate_all(heights) == "450,600,900"
        watched.page.set_viewport_size({"width": 390, "height": 900})
        eventually(lambda: drawn.evaluate_all(heights) == "300,400,900")
        assert watched.complaints == []


def test_figures_follow_the_reader_from_light_to_dark(chromium: Any, address: str) -> None:
    made_for = (
        "() => [...document.querySelectorAll('.js-plotly-plot')].map((p) => "
        "[p._fullLayout.paper_bgcolor, p._fullLayout.font.color, p._fullData[0].marker?.color])"
    )
    with page_of(chromium, address, scheme="light") as watched:
        watched.page.wait_for_selector("html[data-drawn=light]")
        light = watched.page.evaluate(made_for)
        watched.page.emulate_media(color_scheme="dark")
        watched.page.wait_for_selector("html[data-drawn=dark]")
        dark = watched.page.evaluate(made_for)
        watched.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        watched.page.wait_for_selector("html[data-drawn=paper]")
        paper = watched.page.evaluate(made_for)
        assert watched.page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.width") < 700
        assert watched.complaints == []
    assert paper == light
    for made, name in ((light, "light"), (dark, "dark")):
        assert made[0] == made[1] == [theme.paper(name), theme.ink(name), theme.ink(name)]  # type: ignore[arg-type]
    assert light[2] == dark[2]  # somebody else's colours are left alone
    assert light[2][0] == "#fff0f0"


def test_a_page_without_figures_has_no_script() -> None:
    page = interactive_page("Nothing", ["<p>nothing</p>", ""])
    assert "<script" not in page
    assert "script-src" not in page


def test_plotly_is_in_a_page_once_and_scripts_are_allowed_by_their_hash_only() -> None:
    box = figure_box(figure(), title="one")
    page = interactive_page("Two", [box, box])
    assert page.count("plotly.js v") == 1
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    (scripts,) = (rule for rule in policy[1].split("; ") if rule.startswith("script-src"))
    assert re.fullmatch(r"script-src( 'sha256-[\w+/=]{44}'){2}", scripts)
    assert policy[1].startswith("default-src 'none'; ")


def test_moments_and_whole_numbers_travel_in_few_bytes() -> None:
    times = BEGIN + np.arange(1000) * np.timedelta64(1, "s")
    dated = go.Scatter(x=times, y=np.arange(1000.0))
    box = figure_box(go.Figure(dated, layout={"xaxis": {"type": "date"}}), title="t")
    content = re.search(r'class="drawn">(.*?)</script>', box)
    assert content is not None
    assert len(content[1]) < 24_000
    assert json.loads(content[1])["data"][0]["y"]["dtype"] == "i4"
