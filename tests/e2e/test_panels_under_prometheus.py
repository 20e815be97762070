"""Every query of every dashboard, asked of the whole stack while something is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.dashboards.panel_queries import dashboards, filled, queries, query_variables
from tests.e2e.alerting_site import Site, TrainingProcess
from tests.server_process import eventually

BOARDS = dashboards()


@pytest.fixture(scope="module")
def site_in_trouble(site: Site, start_training: Callable[..., TrainingProcess]) -> Site:
    """A stack with a run that has ended, and one whose gradient has exploded."""
    training = start_training("first", held=None)
    training.wait_until_up()
    site.wait_for_scrape_of(training)
    training.tell("begin", "second")
    training.tell("set_fidelity", 0.99)  # an infidelity of 0 has no place on a log axis
    training.tell("explode")
    eventually(lambda: site.slack("QuantumGradientExplosion", "second"), what="the message")
    return site


def empty(site: Site) -> set[tuple[str, str, str]]:
    """The queries of panels and annotations that find nothing, with everything selected."""
    asked = [query for board in BOARDS.values() for query in queries(board, rate_interval="10s", time_range="5m")]
    return {(one.dashboard, one.panel, one.ref_id) for one in asked if not site.prometheus.series(one.expr)}


def test_every_query_of_every_panel_and_annotation_finds_something(site_in_trouble: Site) -> None:
    """Also those in `MAY_BE_EMPTY`, for here the rules are loaded, Prometheus scrapes itself, and an alert fires."""
    waited_for = empty(site_in_trouble)  # a rate has data with the second scrape
    eventually(lambda: not empty(site_in_trouble), what=f"data for {waited_for}")


@pytest.mark.parametrize("board", BOARDS)
def test_every_variable_offers_something(site_in_trouble: Site, board: str) -> None:
    variables = query_variables(BOARDS[board])
    for name, asked in variables.items():
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", asked)
        assert match is not None, asked
        selector, label = filled(match[1], dict.fromkeys(variables, ".+")), match[2]
        assert site_in_trouble.prometheus.ask(f"label/{label}/values", **{"match[]": selector}), name


def test_the_alert_that_people_are_told_of_is_the_one_on_the_overview(site_in_trouble: Site) -> None:
    panel = "Value against threshold"
    asked = [query for query in queries(BOARDS["overview"]) if query.panel == panel]
    shown = [series["metric"] for query in asked for series in site_in_trouble.prometheus.series(query.expr)]
    assert {(one["alert"], one["run"], one["severity"]) for one in shown} == {
        ("gradient_explosion", "second", "critical")
    }
