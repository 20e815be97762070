"""Pages with figures: one file that holds the figures' numbers and the program that draws them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np

from quantum_monitor.views import theme
from quantum_monitor.views.page_script import SCRIPT, STYLE
from quantum_monitor.views.report_html import Markup, page, paragraph, text

_MARK = 'type="application/json" class="drawn"'
_HEIGHT = 340
_WITHOUT_REGL = {"scattergl": "scatter", "scatterpolargl": "scatterpolar"}
_THEMES: tuple[theme.Theme, ...] = ("light", "dark")
_NO_SCRIPT = (
    '<noscript><p class="soft">The figures are drawn by a script in this page, which is switched off.</p></noscript>'
)


def figure_box(figure: Any, *, title: str, note: str = "") -> Markup:
    """A figure in a page that `interactive_page` makes.

    A figure with one of our templates follows the page from light to dark: its template is exchanged, and so are the
    colours that `theme` names. Any other keeps the colours it has.

    Args:
        figure: a plotly figure. Its width is that of its box; one with a width and ``autosize=False`` keeps it, and
            scrolls. Its height is its own, 340 pixels where it has none, or up to half as much again where others of
            its row are higher. Its title gives way to that of the box.
        title: what stands above it, as plain text.
        note: a sentence below it.
    """
    drawn = figure.to_plotly_json()
    for trace in drawn.get("data", []):
        # regl, which draws these, compiles programs from text, as the page's policy allows nobody to do.
        trace["type"] = _WITHOUT_REGL.get(trace["type"], trace["type"])
        dates = drawn.get("layout", {}).get("xaxis", {}).get("type") == "date"
        trace |= {axis: _compact(trace[axis], dates) for axis in ("x", "y") if axis in trace}
    layout = drawn.setdefault("layout", {})
    ours = _is_ours(layout.get("template"))
    if ours:
        del layout["template"]
        layout.setdefault("margin", {}).setdefault("t", 28)  # what was kept for the title
    fixed = layout.get("autosize") is False and "width" in layout
    for key in ("title",) if fixed else ("title", "width"):
        layout.pop(key, None)
    layout["autosize"] = not fixed
    height = layout.setdefault("height", _HEIGHT)
    content = {"data": drawn.get("data", []), "layout": layout, "frames": drawn.get("frames") or [], "ours": ours}
    return Markup(
        f'<figure class="plot">\n<figcaption><strong>{text(title)}</strong></figcaption>\n'
        f'<div class="drawing{" fixed" if fixed else ""}" style="min-height: {float(height):g}px; '
        f'max-height: {1.5 * float(height):g}px" role="img" '
        f'aria-label="{text(title)}"><div></div></div>\n'
        f"<script {_MARK}>{_json(content)}</script>\n" + (f"{paragraph(note, 'soft')}\n" if note else "") + "</figure>"
    )


def interactive_page(title: str, parts: Iterable[str]) -> str:
    """One self-contained page: plotly.js is in it once where a part has a figure, and nothing is loaded or sent.

    The policy allows its own scripts and styles and images that are in the page; light or dark is as the reader's
    system is set, also when that changes, and always light on paper.

    Args:
        title: of the page, as plain text.
        parts: the HTML in it, in order: what `report_html` makes, and `figure_box`.

    Raises:
        MissingExtraError: there are figures, and plotly is not installed.
    """
    content = [part for part in parts if part]
    images = "img-src data: blob:; "
    if not any(_MARK in part for part in content):
        return page(title, content, style=STYLE, allowed=images)
    theme.graph_objects()
    from plotly.offline import get_plotlyjs

    templates = {name: theme.template(name).to_plotly_json() for name in _THEMES}
    facts = f'<script type="application/json" id="templates">{_json(templates)}</script>'
    # plotly.js adds style elements of its own, which change with its version, and sets style attributes.
    allowed = f"{images}style-src-elem 'unsafe-inline'; style-src-attr 'unsafe-inline'; "
    return page(title, [_NO_SCRIPT, *content, facts], style=STYLE, scripts=(get_plotlyjs(), SCRIPT), allowed=allowed)


def _compact(values: Any, dates: bool) -> Any:
    """The same numbers in fewer bytes; moments on an axis of dates as milliseconds, a third of their text."""
    if isinstance(values, dict) and values.get("dtype") == "f8" and "shape" not in values:
        values = np.frombuffer(base64.b64decode(values["bdata"]))
    elif isinstance(values, np.ndarray) and values.dtype.kind == "M" and dates:
        milliseconds = values.astype("datetime64[ms]").astype(np.float64)
        values = np.where(np.isnat(values), np.nan, milliseconds)
    else:
        return values
    if bool((np.abs(values) < 2**31).all()):  # False where one is NaN
        whole = values.astype(np.int32)
        values = whole if bool((whole == values).all()) else values
    kind = "i4" if values.dtype == np.int32 else "f8"
    return {"dtype": kind, "bdata": base64.b64encode(values.tobytes()).decode()}


def _is_ours(template: Any) -> bool:
    colourway = ((template or {}).get("layout") or {}).get("colorway")
    return any(tuple(colourway or ()) == theme.template(name).layout.colorway for name in _THEMES)


def _json(content: Any) -> str:
    """JSON that stays inside its script element, whatever its texts are; NaN and infinity in lists become null."""
    from plotly.io.json import to_json_plotly

    return str(to_json_plotly(content, engine="json").replace("<", "\\u003c"))
