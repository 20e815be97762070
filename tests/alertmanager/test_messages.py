"""What people are told: Slack messages and e-mails, rendered from fixtures by the shipped templates."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alertmanager.alertmanager_process import SHIPPED, silence_matchers
from tests.alertmanager.receivers import check_slack

FOLDER = Path(__file__).parent
FIXTURES = sorted(path.stem for path in (FOLDER / "fixtures").glob("*.json"))
Data = dict[str, Any]
Render = Callable[..., str]


def fixture(name: str) -> Data:
    data: Data = json.loads((FOLDER / f"fixtures/{name}.json").read_text(encoding="utf-8"))
    return data


def many(number: int, *, of: str = "one_firing") -> Data:
    """A fixture's alert, for so many runs."""
    data = fixture(of)
    alerts = [copy.deepcopy(data["alerts"][0]) for _ in range(number)]
    for index, alert in enumerate(alerts):
        alert["labels"]["run"] = f"run-{index:03}"
    del data["commonLabels"]["run"]
    return {**data, "alerts": alerts, "commonAnnotations": {}}


@pytest.fixture(scope="session")
def render(server_binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Renders a template text for the data of a message."""
    program, data_file = server_binary("amtool"), tmp_path_factory.mktemp("render") / "data.json"

    def run(text: str, data: Data, *, kind: str = "text") -> str:
        data_file.write_text(json.dumps(data))
        done = subprocess.run(
            [program, "template", "render", f"--template.glob={SHIPPED / 'templates/*.tmpl'}",
             f"--template.data={data_file}", f"--template.type={kind}", f"--template.text={text}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    return run


def configured(receiver: str, medium: str) -> Data:
    config = yaml.safe_load((SHIPPED / "alertmanager.yml").read_text(encoding="utf-8"))
    found: Data = next(each for each in config["receivers"] if each["name"] == receiver)[medium][0]
    return found


def slack(render: Render, data: Data) -> Data:
    """The Slack payload as Alertmanager puts it together, of what the configuration says."""
    said = configured("critical", "slack_configs")
    shown = [each for each in strings(said) if "{{" in each]
    separator = "\n=====\n"
    texts = render(separator.join(shown), data).split(separator)
    rendered: Data = replaced(said, dict(zip(shown, texts, strict=True)))
    short = rendered.pop("short_fields")
    del rendered["send_resolved"]
    for field in rendered["fields"]:
        field["short"] = short
    return {"username": rendered.pop("username"), "attachments": [rendered]}


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from strings(child)


def replaced(node: Any, texts: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: replaced(value, texts) for key, value in node.items()}
    if isinstance(node, list):
        return [replaced(value, texts) for value in node]
    return texts.get(node, node) if isinstance(node, str) else node


def subject(render: Render, data: Data) -> str:
    return render(configured("critical", "email_configs")["headers"]["Subject"], data)


def plain(render: Render, data: Data) -> str:
    return render(configured("critical", "email_configs")["text"], data)


def html(render: Render, data: Data) -> str:
    return render(configured("critical", "email_configs")["html"], data, kind="html")


class Page(HTMLParser):
    """What a mail program reads from HTML: the tags, the links by their text, the text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: dict[str, str] = {}
        self.text = ""
        self._href: str | None = None
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "a":
            self._href = dict(attrs)["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._href = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._href is not None:
            self.links[data] = self.links.get(data, self._href)


# Golden files


@pytest.mark.parametrize("name", FIXTURES)
def test_the_messages_are_those_of_the_golden_files(name: str, render: Render) -> None:
    data = fixture(name)
    made = {
        "slack.json": json.dumps(slack(render, data), indent=2, ensure_ascii=False) + "\n",
        "mail.txt": f"Subject: {subject(render, data)}\n\n{plain(render, data)}",
    }
    for ending, text in made.items():
        golden = FOLDER / f"golden/{name}.{ending}"
        if os.environ.get("UPDATE_GOLDEN") == "1":
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8"), (
            "if that is meant: UPDATE_GOLDEN=1 make test ARGS='-k golden'"
        )


# Slack


@pytest.mark.parametrize("name", FIXTURES)
def test_slack_takes_every_message(name: str, render: Render) -> None:
    payload = slack(render, fixture(name))
    check_slack(payload)
    fields = payload["attachments"][0]["fields"]
    assert all(field["title"] and field["value"] for field in fields), "a field without text looks broken"


def test_one_alert_says_what_where_how_bad_and_since_when(render: Render) -> None:
    (attachment,) = slack(render, fixture("one_firing"))["attachments"]
    assert attachment["title"] == "[FIRING:1 critical] QuantumGradientExplosion: h2 / bond-0.74"
    assert {field["title"]: field["value"] for field in attachment["fields"]} == {
        "Experiment": "h2",
        "Run": "bond-0.74",
        "Value against threshold": "1.53k against 10",
        "Since": "2026-03-01 09:14:05 UTC",
    }
    assert [action["text"] for action in attachment["actions"]] == ["Dashboard", "Runbook", "Silence"]
    assert attachment["footer"] == "quantum-monitor, 127.0.0.1:9888"


@pytest.mark.parametrize(
    ("severity", "color"), [("critical", "#b3261e"), ("warning", "#b35c00"), ("info", "#1a5fb4"), (None, "#1a5fb4")]
)
def test_the_colour_is_that_of_the_severity(severity: str | None, color: str, render: Render) -> None:
    data = fixture("one_firing")
    data["commonLabels"] = {"alertname": "A"} | ({"severity": severity} if severity else {})
    assert render('{{ template "quantum.color" . }}', data) == color


def test_what_is_over_is_green_and_says_from_when_to_when(render: Render) -> None:
    (attachment,) = slack(render, fixture("one_resolved"))["attachments"]
    assert attachment["color"] == "#2e7d32"
    assert attachment["title"].startswith("[RESOLVED:1 critical]")
    assert attachment["fields"][-1]["title"] == "Was"
    assert attachment["fields"][-1]["value"] == "2026-03-01 09:14:05 to 2026-03-01 09:16:20 UTC"


def test_a_message_with_old_and_new_alerts_keeps_them_apart(render: Render) -> None:
    (attachment,) = slack(render, fixture("firing_and_resolved"))["attachments"]
    firing, over = attachment["text"].split("Over:\n")
    assert re.findall(r"bond-0\.\d+", firing) == ["bond-0.74", "bond-0.80"]
    assert re.findall(r"bond-0\.\d+", over) == ["bond-0.90"]
    assert attachment["fields"][-1]["value"] == "2026-03-01 09:13:50 UTC"  # the first of those that still fire


@pytest.mark.parametrize("of", ["one_firing", "one_resolved"])
def test_a_hundred_alerts_are_ten_lines_and_a_number(of: str, render: Render) -> None:
    data = many(100, of=of)
    payload = slack(render, data)
    check_slack(payload)
    text = payload["attachments"][0]["text"]
    assert len(text.splitlines()) == 11
    assert text.splitlines()[-1] == "and 90 more"
    assert ":100 " in payload["attachments"][0]["title"]
    assert ":100 " in subject(render, data)
    assert "- and" not in plain(render, data)
    for mail in (plain(render, data), Page(html(render, data)).text):
        assert len(set(re.findall(r"run-\d+", mail))) == 10
        assert "90 more" in mail


# Links


def test_the_dashboard_of_several_runs_is_that_of_their_experiment(render: Render) -> None:
    link = '{{ template "quantum.dashboard_url" . }}'
    base = "http://localhost:3000/d"
    assert render(link, fixture("one_firing")) == f"{base}/quantum-training?var-experiment=h2&var-run=bond-0.74"
    assert render(link, many(2)) == f"{base}/quantum-training?var-experiment=h2"
    assert render(link, fixture("backend_down")) == f"{base}/quantum-circuits"


def test_an_alert_without_links_leads_to_alertmanager(render: Render) -> None:
    (attachment,) = slack(render, fixture("bare_custom_alert"))["attachments"]
    assert {action["url"] for action in attachment["actions"][:2]} == {"http://localhost:9093"}
    assert Page(html(render, fixture("bare_custom_alert"))).links["Runbook"] == "http://localhost:9093"


@pytest.mark.parametrize("name", FIXTURES)
def test_the_silence_is_that_of_what_the_alerts_have_in_common(name: str, render: Render) -> None:
    data = fixture(name)
    labels = data["commonLabels"]
    scope = ("experiment", "run", "backend") if {"experiment", "backend"} & set(labels) else ("instance", "job")
    expected = {
        f"{key}={json.dumps(labels[key], ensure_ascii=False)}" for key in (*scope, "alertname") if key in labels
    }
    found = silence_matchers(render('{{ template "quantum.silence_url" . }}', data))
    assert {each for each in found if not each.startswith("alert=")} == expected
    assert silence_matchers(Page(html(render, data)).links["Silence"]) == found


# Names that nobody checked


def test_a_hostile_name_is_text_in_html(render: Render) -> None:
    page = Page(html(render, fixture("hostile_names")))
    assert not page.tags & {"script", "img", "iframe", "svg"}
    assert "<script>alert(1)</script>" in page.text
    assert "{{ .ExternalURL }}" in page.text
    assert "\u202e" not in page.text
    assert all(urllib.parse.urlsplit(link).scheme == "http" for link in page.links.values() if "github" not in link)


@pytest.mark.parametrize("url", ["javascript:alert(1)", 'http://x/" onclick="alert(1)'])
def test_an_address_in_html_can_only_be_an_address(url: str, render: Render) -> None:
    data = fixture("one_firing")
    data["alerts"][0]["annotations"]["dashboard_url"] = url
    made = html(render, data)
    assert "javascript:" not in made
    assert "onclick=" not in re.sub(r'href="[^"]*"', "", made)


def test_a_hostile_name_is_text_in_slack(render: Render) -> None:
    payload = slack(render, fixture("hostile_names"))
    (attachment,) = payload["attachments"]
    assert "<!channel>" not in json.dumps(payload)
    assert "&lt;!channel&gt;" in attachment["title"]
    assert "{{ .ExternalURL }}" in attachment["text"]
    assert not configured("critical", "slack_configs").get("link_names", False), (
        "or @here in a name would tell everybody"
    )


def test_a_hostile_name_adds_no_line_to_a_mail(render: Render) -> None:
    data = fixture("hostile_names")
    assert "\n" not in subject(render, data)
    assert len(subject(render, data)) < 250
    assert not re.search(r"^Bcc", plain(render, data), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("\n a \u2028\t b\0", "a b"),
        ("", ""),
        ("é" * 128, "é" * 79 + "…"),
    ],
)
def test_a_name_is_one_line_of_eighty_characters(name: str, shown: str, render: Render) -> None:
    data = fixture("one_firing")
    data["commonLabels"]["run"] = name
    assert render('[{{ template "quantum.line" .CommonLabels.run }}]', data) == f"[{shown}]"


def test_an_entity_is_never_cut_in_half(render: Render) -> None:
    data = fixture("one_firing")
    for labels in (data["commonLabels"], data["alerts"][0]["labels"]):
        labels["run"] = "&" * 128
    data["alerts"][0]["annotations"]["summary"] = "&" * 2_000
    check_slack(slack(render, data))
