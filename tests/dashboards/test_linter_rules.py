"""The generated dashboards follow the rules of the dashboard linters, and ask only for what exists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from quantum_monitor.alerts import rules
from tests.dashboards.panel_queries import dashboards, panels, queries

promql = pytest.importorskip("promql_parser")
formatunits = pytest.importorskip("grafanalib.formatunits")

DASHBOARDS = dashboards()
UIDS = {"quantum-overview", "quantum-training", "quantum-state", "quantum-circuits", "quantum-cost", "quantum-health"}
PANEL_TYPES = {"alertlist", "heatmap", "stat", "state-timeline", "table", "timeseries"}  # none is deprecated
OF_PROMETHEUS = ("up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped")

each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


# The dashboard


def test_there_are_the_six_dashboards_that_alerts_and_links_name() -> None:
    assert [dashboard["uid"] for dashboard in DASHBOARDS.values()] == [f"quantum-{name}" for name in DASHBOARDS]
    assert {dashboard["uid"] for dashboard in DASHBOARDS.values()} == UIDS
    assert {rule.dashboard for rule in rules.ALERTS} | {rule.dashboard for rule in rules.PROMETHEUS_ALERTS} <= UIDS


@each_dashboard
def test_it_is_not_edited_in_the_browser_and_has_a_schema_of_today(dashboard: Mapping[str, Any]) -> None:
    assert dashboard["editable"] is False
    assert dashboard["schemaVersion"] >= 39
    assert dashboard["title"]
    assert dashboard["description"]
    assert dashboard["tags"] == ["quantum-monitor"]
    assert not {"rows", "style", "hideControls", "sharedCrosshair", "__inputs", "id", "gnetId"} & dashboard.keys()


@each_dashboard
def test_one_data_source_variable_chooses_where_everything_is_asked(dashboard: Mapping[str, Any]) -> None:
    (chosen,) = (v for v in dashboard["templating"]["list"] if v["type"] == "datasource")
    assert (chosen["name"], chosen["query"], chosen["current"]["value"]) == ("datasource", "prometheus", "prometheus")
    sources = [panel["datasource"] for panel in panels(dashboard)]
    sources += [target["datasource"] for panel in panels(dashboard) for target in panel.get("targets", [])]
    sources += [v["datasource"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    sources += [a["datasource"] for a in dashboard["annotations"]["list"] if not a.get("builtIn")]
    assert sources == [{"type": "prometheus", "uid": "${datasource}"}] * len(sources)


@each_dashboard
def test_the_variables_find_several_values_and_those_of_finished_runs(dashboard: Mapping[str, Any]) -> None:
    names = ["datasource", "job", "instance", "experiment", "run"]
    names += ["backend"] if dashboard["uid"] in ("quantum-circuits", "quantum-cost") else []
    variables = dashboard["templating"]["list"]
    assert [variable["name"] for variable in variables] == names
    for variable in variables[1:]:
        assert (variable["multi"], variable["includeAll"], variable["allValue"], variable["refresh"]) == (
            True, True, ".+", 2,
        )  # fmt: skip
        assert variable["current"]["value"] == ["$__all"]
        assert variable["query"]["query"] == variable["definition"]
        assert variable["label"]
        assert variable["description"]


@each_dashboard
def test_links_lead_to_every_other_dashboard_and_keep_selection_and_time(dashboard: Mapping[str, Any]) -> None:
    links = dashboard["links"]
    assert {link["url"] for link in links} == {f"/d/{uid}" for uid in UIDS - {dashboard["uid"]}}
    assert all(link["keepTime"] and link["includeVars"] and link["title"] for link in links)


@each_dashboard
def test_links_in_cells_lead_to_a_dashboard(dashboard: Mapping[str, Any]) -> None:
    for panel in panels(dashboard):
        of_rows = set(re.findall(r'"dashboard", "(\w+)"', str(panel.get("targets"))))
        for uid in re.findall(r"/d/([^?']+)", str(panel["fieldConfig"])):
            assert {uid.replace("${__data.fields.Dashboard}", name) for name in of_rows or [""]} <= UIDS, panel["title"]


def test_a_run_in_the_table_leads_to_its_training_alone_also_where_another_process_has_a_run_of_its_name() -> None:
    (link,) = re.findall(r"/d/quantum-training\?[^']+", str(DASHBOARDS["overview"]["panels"]))
    for label in ("Instance", "Experiment", "Run"):
        assert f"&var-{label.lower()}=${{__data.fields.{label}:percentencode}}" in link


def test_an_alert_in_the_table_leads_to_the_dashboard_that_its_rule_names() -> None:
    table = next(panel for panel in panels(DASHBOARDS["overview"]) if panel["title"] == "Value against threshold")
    for target in table["targets"]:
        leads = dict(re.findall(r'"dashboard", "(\w+)", "alert", "(\w+(?:\|\w+)*)"', target["expr"]))
        found = {key: f"quantum-{name}" for name, keys in leads.items() for key in keys.split("|")}
        assert found == {rule.key: rule.dashboard for rule in rules.ALERTS}


@each_dashboard
def test_annotations_mark_start_and_end_of_runs_and_alerts(dashboard: Mapping[str, Any]) -> None:
    events = {event["name"]: event for event in dashboard["annotations"]["list"]}
    assert list(events) == ["Annotations & Alerts", "Run starts", "Run ends", "Alerts"]
    assert events["Run starts"]["useValueForTime"]
    assert events["Run ends"]["useValueForTime"]
    assert all("*" in events[name]["expr"] for name in ("Run starts", "Run ends"))  # milliseconds


# The grid


def test_uids_and_panel_ids_are_unique() -> None:
    ids = [panel["id"] for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


@each_dashboard
def test_panels_fill_every_line_and_lie_on_no_other(dashboard: Mapping[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    bottom = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(bottom)}


# The panels


@each_dashboard
def test_every_panel_has_title_description_unit_and_something_to_say_when_empty(dashboard: Mapping[str, Any]) -> None:
    units = {value for name, value in vars(formatunits).items() if name.isupper()} | {"dateTimeFromNow", "suffix:bits"}
    for panel in panels(dashboard):
        assert panel["title"]
        assert len(panel["description"]) > 15, panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in units, panel["title"]
        assert defaults["noValue"], panel["title"]
        for override in panel["fieldConfig"]["overrides"]:
            for entry in override["properties"]:
                assert entry["id"] != "unit" or entry["value"] in units


@each_dashboard
def test_every_panel_is_of_a_type_that_is_not_deprecated_and_sets_its_options(dashboard: Mapping[str, Any]) -> None:
    for panel in panels(dashboard):
        assert panel["type"] in PANEL_TYPES
        assert panel["options"]
        assert panel["pluginVersion"]
        assert not {"maxDataPoints", "editable", "height", "span", "cacheTimeout", "error"} & panel.keys()


@each_dashboard
def test_every_threshold_is_drawn_as_a_line_of_its_own(dashboard: Mapping[str, Any]) -> None:
    for panel in panels(dashboard):
        if panel["type"] != "timeseries":
            continue
        limits = {t["refId"] for t in panel["targets"] if t["expr"].startswith("quantum_alert_threshold")}
        dashed = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            if any(entry["id"] == "custom.lineStyle" for entry in override["properties"])
        }
        assert limits == dashed, panel["title"]


def test_every_alert_of_the_process_is_drawn_against_its_threshold() -> None:
    drawn = {
        key
        for dashboard in DASHBOARDS.values()
        for asked in queries(dashboard)
        for key in re.findall(r'quantum_alert_threshold\{alert="(\w+)"', asked.expr)
    }
    state_alone = {"backend_down"}  # 0 or 1: the state timeline shows it
    assert drawn | state_alone == set(rules.BY_KEY)


@each_dashboard
def test_queries_are_either_of_the_range_or_of_its_end(dashboard: Mapping[str, Any]) -> None:
    for panel in panels(dashboard):
        targets = panel.get("targets", [])
        assert [target["refId"] for target in targets] == list("ABCDEFGHIJ"[: len(targets)])
        for target in targets:
            assert target["range"] is not target["instant"]
            assert target["instant"] == (panel["type"] in ("stat", "table"))
