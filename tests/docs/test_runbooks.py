"""The runbooks: a page for every alert, of one shape, whose facts, queries, code and links are right."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import promql_parser
import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.alerts.rules import (
    ALERTS,
    BY_KEY,
    PROMETHEUS_ALERTS,
    AlertRule,
    PrometheusAlert,
    read_alert_config,
)
from quantum_monitor.prometheus import catalog
from quantum_monitor.store.layout import find_runs
from tests.e2e.prometheus_process import running, watching
from tests.server_process import eventually

FOLDER = Path(__file__).parents[2] / "docs/runbooks"
INDEX = FOLDER / "README.md"
EVERY: list[AlertRule | PrometheusAlert] = [*ALERTS, *PROMETHEUS_ALERTS]
VOCABULARY = {rule.key: rule for rule in EVERY}
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
STORED_RUN = "quantum_monitoring/h2/0e96efc9a0b0493d5ae936d018eabf70"
"""The directory that the pages read from, as in docs/usage.md."""

SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
SERIES = {metric.name + suffix for metric in catalog.METRICS for suffix in SUFFIXES.get(metric.type, ("",))}
LABELS = {metric.name: {*metric.label_names, "job", "instance", "le"} for metric in catalog.METRICS}
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
KEYS = [pytest.param(key, id=key) for key in VOCABULARY]


@dataclass(frozen=True)
class Block:
    """A fenced block: the file that it stands in, its language, and its text without the indent."""

    path: Path
    language: str
    text: str


def pages() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path != INDEX)


def blocks(*languages: str) -> Iterator[Block]:
    for path in sorted(FOLDER.glob("*.md")):
        for indent, language, text in BLOCK.findall(path.read_text(encoding="utf-8")):
            if language in languages:
                yield Block(path, language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))


def as_parameters(found: Iterator[Block]) -> list[object]:
    return [pytest.param(block, id=f"{block.path.stem}-{number}") for number, block in enumerate(found)]


def prose(path: Path) -> str:
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def log_much(monitor: QuantumMonitor) -> None:
    """Log a run in which everything happens that the pages look for."""
    target = np.array([1.0, 0.0, 0.0, 1.0]) / np.sqrt(2)
    circuit = {"depth": 3, "gates": 4, "two_qubit_gates": 1, "n_qubits": 2}
    for step in (*range(20), *range(22, 30)):  # two steps are missing
        loss = np.nan if step == 25 else 1.0 / (step + 1)
        monitor.log_training_step(loss, np.full(9, loss), np.ones(9), step)
        angle = np.pi / 4 if step < 20 else 0.1
        monitor.log_quantum_state(np.array([np.cos(angle), 0, 0, np.sin(angle)]), step, target)
        status = "failed" if step == 12 else "success"
        for backend in ("ibm_fez", "simulator"):
            monitor.log_circuit_execution(
                circuit, 1.0, queue_time=5.0 * step, cost=0.5, backend_info=backend, shots=100, status=status
            )
            rates = {"1q": 0.001, "2q": 0.01 + 0.001 * step, "readout": 0.02}
            monitor.log_backend_status(
                backend,
                up=step % 7 > 0,
                pending_jobs=step,
                error_rates=rates,
                t1=[1e-4],
                t2=[8e-5],
                calibration_time=1.0,
            )
        monitor.log_metrics({"hardware_temp": 0.015 + 0.001 * step}, step)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def series_of(expression: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def note(node: object) -> bool:
        selector = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(selector, promql_parser.VectorSelector):
            found.append(selector)
        return True

    promql_parser.walk(expression, pre_visit=note)
    return found


# Pages


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {path.name for path in pages()} == {f"{key}.md" for key in VOCABULARY}


@pytest.mark.parametrize("key", KEYS)
def test_the_title_is_the_name_in_prometheus_with_the_key(key: str) -> None:
    first = (FOLDER / f"{key}.md").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# {VOCABULARY[key].prometheus_name} (`{key}`)"


@pytest.mark.parametrize("key", KEYS)
def test_a_page_has_the_four_headings_in_order_and_no_other(key: str) -> None:
    assert re.findall(r"^#{2,} (.+)$", prose(FOLDER / f"{key}.md"), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("key", KEYS)
def test_no_chapter_is_empty(key: str) -> None:
    chapters = re.split(r"^## .+$", prose(FOLDER / f"{key}.md"), flags=re.MULTILINE)[1:]
    assert [len(chapter.split()) > 10 for chapter in chapters] == [True] * len(HEADINGS)


@pytest.mark.parametrize("key", KEYS)
def test_the_facts_under_the_title_are_those_of_the_vocabulary(key: str) -> None:
    facts = (FOLDER / f"{key}.md").read_text(encoding="utf-8").splitlines()[2]
    assert facts == facts_of(VOCABULARY[key])


def facts_of(rule: AlertRule | PrometheusAlert) -> str:
    severity = f"Severity {rule.severity.label}"
    if isinstance(rule, PrometheusAlert):
        when = f"after {rule.hold_seconds:g} s" if rule.hold_seconds else "at once"
        return f"{severity} · scope {rule.scope} · judged by Prometheus, {when} · dashboard `{rule.dashboard}`"
    side = "below" if rule.below else "above"
    fires = "off by default" if rule.default is None else f"fires {side} {rule.default:g}"
    python = f"(`{rule.severity.word}` in Python)"
    return f"{severity} {python} · scope {rule.scope} · {fires} · dashboard `{rule.dashboard}`"


@pytest.mark.parametrize("key", [rule.key for rule in ALERTS])
def test_a_page_of_an_alert_with_a_threshold_says_how_to_change_it(key: str) -> None:
    text = (FOLDER / f"{key}.md").read_text(encoding="utf-8")
    assert f'alert_config={{"{key}": ' in text
    assert f'monitor.alert_system.set_threshold("{key}", ' in text


# The index


def test_the_index_names_every_alert_once_under_its_scope_with_its_severity() -> None:
    rows = []
    for chapter in re.split(r"^## ", INDEX.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        scope = chapter.splitlines()[0].lower()
        for key, target, severity in re.findall(r"^\| \[`(\w+)`\]\((\S+)\) \| (\w+) \|", chapter, re.MULTILINE):
            rows.append((key, target, severity, scope))
    expected = [(rule.key, f"{rule.key}.md", rule.severity.label, rule.scope) for rule in VOCABULARY.values()]
    assert sorted(rows) == sorted(expected)


# Links


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob("*.md"))])
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.findall(prose(path)):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


# PromQL


@pytest.mark.parametrize("key", KEYS)
def test_a_page_has_queries_to_paste(key: str) -> None:
    assert any(block.path.stem == key for block in blocks("promql"))


@pytest.mark.parametrize("block", as_parameters(blocks("promql")))
def test_every_query_parses_and_names_known_metrics_and_labels(block: Block) -> None:
    for query in block.text.strip().split("\n\n"):
        selectors = series_of(promql_parser.parse(query))
        assert selectors, query
        for selector in selectors:
            name = selector.name or ""
            if name in {"up", "ALERTS"} or name.startswith("scrape_"):
                continue
            assert name in SERIES, query
            family = name if name in LABELS else re.sub(r"_(bucket|count|sum)$", "", name)
            # Series of alerts have the labels of what they belong to on top of their own.
            known = LABELS[family] | ({"experiment", "run", "backend"} if name.startswith("quantum_alert") else set())
            assert {matcher.name for matcher in selector.matchers.matchers} <= known, query


@pytest.mark.parametrize("block", as_parameters(blocks("promql")))
def test_an_alert_that_a_query_names_exists(block: Block) -> None:
    named = set(re.findall(r'alert="(\w+)"', block.text)) - {"hardware_temp"}  # the example of an alert of one's own
    assert named <= BY_KEY.keys()
    alerts = {rule.prometheus_name for rule in VOCABULARY.values()}
    assert set(re.findall(r'alertname="(\w+)"', block.text)) <= alerts


def test_every_query_is_answered_where_two_processes_have_the_same_run(
    server_binary: Callable[[str], Path], new_monitor: Callable[..., QuantumMonitor], tmp_path: Path
) -> None:
    targets = tmp_path / "targets"
    targets.mkdir()
    for number in range(2):
        monitor = new_monitor(
            metrics_port=0,
            discovery_dir=targets,
            storage_path=tmp_path / str(number),
            alert_config={"cost_budget": 50.0},
        )
        monitor.start_run("bond-0.74")
        log_much(monitor)
    scraping = watching(targets, job="quantum-monitor")
    with running(server_binary("prometheus"), tmp_path / "server", [scraping]) as prometheus:
        seen = 'count(quantum_alert_value{alert="cost_budget"}) == 2'
        eventually(lambda: prometheus.ask("query", query=seen)["result"], what="the second process")
        for block in blocks("promql"):
            for query in block.text.strip().split("\n\n"):
                prometheus.ask("query", query=query)  # fails where a match is ambiguous


# Python


@pytest.mark.parametrize("block", as_parameters(blocks("python")))
def test_all_python_compiles(block: Block) -> None:
    compile(block.text, str(block.path), "exec")


@pytest.mark.parametrize("block", as_parameters(block for block in blocks("python") if "alert_" in block.text))
def test_every_threshold_in_the_python_is_one_that_the_monitor_takes(block: Block) -> None:
    configs = []
    for call in [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)]:
        configs += [ast.literal_eval(word.value) for word in call.keywords if word.arg == "alert_config"]
        if isinstance(call.func, ast.Attribute) and call.func.attr == "set_threshold":
            key, threshold = map(ast.literal_eval, call.args)
            configs.append({key: threshold})
    assert [problems for _, problems in map(read_alert_config, configs) if problems] == []


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stored run in which everything happened, at the place that the pages read from."""
    folder = tmp_path_factory.mktemp("runbooks")
    monitor = QuantumMonitor("h2", storage_path=str(folder / "recorded"), metrics_port=None, enable_mlflow=False)
    with monitor.start_run("bond-0.74"):
        log_much(monitor)
        monitor.start_realtime_monitoring(0.05)
    monitor.close()
    (stored,) = find_runs(folder / "recorded")
    (folder / STORED_RUN).parent.mkdir(parents=True)
    stored.rename(folder / STORED_RUN)
    return folder


@pytest.mark.parametrize("block", as_parameters(block for block in blocks("python") if "StoredRun(" in block.text))
def test_what_reads_a_stored_run_works_on_one_and_prints_something(
    block: Block, storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f'StoredRun("{STORED_RUN}")' in block.text
    monkeypatch.chdir(storage)
    exec(compile(block.text, str(block.path), "exec"), {})  # noqa: S102 - our own pages
    # The machine is sampled in the background, and a run as short as this may have no sample.
    assert capsys.readouterr().out.strip() or block.path.stem in {"cpu_high", "memory_high"}
