"""Who is told, lived through with a real Alertmanager: groups, silence between alerts, repetition, ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.alerts.rules import ALERTS, PROMETHEUS_ALERTS
from tests.alertmanager.alertmanager_process import Alertmanager, loopback_config, silence_matchers
from tests.alertmanager.receivers import Mailbox, Webhook, check_slack, mailbox, part, webhook
from tests.server_process import eventually

SEVERITIES = {rule.prometheus_name: rule.severity.label for rule in ALERTS} | {
    rule.prometheus_name: rule.severity.label for rule in PROMETHEUS_ALERTS
}


@dataclass(frozen=True)
class Site:
    """A running Alertmanager and those it tells."""

    alertmanager: Alertmanager
    web: Webhook
    mail: Mailbox

    def slack(self, of: str) -> list[dict[str, Any]]:
        """Attachments of the Slack messages that contain a text."""
        sent = [request.json["attachments"][0] for request in self.web.received("/slack")]
        return [attachment for attachment in sent if of in str(attachment)]

    def mails(self, of: str) -> list[EmailMessage]:
        return [message for message in self.mail.messages() if of in part(message, "plain")]


@pytest.fixture(scope="module")
def site(server_binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with webhook() as web, mailbox() as mail:
        folder = tmp_path_factory.mktemp("alertmanager")
        config = loopback_config(folder, webhook=web.url, smarthost=mail.smarthost)
        with Alertmanager(server_binary("prometheus-alertmanager"), config) as alertmanager:
            yield Site(alertmanager, web, mail)
            for message in web.received("/slack"):
                check_slack(message.json)
            assert "error" not in alertmanager.log.lower(), alertmanager.log


def alert(name: str, *, value: str = "12.5", threshold: str = "10", **labels: str) -> dict[str, Any]:
    where = {"job": "quantum-monitor", "instance": "127.0.0.1:9888", **labels}
    annotations = {"summary": f"{name} of {labels}", "value": value, "threshold": threshold,
                   "dashboard_url": "http://localhost:3000/d/quantum-training",
                   "runbook_url": "https://example.org/runbook.md"}  # fmt: skip
    return {"labels": {"alertname": name, "severity": SEVERITIES[name], **where}, "annotations": annotations}


def let_every_group_tell(site: Site, experiment: str) -> None:
    """Wait until a new alert and then its end were told: by then, every other group has told its news as well."""
    marker = alert("QuantumBarrenPlateau", experiment=experiment, run="marker", instance="marker:1")
    site.alertmanager.fire(marker)
    eventually(lambda: site.slack(f"{experiment} /"))
    site.alertmanager.resolve(marker)
    eventually(lambda: len(site.slack(f"{experiment} /")) == 2)


def test_a_critical_alert_silences_the_lesser_ones_of_its_run_only(site: Site) -> None:
    site.alertmanager.fire(
        alert("QuantumGradientExplosion", experiment="inhibit", run="a"),
        alert("QuantumBarrenPlateau", experiment="inhibit", run="a"),
        alert("QuantumQueueTimeLimit", experiment="inhibit", run="a"),
        alert("QuantumBarrenPlateau", experiment="inhibit", run="b"),
        alert("QuantumErrorRateIncrease", backend="inhibit-backend"),
        alert("QuantumBackendDown", backend="inhibit-other"),
        alert("QuantumMemoryHigh"),
    )
    eventually(lambda: site.slack("inhibit-backend") and site.slack("inhibit / b") and site.slack("inhibit / a"))
    assert site.alertmanager.states('instance="127.0.0.1:9888"', 'alertname!="QuantumWatchdog"') == {
        "QuantumGradientExplosion a": "active",
        "QuantumBarrenPlateau a": "suppressed",
        "QuantumQueueTimeLimit a": "suppressed",
        "QuantumBarrenPlateau b": "active",
        "QuantumErrorRateIncrease": "active",
        "QuantumBackendDown": "active",
        "QuantumMemoryHigh": "active",
    }
    assert [each["title"] for each in site.slack("inhibit / a")] == [
        "[FIRING:1 critical] QuantumGradientExplosion: inhibit / a"
    ]


def test_an_exporter_that_is_down_silences_the_rest_of_its_instance(site: Site) -> None:
    here, there = {"instance": "down:1"}, {"instance": "other:1"}
    site.alertmanager.fire(
        alert("QuantumExporterDown", **here),
        alert("QuantumGradientExplosion", experiment="down", run="a", **here),
        alert("QuantumTrainingStalled", experiment="down", run="a", **here),
        alert("QuantumErrorRateIncrease", backend="ibm", **here),
        alert("QuantumCpuHigh", **here),
        alert("QuantumGradientExplosion", experiment="down", run="b", **there),
        {"labels": {"alertname": "QuantumWatchdog", "severity": "info"}},
    )
    eventually(lambda: site.slack("QuantumExporterDown: down:1") and site.mails("QuantumExporterDown: down:1"))
    assert site.alertmanager.states('instance="down:1"') == {
        "QuantumExporterDown": "active",
        "QuantumGradientExplosion a": "suppressed",
        "QuantumTrainingStalled a": "suppressed",
        "QuantumErrorRateIncrease": "suppressed",
        "QuantumCpuHigh": "suppressed",
    }
    assert site.alertmanager.states('instance="other:1"') == {"QuantumGradientExplosion b": "active"}
    assert site.alertmanager.states('alertname="QuantumWatchdog"') == {"QuantumWatchdog": "active"}
    assert not site.slack("down / a")


def test_a_killed_process_is_told_once_and_by_the_name_of_its_run(site: Site) -> None:
    where = {"instance": "killed:1"}
    vanished = alert("QuantumRunVanished", experiment="killed", run="a", **where)
    exporter = alert("QuantumExporterDown", **where)
    dropped = alert("QuantumRecordsDropped", sink="store", **where)
    site.alertmanager.fire(exporter, vanished, dropped)
    eventually(lambda: site.slack("killed / a") and site.mails("killed / a"))
    assert site.alertmanager.states('instance="killed:1"') == {
        "QuantumExporterDown": "suppressed",
        "QuantumRecordsDropped": "suppressed",
        "QuantumRunVanished a": "active",
    }
    site.alertmanager.resolve(exporter)  # its rule knows of the run now
    eventually(lambda: len(site.alertmanager.states('instance="killed:1"')) == 2)
    assert site.alertmanager.states('instance="killed:1"') == {
        "QuantumRecordsDropped": "suppressed",
        "QuantumRunVanished a": "active",
    }
    let_every_group_tell(site, "after-the-kill")
    site.alertmanager.resolve(vanished, dropped)  # ten minutes later
    let_every_group_tell(site, "long-after-the-kill")
    assert site.alertmanager.states('instance="killed:1"') == {}
    told = ["[FIRING:1 critical] QuantumRunVanished: killed / a"]
    assert [each["title"] for each in site.slack("killed")] == told
    assert [mail["Subject"] for mail in site.mails("killed")] == told


def test_a_hundred_runs_are_one_message_to_each_and_so_is_their_end(site: Site) -> None:
    failing = [alert("QuantumGradientExplosion", experiment="sweep", run=f"run-{n:03}") for n in range(100)]
    site.alertmanager.fire(*failing)
    title = "[FIRING:100 critical] QuantumGradientExplosion: sweep"
    eventually(lambda: site.slack("sweep") and site.mails("sweep"))
    (slack,), (mail,) = site.slack("sweep"), site.mails("sweep")
    assert slack["title"] == mail["Subject"] == title
    assert slack["text"].count("sweep / run-") == part(mail, "plain").count("sweep / run-") == 10
    assert "and 90 more" in slack["text"]
    assert "and 90 more" in part(mail, "plain")
    assert "90 more" in part(mail, "html")

    site.alertmanager.resolve(*failing)
    eventually(lambda: len(site.slack("sweep")) > 1 and len(site.mails("sweep")) > 1)
    assert [each["title"] for each in site.slack("sweep")] == [title, title.replace("FIRING", "RESOLVED")]
    assert [each["Subject"] for each in site.mails("sweep")] == [title, title.replace("FIRING", "RESOLVED")]
    assert site.slack("sweep")[-1]["color"] == "#2e7d32"


def test_of_several_backends_without_an_experiment_there_is_one_message(site: Site) -> None:
    down = [alert("QuantumBackendDown", backend=name, instance="backends:1") for name in ("ankaa", "garnet")]
    site.alertmanager.fire(*down)
    eventually(lambda: site.slack("garnet"))
    assert "ankaa" in site.slack("garnet")[0]["text"]


def test_that_a_run_ended_is_told_once_and_never_called_over(site: Site) -> None:
    ended = [
        alert("QuantumRunFailed", experiment="ended", run="a"),
        alert("QuantumRunFinished", experiment="ended", run="b"),
    ]
    site.alertmanager.fire(*ended)
    eventually(lambda: len(site.slack("ended")) == 2 and site.mails("ended"))
    site.alertmanager.resolve(*ended)
    let_every_group_tell(site, "after-the-end")
    assert len(site.slack("ended /")) == 2
    assert len(site.mails("ended /")) == 1


def test_the_watchdog_reaches_the_dead_mans_switch_again_and_again_and_nobody_else(site: Site) -> None:
    site.alertmanager.fire({"labels": {"alertname": "QuantumWatchdog", "severity": "info"}})
    eventually(lambda: len(site.web.received("/watchdog")) >= 2)
    assert not site.slack("QuantumWatchdog")
    assert not site.mails("QuantumWatchdog")


def test_pagerduty_is_told_what_is_critical_and_that_it_is_over(site: Site) -> None:
    def events() -> list[dict[str, Any]]:
        return [request.json for request in site.web.received("/pagerduty") if "pager / a" in str(request.json)]

    critical = alert("QuantumFidelityDrop", experiment="pager", run="a")
    site.alertmanager.fire(critical, alert("QuantumBarrenPlateau", experiment="pager", run="b"))
    eventually(lambda: events() and site.slack("pager / b"))
    site.alertmanager.resolve(critical)
    eventually(lambda: len(events()) == 2)
    trigger, resolve = events()
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["routing_key"] == "a-routing-key"
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["summary"] == "[FIRING:1 critical] QuantumFidelityDrop: pager / a"
    assert "12.5 against 10" in trigger["payload"]["custom_details"]["firing"]
    assert not [request for request in site.web.received("/pagerduty") if "pager / b" in str(request.json)]


@pytest.mark.parametrize("run", ['{{ .Labels }} <b> "q" \\ \n é+&% #1', "plain"])
def test_the_silence_button_silences_exactly_this_run(run: str, site: Site) -> None:
    experiment = f"silence-{len(run)}"
    mine = alert("QuantumFidelityDrop", experiment=experiment, run=run)
    site.alertmanager.fire(mine, alert("QuantumFidelityDrop", experiment=f"{experiment}-other", run=run))
    eventually(lambda: site.slack(f"{experiment} /") and site.mails(f"{experiment} /"))
    (attachment,), (mail,) = site.slack(f"{experiment} /"), site.mails(f"{experiment} /")
    from_slack = silence_matchers({action["text"]: action["url"] for action in attachment["actions"]}["Silence"])
    html = re.search(r'href="([^"]+)"[^>]*>Silence<', part(mail, "html"))
    assert html is not None
    assert silence_matchers(html[1]) == from_slack
    assert site.alertmanager.states(*from_slack) == {f"QuantumFidelityDrop {run}": "active"}
