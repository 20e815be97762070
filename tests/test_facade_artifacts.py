"""log_model, log_circuit and log_artifact of a monitor: harmless whatever they are handed, and found everywhere."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.models import read_model
from quantum_monitor.prometheus.exposition import expose
from quantum_monitor.store import artifacts
from quantum_monitor.store.artifact_writer import Written
from quantum_monitor.store.layout import safe_name
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers.wandb_names import path_name
from tests.trackers.mlflow_server import select
from tests.trackers.wandb_files import written

NewMonitor = Callable[..., QuantumMonitor]

# Whatever they are handed


class Hostile:
    """An object whose every method raises."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("not this")

    __str__ = __repr__ = __len__ = __iter__ = __getitem__ = __fspath__ = __array__ = __float__ = __eq__ = _refuse
    __hash__ = __bool__ = __index__ = __contains__ = _refuse

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Endless:
    """An iterable without an end, whose items are itself."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self


class Text(str):
    """A text whose own methods raise."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("no length")


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)

ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**400,
    float("nan"),
    float("inf"),
    1j,
    "",
    "a\0b",
    "../../etc/passwd",
    ".",
    "\ud800",
    "x" * 100_000,
    b"\xff\xfe",
    Endless(),
    CIRCLE,
    object(),
    len,
    {},
    {"gates": None},
    {"gates": [{"type": "h", "qubit": -1}]},
    {"gates": [{"type": object(), "qubits": [0, "1", None]}]},
    {"gates": [{"type": "rz", "qubit": 0, "params": [float("nan")]}], "n_qubits": 10**9},
    {"a": CIRCLE},
    "OPENQASM 3.0; qubit[99999999999] q; h q;",
    "OPENQASM 2.0; nonsense",
    np.array([{}], dtype=object),
    np.zeros((0, 3)),
    np.ma.masked_array([1.0, 2.0], [True, False]),
    np.datetime64("now"),
    np.array(["text"]),
    np.float32(1),
    memoryview(b"abc"),
    lambda: None,
    RuntimeError("an error"),
    Path(),
    Path("/proc/self/mem"),
    3,
]
FOREIGN: list[Any] = [
    Text("text"),
    Hostile(),
    Hostile,
    [Hostile()],
    {Hostile: Hostile()},
    {"a": Hostile()},
    {"gates": [{"type": Hostile(), "qubits": Hostile()}]},
]
NO_PATH = st.text(st.characters(exclude_characters="/."), max_size=5)  # no folder above is copied
odd = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NO_PATH | st.binary(max_size=5).map(repr),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NO_PATH, inner, max_size=3),
    max_leaves=5,
)


def counted() -> int:
    """How many of the calls have been refused, or their artifacts dropped."""
    where = ("log_model", "log_circuit", "log_artifact", "artifacts")
    dropped = sum(count for (sink, _), count in FAULTS.drops.items() if sink == "artifacts")
    return dropped + sum(FAULTS.errors[name] for name in where)


@pytest.fixture
def monitor(new_monitor: NewMonitor, caplog: pytest.LogCaptureFixture) -> QuantumMonitor:
    caplog.set_level("CRITICAL", "quantum_monitor")  # a log with lone surrogates is more than pytest-xdist can carry
    return new_monitor().start_run("a")


def kept(monitor: QuantumMonitor) -> list[artifacts.Artifact]:
    """The artifacts of the active run, once all are written."""
    assert monitor._run is not None
    assert monitor._run.artifact_store().flush(30)
    return artifacts.read(monitor._run.store.directory)


@pytest.mark.parametrize("call", ["log_model", "log_circuit", "log_artifact"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=odd, second=odd, third=odd)
def test_whatever_it_is_handed_is_kept_or_counted_and_nothing_raises(
    monitor: QuantumMonitor, call: str, first: Any, second: Any, third: Any
) -> None:
    before = len(kept(monitor)) + counted()
    if call == "log_model":
        monitor.log_model(first, second, third, register_as=first)
    elif call == "log_circuit":
        monitor.log_circuit(first, second)
    else:
        monitor.log_artifact(first, second)
    assert len(kept(monitor)) + counted() == before + 1


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_each_odd_value_is_kept_or_counted(monitor: QuantumMonitor, value: Any) -> None:
    everything_with(monitor, value)


@pytest.mark.parametrize("value", FOREIGN, ids=lambda value: type(value).__name__)
def test_an_object_whose_own_methods_raise_is_kept_or_counted(
    monitor: QuantumMonitor, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    monkeypatch.delenv("QUANTUM_MONITOR_RAISE")  # what it raises cannot be told from errors of our own
    everything_with(monitor, value)


def everything_with(monitor: QuantumMonitor, value: Any) -> None:
    """Hand a value over in every place, and assert that each call was kept or counted."""
    before = counted()
    monitor.log_model(value, np.ones(2), {"x": value}, register_as=value)
    monitor.log_model("m", value)
    monitor.log_model("m", {"a": [value]})
    monitor.log_model("m", np.ones(2), value)
    monitor.log_circuit(value, "c")
    monitor.log_circuit({"gates": []}, value)
    monitor.log_artifact(value)
    monitor.log_artifact(__file__, value)
    assert len(kept(monitor)) + counted() - before == 8


def samples(monitor: QuantumMonitor) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    page = expose(monitor.registry)[1].decode()
    families = text_string_to_metric_families(page)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def test_what_is_refused_and_what_is_dropped_is_shown_to_prometheus(new_monitor: NewMonitor, tmp_path: Path) -> None:
    refused = ("quantum_monitor_errors_total", frozenset({("where", "log_model")}))
    lost = ("quantum_monitor_records_dropped_total", frozenset({("sink", "artifacts"), ("reason", "no_disk")}))
    (tmp_path / "file").touch()
    monitor = new_monitor(storage_path=tmp_path / "file" / "below").start_run("a")
    before = samples(monitor)
    monitor.log_model("m", {})
    monitor.log_model("m", np.ones(2))
    after = samples(monitor)
    assert after[refused] == before.get(refused, 0) + 1
    assert after[lost] == before.get(lost, 0) + 1


def test_a_call_without_a_run_begins_one_and_a_closed_monitor_refuses(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    monitor.log_model("m", np.ones(2))
    assert monitor.is_running
    monitor.close()
    assert monitor.run_path is not None
    assert [artifact.name for artifact in artifacts.read(monitor.run_path)] == ["m"]
    before = counted()
    monitor.log_model("m", np.ones(2))
    assert counted() == before + 1


# Its end, and forks


class Slow:
    """Content that is written when the test says so."""

    size = 0

    def __init__(self) -> None:
        self.gate = threading.Event()

    def write(self, folder: Path, version: int) -> Written:  # noqa: ARG002 - part of the protocol
        assert self.gate.wait(30)
        return Written("", {})

    def discard(self) -> None:
        """Nothing is held."""


def test_the_end_of_a_run_waits_for_its_artifacts_and_takes_no_more(monitor: QuantumMonitor) -> None:
    run, slow = monitor._run, Slow()
    assert run is not None
    store = run.artifact_store()
    assert store.put("file", "slow", slow)
    threading.Timer(0.2, slow.gate.set).start()
    monitor.end_run()
    assert [artifact.name for artifact in artifacts.read(run.store.directory)] == ["slow"]
    before = FAULTS.drops["artifacts", "closed"]
    assert not store.put("file", "late", Slow())
    assert FAULTS.drops["artifacts", "closed"] == before + 1


def test_what_is_logged_while_the_run_ends_starts_no_writer(monitor: QuantumMonitor) -> None:
    run = monitor._run
    assert run is not None
    monitor.end_run()
    before = FAULTS.drops["artifacts", "closed"]
    assert not run.artifact_store().put("file", "late", Slow())
    assert FAULTS.drops["artifacts", "closed"] == before + 1


def test_artifacts_that_take_longer_are_told_and_written_before_the_monitor_is_closed(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("quantum_monitor.monitor._FLUSH_TIMEOUT", 0.05)
    monitor, slow = new_monitor().start_run("a"), Slow()
    assert monitor._run is not None
    assert monitor._run.artifact_store().put("file", "slow", slow)
    assert monitor.run_path is not None
    monitor.end_run()
    assert "1 artifacts are still being written: they are lost if this process ends now" in caplog.text
    assert "quantum-monitor sync" in caplog.text
    assert artifacts.read(monitor.run_path) == []
    threading.Timer(0.5, slow.gate.set).start()
    monitor.close()
    assert "waiting until 1 artifacts are written" in caplog.text
    assert [artifact.name for artifact in artifacts.read(monitor.run_path)] == ["slow"]


LEAVES = """
import signal, sys, threading, time
import quantum_monitor.monitor
from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.artifact_writer import Written

class Content:
    size = 0
    def write(self, folder, version):
        with (folder / "data").open("wb", buffering=0) as file:
            for part in range(int(sys.argv[1])):
                file.write(bytes(100))
                time.sleep(0.02)
            if sys.argv[2] == "stuck":
                threading.Event().wait()
        return Written("", {})
    def discard(self): pass

quantum_monitor.monitor._FLUSH_TIMEOUT = 0.1
monitor = QuantumMonitor("h2", storage_path="runs", metrics_port=None, enable_mlflow=False)
with monitor.start_run("a"):
    for name in "ab":
        monitor._run.artifact_store().put("file", name, Content())
print(monitor.run_path, flush=True)
if sys.argv[2] == "stuck":
    try:
        monitor.close()
    except KeyboardInterrupt:
        print(FAULTS.drops["artifacts", "closed"])
"""


def test_a_process_that_ends_waits_for_what_is_being_written() -> None:
    result = subprocess.run(
        [sys.executable, "-c", LEAVES, "30", "ends"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "2 artifacts are still being written" in result.stderr
    found = artifacts.read(result.stdout.strip())
    assert [artifact.name for artifact in found] == ["a", "b"]
    assert [(artifact.path / "data").stat().st_size for artifact in found] == [3_000, 3_000]


def test_an_interrupt_gives_up_what_is_being_written_and_leaves_nothing_half_done() -> None:
    command = [sys.executable, "-c", LEAVES, "1", "stuck"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        run = Path(process.stdout.readline().strip())
        while "waiting until 2 artifacts" not in process.stderr.readline():
            assert process.poll() is None
        assert len(list((run / "artifacts").glob(".*.tmp"))) == 1
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output == "2\n"
    assert list((run / "artifacts").iterdir()) == []


FORKS = """
import os, sys
from pathlib import Path
from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS

monitor = QuantumMonitor("h2", storage_path="runs", metrics_port=None, enable_mlflow=False).start_run("a")
begun = monitor.run_path / "artifacts" / ".begun.tmp"  # what the parent is writing right then
begun.mkdir(parents=True)
Path("figure.png").touch()
child = os.fork()
if not child:
    monitor.log_artifact("figure.png")
    monitor.log_model("m", [1.0])
    print(FAULTS.drops["artifacts", "forked"], monitor._run.artifacts.backlog, flush=True)
    sys.exit(0)
os.waitpid(child, 0)
print(begun.exists(), (monitor.run_path / "artifacts.jsonl").exists())
monitor.log_artifact("figure.png")
monitor.close()
print(len((monitor.run_path / "artifacts.jsonl").read_text().splitlines()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")
def test_a_forked_child_has_no_part_in_the_artifacts_of_the_run() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.splitlines() == ["2 0", "True False", "1"]


def test_how_many_artifacts_wait_is_shown_once_a_run_has_some(new_monitor: NewMonitor) -> None:
    monitor, slow = new_monitor().start_run("a"), Slow()
    waiting = ("quantum_monitor_sink_backlog", frozenset({("sink", "artifacts")}))
    assert waiting not in samples(monitor)
    assert monitor._run is not None
    assert monitor._run.artifact_store().put("file", "slow", slow)
    assert samples(monitor)[waiting] == 1
    slow.gate.set()
    assert len(kept(monitor)) == 1
    assert samples(monitor)[waiting] == 0


def test_every_reason_for_which_artifacts_are_lost_is_shown_from_the_start(new_monitor: NewMonitor) -> None:
    shown = {dict(labels)["reason"] for (_, labels) in samples(new_monitor()) if ("sink", "artifacts") in labels}
    assert {"queue_full", "no_disk", "failed", "closed", "forked"} <= shown


def test_packages_that_are_imported_in_the_middle_are_noted_at_the_end(new_monitor: NewMonitor) -> None:
    present = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "scipy"}
    try:
        monitor = new_monitor().start_run("a")
        assert monitor.run_path is not None
        assert "scipy" not in StoredRun(monitor.run_path).info["environment"]["packages"]
        sys.modules["scipy"] = present.get("scipy") or types.ModuleType("scipy")
        monitor.end_run()
    finally:
        sys.modules.update(present)
    environment = StoredRun(monitor.run_path).info["environment"]
    assert "scipy" in environment["packages"]
    assert "python" in environment


# Where it is found again

CANARY = "c4n4ry"
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
TRAINING = """
import json, sys
from pathlib import Path
import numpy as np
from quantum_monitor import QuantumMonitor
from quantum_monitor.prometheus.exposition import expose

monitor = QuantumMonitor(
    "h2", storage_path="runs", metrics_port=None, enable_mlflow=True, tracking_uri="sqlite:///mlflow.db",
    enable_wandb=True, wandb_mode="offline", delivery_timeout=60, notifiers={"slack": {"webhook_url_file": "webhook"}},
)
with monitor.start_run("bond"):
    monitor.log_params({"molecule": "H2", "qubits": 2, "seed": 7})
    monitor.set_tags({"paper": "told to all"})
    for step in range(5):
        monitor.log_training_step(1.0 / (step + 1), np.ones(3), np.ones(3), step)
    for version in (1.0, 2.0):
        parameters = {"layers": [np.full((2, 2), version)], "bias": np.float32(0.5)}
        monitor.log_model("my ansatz", parameters, {"energy": -version}, register_as="h2-ansatz")
    gates = [{"type": "h", "qubit": 0}, {"type": "cx", "qubits": [0, 1]}]
    monitor.log_circuit({"gates": gates}, "bell")
    Path("loss.png").write_bytes(bytes.fromhex(sys.argv[2]))
    Path("data").mkdir()
    Path("data/table.csv").write_text("1,2")
    monitor.log_artifact("loss.png")
    monitor.log_artifact("data", name="my data")
    Path("loss.png").unlink()
    page = expose(monitor.registry)[1].decode()
print(json.dumps({"run": str(monitor.run_path), "page": page, "status": monitor.tracking_status()["trackers"]}))
"""


class Project(NamedTuple):
    """A folder with a checkout, in which a training has run.

    Attributes:
        folder: the folder.
        run: the run's directory.
        page: what ``/metrics`` showed.
        commit: what git says.
        printed: what the training wrote to its terminal.
    """

    folder: Path
    run: Path
    page: str
    commit: str
    printed: str


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A training that logged artifacts, with secrets wherever it may have some."""
    folder = tmp_path_factory.mktemp("project")
    home = folder / "home"
    home.mkdir()
    (folder / "train.py").write_text(TRAINING)
    (folder / "webhook").write_text(f"https://hooks.slack.com/services/T0/B0/{CANARY}")
    variables = {
        "HOME": str(home),
        "PROJECT_TOKEN": CANARY,
        "WANDB_API_KEY": CANARY.ljust(40, "0"),
        "MLFLOW_TRACKING_TOKEN": CANARY,
        "MLFLOW_TRACKING_PASSWORD": CANARY,
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "PYTHONHASHSEED": "0",
        "HOSTNAME": CANARY,
        "RANK": CANARY,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": CANARY for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    environment = {name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"} | variables

    def said(*command: str) -> str:
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        errors.append(result.stderr)
        return result.stdout.strip()

    errors: list[str] = []
    said("git", "init", "--quiet", "--initial-branch", "main")
    said("git", "remote", "add", "origin", f"https://me:{CANARY}@example.org/x.git")
    said("git", "add", "train.py")
    said("git", "commit", "--quiet", "-m", CANARY)
    output = said(sys.executable, "train.py", f"--token={CANARY}", PICTURE.hex())
    told = json.loads(output)
    delivered = {name: (one["condition"], one["dropped"]) for name, one in told["status"].items()}
    assert delivered == {"mlflow": ("delivered", 0), "wandb": ("delivered", 0)}, errors
    run = folder / told["run"]
    return Project(folder, run, told["page"], said("git", "rev-parse", "HEAD"), output + "".join(errors))


def place_in_mlflow(project: Project) -> Path:
    """The folder with the artifacts of the run."""
    ((uri,),) = select(project.folder / "mlflow.db", "select artifact_uri from runs")
    return Path(str(uri).removeprefix("file://"))


def found_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def tags(project: Project) -> Mapping[str, str]:
    return dict(select(project.folder / "mlflow.db", "select key, value from tags"))


def test_everything_is_listed_and_in_the_runs_directory_after_the_end(project: Project) -> None:
    listed = [(one.kind, one.name, one.path.relative_to(project.run).as_posix()) for one in artifacts.read(project.run)]
    ansatz = safe_name("my ansatz")
    assert listed == [
        ("model", "my ansatz", f"artifacts/models/{ansatz}/1"),
        ("model", "my ansatz", f"artifacts/models/{ansatz}/2"),
        ("circuit", "bell", "artifacts/circuits/bell/1"),
        ("figure", "loss.png", "artifacts/figures/loss.png/1/loss.png"),
        ("file", "my data", f"artifacts/files/{safe_name('my data')}/1"),
    ]
    assert [read_model(project.run / path)[1]["metadata"] for _, _, path in listed[:2]] == [
        {"energy": -1.0},
        {"energy": -2.0},
    ]


def test_everything_is_in_mlflow_at_its_place_with_its_content(project: Project) -> None:
    place = place_in_mlflow(project)
    ansatz, data = safe_name("my ansatz"), safe_name("my data")
    assert found_below(place) == sorted(
        [
            f"models/{ansatz}/metadata.json",
            f"models/{ansatz}/parameters.npz",
            f"models/{ansatz}~2/metadata.json",
            f"models/{ansatz}~2/parameters.npz",
            *(f"circuits/bell/circuit.{ending}" for ending in ("json", "qasm", "svg", "txt")),
            "figures/loss.png",
            f"files/{data}/table.csv",
            "reports/report.html",
            "quantum_monitor/summary.json",
        ]
    )
    assert (place / "figures/loss.png").read_bytes() == PICTURE
    assert (place / "circuits/bell/circuit.qasm").read_text().startswith("OPENQASM 3")
    for version, folder in ((1, ansatz), (2, f"{ansatz}~2")):
        parameters, metadata = read_model(place / "models" / folder)
        assert parameters["layers/0"].tolist() == [[version, version], [version, version]]
        assert parameters["bias"].dtype == np.float32
        assert (metadata["version"], metadata["metadata"]) == (version, {"energy": -float(version)})
        assert metadata["run_id"] == project.run.name


def test_a_registered_model_has_a_version_for_each_that_points_to_its_files(project: Project) -> None:
    query = "select name, version, storage_location from model_versions order by version"
    versions = select(project.folder / "mlflow.db", query)
    assert [(name, version) for name, version, _ in versions] == [("h2-ansatz", 1), ("h2-ansatz", 2)]
    for _, version, location in versions:
        assert read_model(str(location).removeprefix("file://"))[1]["version"] == version


def test_everything_is_in_wandb_with_its_versions(project: Project) -> None:
    run = written(project.run)
    ansatz = path_name("my ansatz")
    logged = [(one.type, one.name) for one in run.artifacts]
    assert logged.count(("model", ansatz)) == 2
    assert {("circuit", "circuit-bell"), ("figure", "figure-loss.png"), ("file", path_name("file-my data"))} <= {
        *logged
    }
    assert any("report/path" in row for row in run.rows)
    assert any("circuits/bell/path" in row for row in run.rows)


def test_the_report_lists_them(project: Project) -> None:
    report = (project.run / "trackers/report.html").read_text()
    for name in ("my ansatz", "bell", "loss.png", "my data", "h2-ansatz"):
        assert name in report
    assert (place_in_mlflow(project) / "reports/report.html").read_text() == report


def test_commit_and_environment_are_told_everywhere(project: Project) -> None:
    info = StoredRun(project.run).info
    assert info["environment"]["git"] == {"commit": project.commit, "branch": "main"}
    assert info["environment"]["script"] == "train.py"
    assert info["environment"]["packages"]["numpy"] == np.__version__
    assert info["environment"]["seeds"] == {"PYTHONHASHSEED": "0"}
    assert f'git_commit="{project.commit[:12]}"' in project.page
    told = tags(project)
    assert told["quantum.git_commit"] == told["mlflow.source.git.commit"] == project.commit
    assert (told["quantum.seed"], told["quantum.molecule"], told["quantum.qubits"]) == ("7", "H2", "2")
    assert f"numpy {np.__version__}" in told["quantum.packages"]
    report = (project.run / "trackers/report.html").read_text()
    assert project.commit in report
    assert np.__version__ in report
    config = written(project.run).config
    assert config["environment"]["git"]["commit"] == project.commit
    assert config["quantum"]["git_commit"] == project.commit


def test_no_secret_is_told_anywhere(project: Project) -> None:
    def telling(word: str) -> set[str]:
        files = [path for path in project.folder.rglob("*") if path.is_file() and ".git" not in path.parts]
        return {path.name for path in files if word.encode() in path.read_bytes()} - {"webhook", "train.py"}

    assert {"run.json", "mlflow.db", "report.html"} <= telling("told to all")
    assert any(name.endswith(".wandb") for name in telling("told to all"))
    assert telling(CANARY) == set()
    assert CANARY not in project.page + project.printed
