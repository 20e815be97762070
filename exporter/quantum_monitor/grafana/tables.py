"""Tables: a row for each combination of labels, a column for each query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grafanalib import core

from quantum_monitor.grafana.parts import NOTHING, Json, States, common, mappings, override, targets
from quantum_monitor.grafana.queries import Query


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: its head.
        query: what it shows, the largest where several series belong to a row.
        unit: Grafana's name of the unit.
        decimals: after the point; as fits unless given.
        states: what the values mean, shown as a coloured text; None for numbers.
        alarming: whether any value above 0 is shown in red.
    """

    title: str
    query: Query
    unit: str = "short"
    decimals: int | None = None
    states: States | None = None
    alarming: bool = False


def table(
    title: str,
    description: str,
    rows: Mapping[str, str],
    *columns: Column,
    empty: str = NOTHING,
    span: int | None = None,
    link: tuple[str, str] | None = None,
    sort_by: str | None = None,
) -> Any:
    """A table of the present values, a row for each combination of labels.

    Args:
        title: of the panel, unique in the dashboard.
        description: what a person reads behind the i.
        rows: the labels that make a row, with the heads of their columns.
        columns: the values beside them.
        empty: what is shown where there is no data.
        span: width in columns; an equal share of the line unless given.
        link: head of a column of ``rows``, and the address that its cells lead to.
        sort_by: head of the column that the rows are sorted by, largest first.
    """
    by = ", ".join(rows)
    asked = [Query(f"max by ({by}) ({column.query.expr})", "") for column in columns]
    asks = targets(asked, instant=True, form="table")
    # A single query is called "Value", several "Value #A", "Value #B".
    fields = [f"Value #{target.refId}" if len(asks) > 1 else "Value" for target in asks]
    heads = dict(zip(fields, (column.title for column in columns), strict=True))
    order = {name: place for place, name in enumerate((*rows, *heads))}
    shown = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": {**rows, **heads}}
    overrides = [override("byName", column.title, _cells(column)) for column in columns]
    if link:
        head, address = link
        cell = [{"title": "open", "url": address, "targetBlank": False}]
        overrides.append(override("byName", head, {"links": cell}))
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False}
    sort = [{"desc": True, "displayName": sort_by}] if sort_by else []
    return core.Table(
        **common(title, description, span),
        targets=asks,
        unit="short",
        overrides=overrides,
        transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": shown}],
        extraJson={
            "fieldConfig": {"defaults": {"custom": {**custom, "displayMode": None}, "noValue": empty}},
            "options": {"cellHeight": "sm", "sortBy": sort},
        },
    )


def _cells(column: Column) -> Json:
    if column.states is not None:
        return {"mappings": mappings(column.states), "custom.cellOptions": {"type": "color-text"}}
    if column.alarming:
        steps = [{"color": "text", "value": None}, {"color": "red", "value": 1}]
        red = {"thresholds": {"mode": "absolute", "steps": steps}, "custom.cellOptions": {"type": "color-text"}}
        return {"unit": column.unit, **red}
    return {"unit": column.unit} | ({} if column.decimals is None else {"decimals": column.decimals})
