"""From a training that goes wrong to the people who are told: real processes, real Prometheus, real Alertmanager."""

from __future__ import annotations

import html
import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

from quantum_monitor import assets
from quantum_monitor.alerts.rules import BY_KEY
from tests.alertmanager.alertmanager_process import silence_matchers
from tests.alertmanager.receivers import check_slack, part
from tests.e2e.alerting_site import Site, TrainingProcess
from tests.e2e.troubled_training import BACKEND
from tests.server_process import eventually

LOG = logging.getLogger(__name__)

TROUBLES = ("gradient_explosion", "fidelity_drop", "queue_time_limit", "cost_spike", "backend_down")
Addresses = dict[str, str]


@dataclass(frozen=True)
class Cast:
    """The trainings.

    Attributes:
        troubled: where one thing after another goes wrong, and which is then killed.
        healthy: of the same experiment, on the same backend; nothing ever goes wrong.
        short: which ends in order.
        patient: which holds its values for the true time.
    """

    troubled: TrainingProcess
    healthy: TrainingProcess
    short: TrainingProcess
    patient: TrainingProcess


@dataclass(frozen=True)
class Event:
    """What went wrong in the troubled training.

    Attributes:
        values: what its value may be called.
        threshold: what its threshold is called.
        began: Unix time before it happened.
    """

    values: tuple[str, ...]
    threshold: str
    began: float


def title(key: str, status: str = "FIRING") -> str:
    """What a message about a trouble of the troubled training is headed."""
    rule = BY_KEY[key]
    where = BACKEND if rule.scope == "backend" else "h2 / troubled"
    return f"[{status}:1 {rule.severity.label}] {rule.prometheus_name}: {where}"


def is_mailed(key: str) -> bool:
    """Whether such an alert comes by e-mail, too."""
    return BY_KEY[key].severity.label != "info"


@pytest.fixture(scope="module")
def cast(site: Site, start_training: Callable[..., TrainingProcess]) -> Cast:
    """All of them at work."""
    cast = Cast(
        troubled=start_training("troubled"),
        healthy=start_training("healthy"),
        short=start_training("short"),
        patient=start_training("patient", experiment="patience", held=None),
    )
    trainings = list(vars(cast).values())
    for training in trainings:
        training.wait_until_up()
    site.wait_for_scrape_of(*trainings)
    return cast


@pytest.fixture(scope="module")
def addresses(cast: Cast) -> Addresses:
    """Where they answer, which Prometheus calls `instance`."""
    return {name: training.address for name, training in vars(cast).items()}


@pytest.fixture(scope="module")
def events(site: Site, cast: Cast) -> dict[str, Event]:
    """What went wrong, one after another, each told before the next."""
    troubled, found = cast.troubled, dict[str, Event]()

    def happens(key: str, threshold: str, *values: str, began: float) -> None:
        eventually(lambda: site.slack(title(key)), what=f"the message of {key}")
        LOG.info("%s was told after %.1f s", key, time.time() - began)  # pytest --log-cli-level=INFO
        found[key] = Event(values, threshold, began)

    began = time.time()
    norm = troubled.tell("explode")
    happens("gradient_explosion", "10", f"{norm:.4g}", began=began)

    began = time.time()
    troubled.tell("set_fidelity", 0.7)
    happens("fidelity_drop", "0.05", "0.15", "0.3", began=began)  # the median is half-way down for one step
    troubled.tell("set_fidelity", 1.0)
    eventually(lambda: not site.alertmanager.states('run="troubled"'), what="the end of what silences the rest")

    began = time.time()
    troubled.tell("wait_in_queue", 400)
    happens("queue_time_limit", "5m 0s", "6m 40s", began=began)

    began = time.time()
    troubled.tell("pay", 5.0)
    happens("cost_spike", "2", "10", began=began)

    began = time.time()
    troubled.tell("set_backend", False)
    happens("backend_down", "available", "not available", began=began)
    troubled.tell("set_backend", True)
    return found


@pytest.fixture(scope="module")
def endings(site: Site, cast: Cast, addresses: Addresses, events: dict[str, Event]) -> None:
    """The troubled training has been killed, and the short one has left."""
    assert set(events) == set(TROUBLES)
    here = f'instance="{addresses["troubled"]}"'
    eventually(lambda: not site.alertmanager.states(here), what="the end of every trouble")
    cast.troubled.kill()
    cast.short.leave()


# One thing after another


@pytest.mark.parametrize("key", TROUBLES)
def test_a_trouble_is_told_to_those_whom_its_severity_concerns(site: Site, events: dict[str, Event], key: str) -> None:
    assert key in events
    mailed = is_mailed(key)
    eventually(lambda: site.mails(title(key)) or not mailed, what="the e-mail")
    assert (len(site.slack(title(key))), len(site.mails(title(key)))) == (1, int(mailed))


@pytest.mark.parametrize("key", TROUBLES)
def test_slack_is_told_what_happened_where_since_when_and_where_to_go(
    site: Site, events: dict[str, Event], addresses: Addresses, key: str
) -> None:
    event, rule = events[key], BY_KEY[key]
    [attachment] = site.slack(title(key))
    fields = {field["title"]: field["value"] for field in attachment["fields"]}
    links = {action["text"]: action["url"] for action in attachment["actions"]}
    own = {"backend": BACKEND} if rule.scope == "backend" else {"experiment": "h2", "run": "troubled"}
    shown = {"Backend": BACKEND} if rule.scope == "backend" else {"Experiment": "h2", "Run": "troubled"}

    assert shown.items() <= fields.items()
    assert fields["Value against threshold"] in {f"{value} against {event.threshold}" for value in event.values}
    since = datetime.strptime(fields["Since"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=timezone.utc).timestamp()
    assert event.began - 1 < since < event.began + 60
    assert addresses["troubled"] in attachment["footer"]
    assert links["Runbook"] == f"{assets.RUNBOOK_URL}/{key}.md"
    dashboard = urlsplit(links["Dashboard"])
    assert (dashboard.netloc, dashboard.path) == ("localhost:3000", f"/d/{rule.dashboard}")
    chosen = {**own, "instance": addresses["troubled"]}
    assert parse_qs(dashboard.query) == {f"var-{name}": [value] for name, value in chosen.items()}
    matchers = {**own, "alert": key, "alertname": rule.prometheus_name}
    assert sorted(silence_matchers(links["Silence"])) == sorted(f'{name}="{v}"' for name, v in matchers.items())


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("key", [key for key in TROUBLES if is_mailed(key)])
def test_the_e_mail_says_the_same(site: Site, key: str) -> None:
    eventually(lambda: site.mails(title(key)), what="the e-mail")
    [mail], [attachment] = site.mails(title(key)), site.slack(title(key))
    measured = next(field["value"] for field in attachment["fields"] if field["title"] == "Value against threshold")
    since = next(field["value"] for field in attachment["fields"] if field["title"] == "Since")
    plain, rich = part(mail, "plain"), part(mail, "html")
    assert mail["Subject"] == title(key)
    assert measured in plain
    assert f"since {since}" in plain
    assert measured.split(" against ")[0] in rich
    hrefs = {text: html.unescape(address) for address, text in re.findall(r'href="([^"]+)"[^>]*>(\w+)<', rich)}
    for action in attachment["actions"]:
        assert action["url"] in plain
        if action["text"] != "Silence":  # spaces are written otherwise
            assert hrefs[action["text"]] == action["url"]


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("key", TROUBLES)
def test_that_it_is_over_is_told_once(site: Site, key: str) -> None:
    over, mailed = title(key, "RESOLVED"), is_mailed(key)
    eventually(lambda: site.slack(over) and (site.mails(over) or not mailed), what=over)
    assert (len(site.slack(over)), len(site.mails(over))) == (1, int(mailed))
    assert site.slack(over)[0]["color"] == "#2e7d32"


# Ends


@pytest.mark.usefixtures("endings")
def test_a_killed_process_is_told_as_a_run_that_vanished(site: Site, addresses: Addresses) -> None:
    told = "[FIRING:1 critical] QuantumRunVanished: h2 / troubled"
    eventually(lambda: site.slack(told) and site.mails(told), what="that the run vanished")
    assert addresses["troubled"] in site.slack(told)[0]["text"]
    assert not site.slack("QuantumExporterDown")


@pytest.mark.usefixtures("endings")
def test_a_process_that_ended_in_order_has_not_vanished(site: Site, addresses: Addresses) -> None:
    eventually(lambda: addresses["short"] not in site.prometheus.targets(), what="the end of its target")
    eventually(lambda: site.slack("QuantumRunVanished"), what="that the run vanished which was killed at that time")
    alarms = 'alertname=~"QuantumRunVanished|QuantumExporterDown"'
    fired = f'last_over_time(ALERTS{{{alarms}, alertstate="firing"}}[10m])'
    assert {series["metric"]["instance"] for series in site.prometheus.series(fired)} == {addresses["troubled"]}
    # A scrape in the last moments of the process may have seen that the run completed; that is told, and nothing else.
    assert site.slack(addresses["short"]) == site.slack(addresses["short"], "QuantumRunFinished")


# Servers that are down for a while


EXPLOSION = "[FIRING:1 critical] QuantumGradientExplosion: patience / patient"
NO_LOSS = "[FIRING:1 critical] QuantumLossNotFinite: patience / patient"


@pytest.fixture(scope="module")
def alertmanager_was_down(site: Site, cast: Cast, endings: None) -> None:
    """A gradient exploded while Alertmanager was down, for one step."""
    failed = "sum(prometheus_notifications_errors_total)"
    site.alertmanager.stop()
    cast.patient.tell("explode")
    eventually(lambda: ("QuantumGradientExplosion", "firing") in site.alerts('{run="patient"}'), what="the alert")
    eventually(lambda: float(site.prometheus.series(failed)[0]["value"][1]) > 0, what="a message to nobody")
    site.alertmanager.start()
    eventually(lambda: site.slack(EXPLOSION) and site.mails(EXPLOSION), what=EXPLOSION)


@pytest.fixture(scope="module")
def both_were_down(site: Site, cast: Cast, addresses: Addresses, alertmanager_was_down: None) -> None:
    """While alerts fire, Alertmanager starts anew, and Prometheus misses a step without a loss."""
    site.alertmanager.stop()
    site.alertmanager.start()
    here = f'instance="{addresses["troubled"]}"'
    eventually(lambda: "QuantumRunVanished troubled" in site.alertmanager.states(here), what="what it knew before")
    site.prometheus.stop()
    cast.patient.tell("lose_the_loss")
    site.prometheus.start()
    eventually(lambda: site.slack(NO_LOSS) and site.mails(NO_LOSS), what=NO_LOSS)


@pytest.mark.usefixtures("alertmanager_was_down")
def test_what_fires_while_alertmanager_is_down_is_told_once_when_it_is_back(site: Site) -> None:
    assert (len(site.slack(EXPLOSION)), len(site.mails(EXPLOSION))) == (1, 1)


@pytest.mark.usefixtures("both_were_down")
def test_one_step_while_prometheus_is_down_is_told_once_when_it_is_back(site: Site) -> None:
    assert (len(site.slack(NO_LOSS)), len(site.mails(NO_LOSS))) == (1, 1)


@pytest.mark.usefixtures("both_were_down")
def test_what_fires_before_and_after_a_restart_is_not_told_again(site: Site, addresses: Addresses) -> None:
    firing = f'{{run="troubled", instance="{addresses["troubled"]}"}}'
    eventually(lambda: ("QuantumRunVanished", "firing") in site.alerts(firing), what="what fired before")
    heard = len(site.web.received("/watchdog"))  # which Alertmanager sends every second; a group waits for two
    eventually(lambda: len(site.web.received("/watchdog")) > heard + 4, what="the watchdog")
    assert len(site.slack("QuantumRunVanished")) == len(site.mails("QuantumRunVanished")) == 1
    assert len(site.slack(EXPLOSION)) == len(site.mails(EXPLOSION)) == 1


# Of everything that was told


@pytest.mark.usefixtures("both_were_down")
def test_nothing_was_told_twice(site: Site) -> None:
    heads = [attachment["title"] for attachment in site.slack()]
    subjects = [str(mail["Subject"]) for mail in site.mails()]
    for told in (heads, subjects):
        of_one = Counter(each for each in told if re.match(r"\[\w+:1 ", each))
        assert set(of_one.values()) == {1}, of_one


@pytest.mark.usefixtures("both_were_down")
def test_nothing_was_told_of_the_healthy_training_and_nothing_of_an_exporter(site: Site, addresses: Addresses) -> None:
    told = [str(attachment) for attachment in site.slack()]
    told += [part(mail, kind) for mail in site.mails() for kind in ("plain", "html")]
    for word in ("healthy", addresses["healthy"], "QuantumExporterDown", "Watchdog"):
        named = [each for each in told if word in each]
        assert not named, word


@pytest.mark.usefixtures("both_were_down")
def test_slack_takes_every_message_and_nothing_went_wrong_on_the_way(site: Site, cast: Cast) -> None:
    for request in site.web.received("/slack"):
        check_slack(request.json)
    assert "error" not in site.alertmanager.log.lower(), site.alertmanager.log
    assert site.prometheus.series("increase(prometheus_rule_evaluation_failures_total[10m]) > 0") == []
    assert [training.errors for training in vars(cast).values()] == [""] * 4
