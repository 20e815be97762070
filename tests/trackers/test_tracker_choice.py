"""Which trackers a run goes to: what was asked for, what is there, and no secret where somebody might read it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.config import ConfigurationError, load_settings
from quantum_monitor.faults import FAULTS
from quantum_monitor.trackers import choice
from quantum_monitor.trackers.finding import make, names
from quantum_monitor.trackers.protocol import UnusableError
from tests.trackers.plugin_tracker import Received

NewMonitor = Callable[..., QuantumMonitor]


class Absent:
    """An import finder for which MLflow and W&B are not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        if name in {"mlflow", "wandb"}:
            raise ModuleNotFoundError(name)
        return None


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    for name in ("mlflow", "wandb"):  # another test of this process may have imported them
        monkeypatch.delitem(sys.modules, name, raising=False)


def chosen(**arguments: Any) -> dict[str, dict[str, Any]]:
    return choice.chosen(load_settings(arguments, environ={}))


def mistakes(trackers: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load_settings({"trackers": trackers})
    return str(raised.value)


# Configuration


@pytest.mark.usefixtures("plugin")
def test_an_unknown_tracker_is_refused_with_the_nearest_name() -> None:
    assert "trackers.flie: no package brings this tracker; did you mean file?" in mistakes({"flie": {}}).replace(
        "'", ""
    )
    assert names() == ["mlflow", "wandb", "broken", "file", "other"]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_our_own_trackers_have_settings_of_their_own(name: str) -> None:
    assert f"set enable_{name} and" in mistakes({name: {}})


@pytest.mark.parametrize("options", [{"x": object}, {"x": {1}}, {"x": b"1"}, [1], "x", 3], ids=str)
@pytest.mark.usefixtures("plugin")
def test_options_that_another_process_could_not_be_told_are_refused(options: Any) -> None:
    assert "trackers.file: its options" in mistakes({"file": options})


@pytest.mark.usefixtures("plugin")
def test_options_that_hold_themselves_are_refused() -> None:
    options: dict[str, Any] = {}
    options["x"] = options
    assert "Circular" in mistakes({"file": options})


@pytest.mark.parametrize("value", ["file", 3, ["file"]])
def test_trackers_are_a_mapping(value: Any) -> None:
    assert "give {name: {option: value}}" in mistakes(value)


@pytest.mark.usefixtures("plugin")
def test_options_may_be_left_out() -> None:
    assert chosen(enable_mlflow=False, trackers={"file": None, "other": {"a": 1}}) == {"file": {}, "other": {"a": 1}}


@pytest.mark.usefixtures("plugin")
def test_what_cannot_be_loaded_says_what_it_is() -> None:
    with pytest.raises(UnusableError, match=r"'broken' \(plugin_tracker:nothing_of_that_name\) cannot be loaded"):
        make("broken", {})
    with pytest.raises(UnusableError, match="there is no tracker 'x' here; there are mlflow, wandb, broken, file"):
        make("x", {})


# What is asked for, what is there


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "quantum_monitor")
    return caplog


def levels(log: pytest.LogCaptureFixture) -> list[tuple[str, bool]]:
    return [(record.levelname, "pip install 'quantum-monitor[" in record.getMessage()) for record in log.records]


@pytest.mark.usefixtures("absent")
def test_mlflow_that_is_on_by_default_and_not_installed_is_one_line_of_information(
    log: pytest.LogCaptureFixture,
) -> None:
    assert chosen() == {}
    assert levels(log) == [("INFO", True)]


@pytest.mark.usefixtures("absent")
@pytest.mark.parametrize(
    "asked", [{"enable_mlflow": True}, {"tracking_uri": "http://h:1"}, {"enable_mlflow": False, "enable_wandb": True}]
)
def test_a_tracker_that_was_asked_for_and_is_not_installed_is_a_warning(
    log: pytest.LogCaptureFixture, asked: dict[str, Any]
) -> None:
    assert chosen(**asked) == {}
    assert levels(log) == [("WARNING", True)]


@pytest.mark.usefixtures("absent")
def test_what_was_switched_off_is_no_line_at_all(log: pytest.LogCaptureFixture) -> None:
    assert chosen(enable_mlflow=False) == {}
    assert not log.records


def test_a_folder_of_that_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()  # as W&B itself leaves in the working folder
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    assert chosen(enable_mlflow=False, enable_wandb=True) == {}


def test_mlflow_goes_where_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen()["mlflow"]["tracking_uri"].startswith("sqlite:////")  # MLflow's own choice, for any folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://env:1")
    assert chosen()["mlflow"]["tracking_uri"] == "http://env:1"
    assert chosen(tracking_uri="http://given:1")["mlflow"]["tracking_uri"] == "http://given:1"


def test_wandb_gets_its_settings() -> None:
    options = {"wandb_project": "p", "wandb_entity": "e", "wandb_group": "g", "wandb_mode": "offline"}
    expected = {"project": "p", "entity": "e", "group": "g", "mode": "offline", "base_url": "https://api.wandb.ai"}
    assert chosen(enable_mlflow=False, enable_wandb=True, **options) == {"wandb": expected}
    with pytest.raises(ConfigurationError, match="wandb_mode: 'on' is not known; give one of online, offline"):
        load_settings({"wandb_mode": "on"})


# Secrets


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:s3cret@h:5000/a?token=s3cret#s3cret", "http://h:5000/a"),
        ("https://s3cret@h", "https://h"),
        ("http://me:s3/cret@h", ""),
        ("http://me:s3#cret@h", ""),
        ("http://[s3cret", ""),
        ("postgresql://me:s3cret@h/db", "postgresql://h/db"),
        ("sqlite:////tmp/runs.db", "sqlite:////tmp/runs.db"),
        ("sqlite:///runs.db", "sqlite:///runs.db"),
        ("./mlruns", "./mlruns"),
        ("databricks", "databricks"),
    ],
)
def test_an_address_is_kept_without_what_is_secret_in_it(uri: str, shown: str) -> None:
    assert choice.without_secrets({"mlflow": {"tracking_uri": uri}}) == {"mlflow": {"tracking_uri": shown}}


def test_no_secret_is_written_logged_or_shown(
    new_monitor: NewMonitor, plugin: Received, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    uri = "http://me:s3cret@127.0.0.1:9/x"
    monitor = new_monitor(
        enable_mlflow=True,
        tracking_uri=uri,
        trackers={"file": {"path": str(plugin.path), "token": "s3cret"}},
        delivery_timeout=20,
        delivery_grace=0,
    )
    with monitor.start_run():
        monitor.log_metrics({"a": 1.0})
    shown = [repr(monitor), repr(monitor._settings), json.dumps(monitor.get_comprehensive_summary(), default=str)]
    shown += [record.getMessage() for record in log.records]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != plugin.path]
    shown += [path.read_text(errors="replace") for path in files]
    assert {"run.json", "records.db"} <= {path.name for path in files}
    assert any(path.parent.name == "trackers" for path in files)
    assert not [text for text in shown if "s3cret" in text]
    (run,) = (tmp_path / "runs").rglob("run.json")
    tracking = json.loads(run.read_text())["tracking"]
    assert tracking == {"mlflow": {"tracking_uri": "http://127.0.0.1:9/x"}, "file": {}}


@pytest.fixture(autouse=True)
def courier(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A delivery process of the test's own, which ends with it."""
    from quantum_monitor.trackers import courier as module

    own = module.Courier()
    monkeypatch.setattr(module, "COURIER", own)
    yield
    own._shipments.clear()
    process = own._process
    if process is not None:
        process.kill()


# A run that is active in the process


FLUENT = """
import json, sys
import mlflow
from quantum_monitor.config import load_settings
from quantum_monitor.trackers.choice import chosen
def options(**given):
    return chosen(load_settings(given, environ={}))["mlflow"]
mlflow.set_tracking_uri("sqlite:///theirs.db")
said = [options()]
with mlflow.start_run() as run:
    said += [options(), options(mlflow_nested=True), options(tracking_uri="http://elsewhere:1")]
    said += [options(tracking_uri="sqlite:///theirs.db"), run.info.run_id]
said.append(options())
print(json.dumps(said))
"""


def test_the_run_that_a_person_has_active_is_gone_on_with() -> None:
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-c", FLUENT]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    *said, run_id, after = json.loads(result.stdout.splitlines()[-1])
    before, attached, nested, elsewhere, same = said
    theirs = {"tracking_uri": f"sqlite:///{Path.cwd()}/theirs.db"}
    assert before == after == theirs
    assert attached == same == {**theirs, "attach_to": run_id}
    assert nested == {**theirs, "parent_run_id": run_id}
    assert elsewhere == {"tracking_uri": "http://elsewhere:1"}


def test_somebody_elses_mlflow_that_raises_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fluent:
        @staticmethod
        def active_run() -> None:
            raise RuntimeError("in the middle of something")

    monkeypatch.setitem(sys.modules, "mlflow.tracking.fluent", Fluent)
    before = FAULTS.errors["mlflow"]
    assert set(chosen()["mlflow"]) == {"tracking_uri"}
    assert FAULTS.errors["mlflow"] == before + 1
