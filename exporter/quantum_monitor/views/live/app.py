"""The Dash application: the layout that never changes, and callbacks that hand questions on to `View`."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs

import flask
import numpy as np
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from quantum_monitor.views.live import address, listing
from quantum_monitor.views.live.runs import RunList
from quantum_monitor.views.live.tables import CIRCUIT
from quantum_monitor.views.live.view import Update, View, latest
from quantum_monitor.views.observed import Amount, Curve, Observed
from quantum_monitor.views.panels import PANELS, panel_figure
from quantum_monitor.views.theme import Theme

BEAT_SECONDS = 1.5
_LARGEST_QUESTION = 2**20
_LARGEST_PICTURE = 8 * 2**20

# plotly.js is large: read while the first answer is on its way, and not only when the first graph asks for it.
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{%title%}</title>
<link rel="icon" href="data:,">
{%css%}
<script async src="/_dash-component-suites/plotly/package_data/plotly.min.js"></script>
<link rel="preload" as="script" href="/_dash-component-suites/dash/dcc/async-graph.js">
</head>
<body>
{%app_entry%}
<footer>
{%config%}
{%scripts%}
{%renderer%}
</footer>
</body>
</html>"""

_PANELS = {name: {"type": name, "panel": ALL} for name in ("card", "panel", "latest", "note")}
_OF = {name: {"type": name, "of": ALL} for name in ("slider", "state", "told")}


class Page:
    """The application of a folder.

    Args:
        folder: a storage folder, an experiment's folder or a run's directory.

    Attributes:
        policy: the Content-Security-Policy of its pages.
    """

    def __init__(self, folder: Path) -> None:
        self._runs = RunList(folder)
        self._view = View(self._runs)
        self._dash = Dash(
            "quantum_monitor.views.live", server=flask.Flask("quantum_monitor.views.live", static_folder=None),
            assets_folder=str(Path(__file__).parent / "assets"), title="quantum-monitor", update_title=None,
            index_string=_INDEX, serve_locally=True, compress=False, suppress_callback_exceptions=True,
            include_pages_meta=False, use_pages=False, add_log_handler=False,
        )  # fmt: skip
        self._dash.enable_dev_tools(debug=False)
        logging.getLogger("quantum_monitor.views.live").setLevel(logging.ERROR)
        self._dash.server.config["MAX_CONTENT_LENGTH"] = _LARGEST_QUESTION
        self._dash.server.before_request(self._ahead)
        self._dash.server.add_url_rule(CIRCUIT, "circuit", self._circuit)
        self._dash.layout = _layout(self._runs.folder.name)
        self._connect()
        for name in get_args(Theme):
            _practise(name)
        self.policy = _policy(self._dash)
        self.application = self._dash.server.wsgi_app

    def _connect(self) -> None:
        """Every callback of the page."""
        in_browser, on_server = self._dash.clientside_callback, self._dash.callback
        in_browser(ClientsideFunction("live", "theme"), Output("theme", "data"), Input("url", "pathname"))
        in_browser(
            ClientsideFunction("live", "beat"),
            Output("beat", "data"), Output("run-beat", "data"), Output("lost", "hidden"), Output("lost", "children"),
            Input("clock", "n_intervals"), State("drawn", "data"), State("busy", "data"), State("presence", "data"),
            prevent_initial_call=True,
        )  # fmt: skip
        in_browser(
            ClientsideFunction("live", "pick"), Output("picked", "data"),
            Input({"type": "pick", "run": ALL}, "value"), State({"type": "pick", "run": ALL}, "id"),
            State("picked", "data"),
        )  # fmt: skip
        in_browser(ClientsideFunction("live", "drawn"), Output("titled", "data"), Input("drawn", "data"))
        in_browser(
            ClientsideFunction("live", "page"), Output("page", "data"),
            Input("newer", "n_clicks"), Input("older", "n_clicks"), Input("search", "value"), Input("status", "value"),
            State("page", "data"), prevent_initial_call=True,
        )  # fmt: skip
        on_server(
            Output("listed", "children"), Output("status", "options"), Output("pager", "hidden"),
            Output("place", "children"), Output("newer", "disabled"), Output("older", "disabled"),
            Output("comparing", "children"), Output("list-mark", "data"), Output("presence", "data"),
            Input("beat", "data"), Input("page", "data"), Input("search", "value"), Input("status", "value"),
            Input("url", "search"), Input("picked", "data"), State("list-mark", "data"), State("presence", "data"),
        )(self._list)  # fmt: skip
        on_server(
            Output("heading", "children"), Output("content", "children"), Output("drawn", "data"),
            Output("app", "className"),
            Output(_PANELS["card"], "children"), Output(_PANELS["panel"], "figure"),
            Output(_PANELS["panel"], "extendData"), Output(_PANELS["latest"], "children"),
            Output(_PANELS["note"], "children"),
            Output(_OF["slider"], "max"), Output(_OF["slider"], "marks"), Output(_OF["slider"], "value"),
            Input("url", "search"), Input("theme", "data"), Input("run-beat", "data"), State("drawn", "data"),
            State(_OF["slider"], "value"), State(_OF["slider"], "max"),
            running=[(Output("busy", "data"), True, False)],
        )(self._update)  # fmt: skip
        on_server(
            Output(_OF["state"], "figure"), Output(_OF["state"], "style"), Output(_OF["told"], "children"),
            Input(_OF["slider"], "value"), State("url", "search"), State("theme", "data"),
        )(self._state)  # fmt: skip

    def _list(self, *inputs: Any) -> list[Any]:
        _, page, search, status, at, picked, mark, presence = inputs
        entries = self._runs.entries()
        where = address.read(at)
        shown, page, found = listing.page_of(entries, search or "", status or "all", page or 0)
        now = self._view.presence(where)
        told = [[e.key, e.name, e.experiment, e.status, e.tags] for e in shown]
        seen = [told, page, found, len(entries), where.run, picked]
        if seen == mark:
            return [no_update] * 8 + [now if now != presence else no_update]
        first = page * listing.A_PAGE
        names = [entry.name for key in picked if (entry := self._runs.get(key)) is not None]
        return [
            listing.rows(shown, where.run, picked) if shown else listing.nothing(entries),
            listing.statuses(entries),
            found <= listing.A_PAGE,
            f"{first + 1:,} to {first + len(shown):,} of {found:,}",
            page == 0,
            first + len(shown) >= found,
            listing.comparison(picked, names),
            seen,
            now if now != presence else no_update,
        ]

    def _update(self, *inputs: Any) -> list[Any]:
        search, theme, _, drawn, places, lasts = inputs
        groups = [[output["id"] for output in group] for group in ctx.outputs_list[4:]]
        if theme not in {"light", "dark"}:
            return [no_update] * 4 + [[no_update] * len(group) for group in groups]
        place = places[0] if places else None
        update = self._view.update(search, theme, drawn, place)
        update.drawn["search"] = search
        return [
            no_update if update.heading is None else update.heading,
            no_update if update.content is None else update.content,
            update.drawn,
            self._looks(search),
            *_changed(update, groups, at_the_end=bool(places) and places == lasts),
        ]

    def _looks(self, search: str) -> str:
        """What a narrow window shows: the list, or what was chosen; both where there is nothing to choose."""
        if address.read(search) != address.Address():
            return "app chosen"
        return "app" if self._runs.entries() else "app empty"

    def _state(self, places: list[int], search: str, theme: Any) -> list[Any]:
        if not places:
            return [[], [], []]
        figure, told = self._view.state(search, theme if theme in {"light", "dark"} else "light", places[0])
        height = figure.get("layout", {}).get("height")
        return [[figure], [{"height": f"{height}px"} if height else {}], [told]]

    def _ahead(self) -> None:
        """Read the run that a page is opened for while the browser is still at its scripts."""
        if flask.request.path == "/" and flask.request.query_string:
            search = flask.request.query_string.decode("ascii", "replace")
            threading.Thread(target=self._view.read_ahead, args=(search,), daemon=True).start()

    def _circuit(self) -> Any:
        """The picture of a circuit, by the key of its run and its number."""
        query = parse_qs(flask.request.query_string.decode("ascii", "replace"), errors="replace")
        number = query.get("number", [""])[0]
        if not (number.isascii() and number.isdecimal() and len(number) < 12):
            flask.abort(404)
        file = self._view.picture(query.get("run", [""])[0], int(number))
        if file is None or file.stat().st_size > _LARGEST_PICTURE:
            return flask.abort(404)
        return flask.Response(file.read_bytes(), mimetype="image/svg+xml", headers={"Cache-Control": "no-store"})


def _practise(theme: Theme) -> None:
    """Draw for nobody what plotly needs long for the first time: no person waits for it then."""
    curve = Curve()
    curve.take(*np.ones((3, 1)))
    amount = Amount("loss", "training", (), curve=curve)
    panel_figure(PANELS[0], Observed({("training", "loss", ()): amount}), theme)


def _changed(update: Update, groups: list[list[dict[str, str]]], *, at_the_end: bool) -> list[list[Any]]:
    """The answers for panels and slider, each in the order in which the browser asked."""
    cards, figures, extends, latests, notes, *slider = groups
    change = update.changes
    told: list[list[Any]] = [[update.new.get(card["panel"], no_update) for card in cards]]
    told.append([
        change[p["panel"]].figure if p["panel"] in change and change[p["panel"]].figure else no_update for p in figures
    ])  # fmt: skip
    told.append([_added(change.get(panel["panel"])) for panel in extends])
    told.append([latest(change[p["panel"]]) if p["panel"] in change else no_update for p in latests])
    told.append([change[p["panel"]].note if p["panel"] in change else no_update for p in notes])
    found = update.slider
    if found is None:
        return [*told, *([no_update] * len(group) for group in slider)]
    return [*told, [found.last], [found.marks], [found.last if at_the_end else no_update]]


def _added(change: Any) -> Any:
    """What ``extendData`` of a graph takes."""
    if change is None or not change.added:
        return no_update
    places, xs, ys = zip(*change.added, strict=True)
    return [{"x": list(xs), "y": list(ys)}, list(places)]


def _layout(folder: str) -> Any:
    stores: dict[str, Any] = {"beat": 0, "run-beat": 0, "busy": False, "page": 0, "picked": []}
    stores |= dict.fromkeys(("theme", "drawn", "list-mark", "presence", "titled"))
    return html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Interval(id="clock", interval=BEAT_SECONDS * 1000),
            *(dcc.Store(id=name, data=data) for name, data in stores.items()),
            html.A("Skip to the run", href="#main", className="skip"),
            html.Div(id="lost", className="lost", role="status", hidden=True),
            listing.sidebar(folder),
            html.Main([html.Header(id="heading"), html.Div(id="content")], id="main", tabIndex="-1"),
        ],
        id="app", className="app",
    )  # fmt: skip


def _policy(app: Dash) -> str:
    """Only what this server sends: no foreign address, and of inline scripts only those of Dash itself."""
    return "; ".join((
        "default-src 'none'",
        f"script-src 'self' {' '.join(app.csp_hashes())}",
        "style-src 'self' 'unsafe-inline'",  # plotly and Dash set styles of elements
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ))  # fmt: skip
