"""Panels as Grafana of today reads them, placed by themselves, whatever grafanalib writes."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grafanalib")

from quantum_monitor.grafana import (
    AVAILABILITY,
    Column,
    alert_list,
    board,
    generate,
    heatmap,
    line,
    query,
    section,
    stat,
    state_timeline,
    table,
    threshold,
    timeseries,
)
from quantum_monitor.grafana.normal import normal_panel

ROOT = Path(__file__).resolve().parents[2]
LOSS = query("quantum_training_loss")
numbers = itertools.count()


def panel(**options: Any) -> Any:
    return timeseries(f"Loss {next(numbers)}", "Loss of each step.", "none", LOSS, **options)


def rendered(*panels: Any) -> list[dict[str, Any]]:
    """The panels of a dashboard with one line, as they stand in its JSON."""
    found = board("quantum-training", "A test.", section("Section", line(*panels))).to_json_data()["panels"]
    return [entry for entry in found if entry["type"] != "row"]


def overrides(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = entry["fieldConfig"]["overrides"]
    return {o["matcher"]["options"]: {p["id"]: p["value"] for p in o["properties"]} for o in found}


# Layout


@pytest.mark.parametrize(
    ("spans", "widths"),
    [((None,), [24]), ((None, None, None), [8, 8, 8]), ((16, None), [16, 8]), ((6, None, None), [6, 9, 9])],
)
def test_panels_share_what_others_leave_of_the_line(spans: tuple[int | None, ...], widths: list[int]) -> None:
    placed = [entry["gridPos"] for entry in rendered(*(panel(span=span) for span in spans))]
    assert [grid["w"] for grid in placed] == widths
    assert [grid["x"] for grid in placed] == [sum(widths[:place]) for place in range(len(widths))]


@pytest.mark.parametrize("spans", [(None,) * 5, (12, 8), (24, None), (20, 8)])
def test_a_line_that_does_not_fill_the_grid_is_refused(spans: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match=r"Loss \d+"):
        rendered(*(panel(span=span) for span in spans))


def test_sections_and_lines_stand_below_each_other() -> None:
    sections = [
        section("First", line(panel(), height=5), line(panel(), height=7)),
        section("Second", line(panel(), height=3)),
    ]
    found = board("quantum-training", "A test.", *sections).to_json_data()["panels"]
    assert [entry["gridPos"]["y"] for entry in found] == [0, 1, 6, 13, 14]


def test_a_panel_keeps_its_id_when_others_come_or_go() -> None:
    kept, other = panel(), panel()
    alone, beside = rendered(kept)[0]["id"], rendered(other, kept)[1]["id"]
    assert alone == beside


def test_a_comma_too_many_is_named() -> None:
    with pytest.raises(TypeError, match=r"a panel is a call of timeseries\(\.\.\.\).* not a tuple"):
        line((panel(),))


def test_the_lines_of_the_manual_add_a_panel_where_it_says(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.+?)```", (ROOT / "docs/dashboards.md").read_text(), re.DOTALL)
    assert block is not None
    assert block[1].count("\n") == 3
    title = re.search(r'timeseries\("([^"]+)"', block[1])
    assert title is not None
    written = (ROOT / "dashboards/state.dashboard.py").read_text()
    assert title[1] not in written
    (tmp_path / "state.dashboard.py").write_text(written.replace("        line(\n", f"        line(\n{block[1]}", 1))
    panels = json.loads(generate.rendered(tmp_path)["json/state.json"])["panels"]
    assert title[1] in [entry["title"] for entry in panels]
    assert len({entry["gridPos"]["w"] for entry in panels[1:3]}) == 1, "they share the line"


def test_two_panels_of_one_name_are_refused() -> None:
    twice = panel()
    with pytest.raises(ValueError, match="rename one"):
        rendered(twice, twice)


def test_an_unknown_dashboard_is_refused() -> None:
    with pytest.raises(ValueError, match="UIDS"):
        board("quantum-nonsense", "A test.")


@pytest.mark.parametrize(("title", "description"), [("", "Something."), ("Something", "")])
def test_a_panel_without_title_or_description_is_refused(title: str, description: str) -> None:
    with pytest.raises(ValueError, match="needs a title and a description"):
        timeseries(title, description, "none", LOSS)


# Panels


def test_a_panel_in_three_lines_is_complete() -> None:
    (entry,) = rendered(
        timeseries("Purity", "Purity of the latest state.", "none",
                   query("quantum_state_purity"))
    )  # fmt: skip
    assert entry["targets"][0]["expr"].startswith('quantum_state_purity{job=~"$job", ')
    assert (entry["targets"][0]["range"], entry["targets"][0]["instant"]) == (True, False)
    assert entry["options"]["legend"]["showLegend"] is True
    assert entry["fieldConfig"]["defaults"]["noValue"]
    assert "maxDataPoints" not in entry


def test_a_threshold_is_a_dashed_red_line_with_no_place_in_the_legend() -> None:
    (entry,) = rendered(timeseries("Norm", "A norm.", "none", LOSS, threshold("gradient_explosion"), log=True))
    drawn = overrides(entry)["B"]
    assert drawn["custom.lineStyle"]["fill"] == "dash"
    assert drawn["color"]["fixedColor"] == "red"
    assert drawn["custom.hideFrom"]["legend"] is True
    assert entry["fieldConfig"]["defaults"]["custom"]["scaleDistribution"] == {"type": "log", "log": 10}


def test_a_second_unit_has_an_axis_of_its_own() -> None:
    entropy = query("quantum_state_entanglement_entropy", right_unit="suffix:bits")
    (entry,) = rendered(timeseries("Two", "Two axes.", "none", LOSS, entropy))
    assert overrides(entry) == {"B": {"unit": "suffix:bits", "custom.axisPlacement": "right"}}


def test_a_stat_shows_the_latest_value_and_turns_red_from_where_it_is_told() -> None:
    (entry,) = rendered(stat("Failed", "Failed runs.", "none", LOSS, red_from=1, since="24h"))
    assert entry["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]
    assert entry["fieldConfig"]["defaults"]["thresholds"]["steps"] == [
        {"color": "green", "value": None}, {"color": "red", "value": 1},
    ]  # fmt: skip
    assert entry["timeFrom"] == "24h"


def test_a_table_has_a_row_for_each_combination_of_labels_and_its_columns_in_order() -> None:
    columns = [Column("Loss", LOSS, decimals=6), Column("State", query("quantum_backend_up"), states=AVAILABILITY)]
    (entry,) = rendered(table("Runs", "All runs.", {"run": "Run"}, *columns, link=("Run", "/d/quantum-state")))
    assert [target["expr"].split("(")[1].strip() for target in entry["targets"]] == ["run)", "run)"]
    assert {target["format"] for target in entry["targets"]} == {"table"}
    merge, organize = entry["transformations"]
    assert merge["id"] == "merge"
    assert organize["options"]["renameByName"] == {"run": "Run", "Value #A": "Loss", "Value #B": "State"}
    assert sorted(organize["options"]["indexByName"], key=organize["options"]["indexByName"].get) == [
        "run", "Value #A", "Value #B",
    ]  # fmt: skip
    assert overrides(entry)["Loss"] == {"unit": "short", "decimals": 6}
    assert overrides(entry)["State"]["mappings"][0]["options"]["0"]["text"] == "down"
    assert overrides(entry)["Run"]["links"][0]["url"] == "/d/quantum-state"


def test_the_value_of_a_table_with_one_column_is_found_under_its_name() -> None:
    (entry,) = rendered(table("Runs", "All runs.", {"run": "Run"}, Column("Loss", LOSS)))
    assert entry["transformations"][1]["options"]["renameByName"]["Value"] == "Loss"


def test_a_heatmap_reads_buckets_and_has_no_key_of_the_angular_one() -> None:
    (entry,) = rendered(heatmap("Queue", "Time in the queue.", "s", "quantum_circuit_queue_duration_seconds"))
    assert entry["targets"][0]["format"] == "heatmap"
    assert "_bucket{" in entry["targets"][0]["expr"]
    assert entry["options"]["calculate"] is False
    assert not {"cards", "color", "dataFormat", "yAxis", "xAxis", "heatmap", "tooltip"} & entry.keys()


def test_states_have_texts_and_colours() -> None:
    (entry,) = rendered(state_timeline("Up", "Availability.", AVAILABILITY, query("quantum_backend_up")))
    (mapping,) = entry["fieldConfig"]["defaults"]["mappings"]
    assert mapping["options"]["1"] == {"color": "green", "index": 1, "text": "up"}
    assert entry["options"]["perPage"] == 20


def test_the_list_of_alerts_is_that_of_unified_alerting() -> None:
    (entry,) = rendered(alert_list("Firing", "What fires.", '{severity="critical"}'))
    assert entry["type"] == "alertlist"
    assert entry["options"]["stateFilter"]["firing"] is True
    assert entry["options"]["alertInstanceLabelFilter"] == '{severity="critical"}'


def test_nulls_go_but_the_base_of_thresholds_stays() -> None:
    grid = {"h": 1, "w": 2, "x": 3, "y": 4, "static": None}
    defaults = {"unit": "s", "min": None, "thresholds": {"mode": "absolute", "steps": []}}
    entry = normal_panel({"type": "stat", "gridPos": grid, "interval": None, "fieldConfig": {"defaults": defaults}})
    assert entry["fieldConfig"]["defaults"] == {
        "unit": "s", "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}]},
    }  # fmt: skip
    assert entry["gridPos"] == {"h": 1, "w": 2, "x": 3, "y": 4}
