"""A hundred runs in trouble at once, and runs whose names are anything but names, told by the real servers."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.alertmanager.alertmanager_process import silence_matchers
from tests.alertmanager.receivers import check_slack, part
from tests.dashboards.panel_queries import as_grafana_writes, dashboards, queries
from tests.e2e.alerting_site import Site, TrainingProcess
from tests.server_process import eventually

EXPERIMENT = "{{ .Alerts }} \"q\" 'p' \\d+ <i>&amp; $run (a|b)"
RUN = '{{ .Labels.alertname }} <!channel>\n"q"} or up{ <script>alert(1)</script> \\'
MANY = 100
EXPLODED = f"[FIRING:{MANY} critical] QuantumGradientExplosion: sweep"


@dataclass(frozen=True)
class Hostile:
    """What was told of the training with the hostile names.

    Attributes:
        run: the label that its run has.
        address: where it answers.
        slack: the Slack message's attachment.
        mail: the e-mail.
    """

    run: str
    address: str
    slack: dict[str, Any]
    mail: EmailMessage

    @property
    def shown(self) -> str:
        """Its name as one line."""
        return " ".join(self.run.split())


@pytest.fixture(scope="module")
def exploded(site: Site, start_training: Callable[..., TrainingProcess]) -> dict[str, TrainingProcess]:
    """A training with hostile names, and a process with a hundred runs more; the gradients of all have exploded."""
    hostile, sweep = start_training(RUN, experiment=EXPERIMENT, held=None), start_training("sweep", experiment="sweep")
    for training in (hostile, sweep):
        training.wait_until_up()
    site.wait_for_scrape_of(hostile, sweep)
    hostile.tell("explode")
    sweep.tell("train_others", MANY)
    sweep.tell("explode_others")
    return {"hostile": hostile, "sweep": sweep}


@pytest.fixture(scope="module")
def hostile(site: Site, exploded: dict[str, TrainingProcess]) -> Hostile:
    address = exploded["hostile"].address
    [series] = site.prometheus.series(f'quantum_run_info{{instance="{address}"}}')
    eventually(lambda: site.slack(address) and site.mails(address), what="the message of the hostile run")
    [slack], [mail] = site.slack(address), site.mails(address)
    return Hostile(series["metric"]["run"], address, slack, mail)


# Names that are anything but names


def test_a_hostile_name_is_a_text_in_slack(hostile: Hostile) -> None:
    fields = {field["title"]: field["value"] for field in hostile.slack["fields"]}
    shown = hostile.shown.replace("<", "&lt;").replace(">", "&gt;")
    assert fields["Run"] == shown
    assert fields["Value against threshold"].endswith(" against 10")
    assert shown in hostile.slack["title"]


def test_a_hostile_name_is_a_text_in_an_e_mail(hostile: Hostile) -> None:
    rich = part(hostile.mail, "html")
    assert hostile.shown in hostile.mail["Subject"]
    assert hostile.shown in part(hostile.mail, "plain")
    assert hostile.shown in html.unescape(rich)
    assert "<script" not in rich
    assert "<i>" not in rich


def test_the_links_of_a_hostile_name_lead_to_it(site: Site, hostile: Hostile) -> None:
    links = {action["text"]: action["url"] for action in hostile.slack["actions"]}
    chosen = {"experiment": EXPERIMENT, "run": hostile.run, "instance": hostile.address}
    assert parse_qs(urlsplit(links["Dashboard"]).query) == {f"var-{name}": [value] for name, value in chosen.items()}
    matchers = silence_matchers(links["Silence"])
    assert site.alertmanager.states(*matchers) == {f"QuantumGradientExplosion {hostile.run}": "active"}


def test_a_hostile_name_that_is_chosen_in_grafana_selects_its_series_and_no_other(site: Site, hostile: Hostile) -> None:
    names = {"experiment": EXPERIMENT, "run": hostile.run}
    chosen = {variable: as_grafana_writes(name) for variable, name in names.items()}
    asked = [query.expr for board in dashboards().values() for query in queries(board, variables=chosen)]
    labels = [series["metric"] for expr in asked for series in site.prometheus.series(expr)]
    assert {label["experiment"] for label in labels if "experiment" in label} == {EXPERIMENT}
    assert {label["run"] for label in labels if "run" in label} == {hostile.run}


# Many at once


@pytest.mark.usefixtures("exploded")
def test_a_hundred_runs_that_explode_at_once_are_one_message_to_each_receiver(site: Site) -> None:
    eventually(lambda: site.slack(EXPLODED) and site.mails(EXPLODED), what="the message of a hundred")
    assert (len(site.slack(EXPLODED)), len(site.mails(EXPLODED))) == (1, 1)
    assert "and 90 more" in site.slack(EXPLODED)[0]["text"]


@pytest.mark.usefixtures("exploded")
def test_that_a_hundred_are_over_is_a_message_or_two(site: Site) -> None:
    sweep = "QuantumGradientExplosion: sweep"
    eventually(lambda: site.slack("RESOLVED", sweep) and site.mails("RESOLVED", sweep), what="that all is over")
    # One of each; and one wherever a scrape or an evaluation fell in the midst of the hundred.
    assert len(site.slack(sweep)) <= 4
    assert len(site.mails(sweep)) <= 4


def test_runs_that_fail_at_once_are_one_message(site: Site, exploded: dict[str, TrainingProcess]) -> None:
    eventually(lambda: not site.alertmanager.states('experiment="sweep"'), what="the end of what silences it")
    exploded["sweep"].tell("fail_others")
    eventually(lambda: site.slack("QuantumRunFailed") and site.mails("QuantumRunFailed"), what="that runs failed")
    assert "QuantumRunFailed: sweep" in site.slack("QuantumRunFailed")[0]["title"]
    assert len(site.slack("QuantumRunFailed")) <= 2
    assert len(site.mails("QuantumRunFailed")) <= 2


@pytest.mark.usefixtures("hostile")
def test_slack_takes_every_message_and_nothing_went_wrong_on_the_way(
    site: Site, exploded: dict[str, TrainingProcess]
) -> None:
    for request in site.web.received("/slack"):
        check_slack(request.json)
    assert "error" not in site.alertmanager.log.lower(), site.alertmanager.log
    assert site.prometheus.series("increase(prometheus_rule_evaluation_failures_total[10m]) > 0") == []
    assert [training.errors for training in exploded.values()] == ["", ""]
