"""What stands on the page at an address: the heading, the content, and what has changed since the last time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dash import dcc, html

from quantum_monitor import masking
from quantum_monitor.store import artifacts
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.live import address, blocks, figures, overlay, states
from quantum_monitor.views.live.address import Address
from quantum_monitor.views.live.course import Change, changes
from quantum_monitor.views.live.graphs import CONFIG, card, graph
from quantum_monitor.views.live.heading import back, of_run, problem
from quantum_monitor.views.live.runs import Entry, RunList
from quantum_monitor.views.live.tables import TABLES
from quantum_monitor.views.live.tiles import firing, tiles
from quantum_monitor.views.live.watched import UNREADABLE, Watched
from quantum_monitor.views.observed import Observed
from quantum_monitor.views.panels import PANELS
from quantum_monitor.views.report_data import Facts
from quantum_monitor.views.theme import Theme

_COMPARED_EVERY = 5.0
_OWN_FIGURES_EVERY = 20.0
_NEW_AT_ONCE = 3  # panels; but the first one is on the screen before the browser is busy with others
_TITLES = {panel.key: panel.title for panel in PANELS}


@dataclass
class Update:
    """What the page has to change; None and empty for what stays.

    Attributes:
        drawn: what the page shows afterwards, to be sent back with the next question.
        heading: the head of the page.
        content: what stands below it.
        changes: of panels that are on the page already.
        new: cards of panels that are not, by panel.
        slider: the slider of the states.
    """

    drawn: dict[str, Any]
    heading: Any = None
    content: Any = None
    changes: dict[str, Change] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)
    slider: states.Slider | None = None


class View:
    """Answers what the page asks.

    Args:
        runs: those there are.
    """

    def __init__(self, runs: RunList) -> None:
        self.runs = runs
        self._watched = Watched()

    def update(self, search: str, theme: Theme, drawn: Mapping[str, Any] | None, place: int | None = None) -> Update:
        """What a page must change to show what stands at an address by now.

        Args:
            search: the query of the address.
            theme: of the figures.
            drawn: what the page shows, as the last update left it; None for nothing.
            place: of the slider of states.
        """
        before = dict(drawn or {})
        if before.get("at") != [search, theme]:
            before = {}
        update = Update({**before, "at": [search, theme], "asked": time.time()})
        where = address.read(search)
        update.drawn["presence"] = self.presence(where)
        try:
            if where.compares:
                self._compare(where, theme, before, update)
            elif where.run:
                self._show(where, theme, before, update, place)
            else:
                self._welcome(before, update)
        except UNREADABLE as error:
            self._say(f"This run cannot be read: {error}", where, before, update)
        except Exception as error:  # noqa: BLE001 - what a stranger's files or a user's own figure may bring about
            self._say(f"This could not be drawn: {type(error).__name__}: {error}", where, before, update)
        return update

    def state(self, search: str, theme: Theme, place: int | None) -> tuple[dict[str, Any], str]:
        """The figure of a state of the run at an address, and a sentence about it; empty where there is none."""
        entry = self.runs.get(address.read(search).run)
        if entry is None:
            return {}, "This run is gone."
        try:
            return states.state_figure(StoredRun(entry.directory), place, theme)
        except (LookupError, *UNREADABLE) as error:
            return {}, f"This state cannot be shown: {error}"

    def presence(self, where: Address) -> str | None:
        """Which run stands at an address and what it is at now; None for none."""
        entry = self.runs.get(where.run) if where.run else None
        return None if entry is None else f"{entry.key} {entry.status}"

    def read_ahead(self, search: str) -> None:
        """Take in the runs at an address, for the question that comes when the browser has read the page."""
        where = address.read(search)
        for key in (where.run, *where.a, *where.b):
            entry = self.runs.get(key)
            if entry is not None:
                with contextlib.suppress(*UNREADABLE), self._watched.following(entry.directory):
                    pass

    def picture(self, key: str, number: int) -> Path | None:
        """The file with the picture of a circuit; None where there is none."""
        from quantum_monitor.views.live.tables import picture_of

        entry = self.runs.get(key)
        if entry is None:
            return None
        found = [a for a in artifacts.read(entry.directory, after=number - 1)[:1] if a.number == number]
        return picture_of(found[0]) if found and found[0].kind == "circuit" else None

    def _welcome(self, before: Mapping[str, Any], update: Update) -> None:
        entries = self.runs.entries()
        if not before.get("heading"):
            update.heading = [html.H1("Runs")]
        told = "Choose a run, or pick several to compare them." if entries else "No run here yet. Start one:"
        example = html.Pre(
            "from quantum_monitor import QuantumMonitor\n\n"
            f"monitor = QuantumMonitor(\"my_experiment\", storage_path={str(self.runs.folder)!r})\n"
            "with monitor.start_run():\n    ...\n    monitor.log_training_step(loss, gradients, parameters, step)",
            tabIndex="0",
        )  # fmt: skip
        self._put([html.P(told), *([] if entries else [example])], before, update)
        update.drawn |= {"pace": "live", "heading": "welcome", "title": self.runs.folder.name}

    def _say(self, sentence: str, where: Address, before: Mapping[str, Any], update: Update) -> None:
        """An error state; the page goes on asking, for it may be mended."""
        entry = self.runs.get(where.run)
        if entry is not None:
            self._head(entry, where, None, before, update)
        self._put([problem(sentence)], before, update)
        update.drawn |= {"pace": "live", "panels": {}}

    def _put(self, content: list[Any], before: Mapping[str, Any], update: Update) -> None:
        mark = _mark(content)
        if before.get("content") != mark:
            update.content = content
        update.drawn["content"] = mark

    def _show(self, where: Address, theme: Theme, before: Mapping[str, Any], update: Update, place: int | None) -> None:
        entry = self.runs.get(where.run)
        if entry is None:
            if not before.get("heading"):
                update.heading = [back(), html.H1("No such run")]
            gone = "This run is gone: its directory was removed, or never lay in this folder."
            update.drawn |= {"heading": "gone", "pace": "live", "panels": {}}
            self._put([problem(gone)], before, update)
            return
        goes_on = entry.status == "running"
        update.drawn |= {"pace": "live" if goes_on else "ended", "title": entry.name}
        if entry.problem:
            raise ValueError(entry.problem)
        with self._watched.following(entry.directory) as observed:
            self._head(entry, where, observed, before, update)
            if where.view == "course":
                self._course(entry, observed, theme, before, update)
                return
            if where.view in TABLES:
                run = StoredRun(entry.directory)
                facts = Facts(masking.values(run.info), entry.status, observed, artifacts.read(entry.directory))
                self._put(TABLES[where.view](facts, entry, theme), before, update)
                return
        if where.view == "states":
            self._states(entry, before, update, place)
        elif time.time() - before.get("figures", 0.0) > _OWN_FIGURES_EVERY:
            update.drawn["figures"] = time.time()
            self._put(figures.shown(StoredRun(entry.directory), theme), before, update)

    def _head(
        self, entry: Entry, where: Address, observed: Observed | None, before: Mapping[str, Any], update: Update
    ) -> None:
        shown = tiles(entry, observed, time.time()) if observed is not None else []
        alerts = firing(observed) if observed is not None else []
        heading = of_run(entry, where, shown, alerts)
        mark = _mark(heading)
        if before.get("heading") != mark:
            update.heading = heading
        update.drawn["heading"] = mark

    def _course(
        self, entry: Entry, observed: Observed, theme: Theme, before: Mapping[str, Any], update: Update
    ) -> None:
        known = before.get("panels") or {}
        shown: dict[str, Change] = {}
        room = _NEW_AT_ONCE if known else 1
        for change in changes(observed, known, theme, revision=entry.key, goes_on=entry.status == "running"):
            shown[change.key] = change
            if len(shown.keys() - known.keys()) == room:
                update.drawn["pace"] = "more"
                break
        update.drawn["panels"] = {**known, **{key: change.drawn for key, change in shown.items()}}
        is_empty = not update.drawn["panels"]
        mark = f"course {is_empty}"
        update.drawn["content"] = mark
        if before.get("content") != mark:
            waiting = "Nothing was logged yet." if entry.status == "running" else "This run has logged nothing."
            cards = [
                html.Div(_card(shown[panel.key]) if panel.key in shown else [],
                         id={"type": "card", "panel": panel.key}, className=f"card {panel.key}")
                for panel in PANELS
            ]  # fmt: skip
            update.content = [blocks.sentence(waiting) if is_empty else None, html.Div(cards, className="cards")]
            return
        update.new = {key: _card(change) for key, change in shown.items() if key not in known}
        update.changes = {key: change for key, change in shown.items() if key in known}

    def _states(self, entry: Entry, before: Mapping[str, Any], update: Update, place: int | None) -> None:
        found = states.slider(StoredRun(entry.directory))
        mark = f"states {found is not None}"
        update.drawn["content"] = mark
        if found is None:
            told = "No state was kept. log_quantum_state(state, step) keeps some, of up to 12 qubits."
            self._put([blocks.sentence(told)], before, update)
            return
        numbers = list(found.numbers)
        if before.get("content") != mark:
            at = found.last if place is None else max(0, min(place, found.last))
            update.content = _state_view(found, at)
        elif before.get("states") != numbers:
            update.slider = found
        update.drawn["states"] = numbers

    def _compare(self, where: Address, theme: Theme, before: Mapping[str, Any], update: Update) -> None:
        if time.time() - before.get("compared_at", 0.0) < _COMPARED_EVERY:
            return
        compared, missing = [], []
        for key, group in [*((key, "A") for key in where.a), *((key, "B") for key in where.b)]:
            entry = self.runs.get(key)
            if entry is None or entry.problem:
                missing.append(key)
                continue
            try:
                with self._watched.following(entry.directory) as observed:
                    compared.append(overlay.Compared(entry, observed, group))
            except UNREADABLE:
                missing.append(key)
        going_on = any(run.entry.status == "running" for run in compared)
        mark = _mark([[run.entry.key, run.group, run.entry.status, run.observed.cursor] for run in compared] + missing)
        update.drawn |= {"compared_at": time.time(), "pace": "live" if going_on else "ended", "title": "Comparison"}
        if not before.get("heading"):
            update.heading = [back(), html.H1(f"Comparison of {len(where.a + where.b)} runs")]
        update.drawn |= {"heading": "comparison", "content": mark}
        if before.get("content") == mark:
            return
        told = [problem(f"Gone or not readable: {', '.join(missing)}")] if missing else []
        cards = [
            card(title, graph(f"compare-{title}", figure, title)) for title, figure in overlay.figures(compared, theme)
        ]
        update.content = told
        if compared:
            table, boxes = overlay.table(compared, time.time()), html.Div(cards, className="cards")
            update.content = [*told, table, boxes, overlay.judged(compared)]


def _card(change: Change) -> list[Any]:
    title = _TITLES[change.key]
    return [
        html.Div([
            html.H2(title),
            html.Div(latest(change), id={"type": "latest", "panel": change.key}, className="latest"),
        ], className="head"),
        graph({"type": "panel", "panel": change.key}, change.figure, title),
        html.P(change.note, id={"type": "note", "panel": change.key}, className="soft note"),
    ]  # fmt: skip


def latest(change: Change) -> list[Any]:
    """The latest values of a panel."""
    return [html.Span([html.Span(name, className="soft"), " ", html.Span(told)]) for name, told in change.latest]


def _state_view(found: states.Slider, place: int) -> list[Any]:
    of = {"of": "states"}
    return [html.Div([
        html.Div([html.H2("State"), html.P(id={"type": "told", **of}, className="soft")], className="head"),
        html.Div(dcc.Slider(id={"type": "slider", **of}, min=0, max=found.last, step=1, value=place, marks=found.marks,
                            updatemode="drag", allow_direct_input=False, included=False),
                 className="steps", role="group", **{"aria-label": "Which of the kept states"}),
        html.Div(dcc.Graph(id={"type": "state", **of}, config=CONFIG, responsive=True, figure=None), role="figure",
                 className="state scroll", tabIndex="0", **{"aria-label": "The chosen state"}),
    ], className="card")]  # fmt: skip


def _mark(content: Any) -> str:
    """What tells a content from another, in a few letters."""
    from plotly.io.json import to_json_plotly

    try:
        told = to_json_plotly(content)
    except (TypeError, ValueError):
        told = json.dumps(repr(content))
    return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=9).hexdigest()
