"""MLflow and W&B as the training itself uses them: gone on with where that is wanted, and never disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.store.layout import find_runs
from tests.trackers.mlflow_server import select
from tests.trackers.wandb_files import files, records, written

SETUP = """
import json, os, sys
import numpy as np
from quantum_monitor import QuantumMonitor

def new_monitor(**options):
    fixed = {"storage_path": "runs", "metrics_port": None, "enable_mlflow": True, "delivery_timeout": 60}
    return QuantumMonitor("h2", **{**fixed, **options})

def train(monitor):
    for step in range(20):
        monitor.log_training_step(1.0 / (step + 1), np.ones(3), np.ones(3), step)

def delivered(monitor):
    return {name: one["condition"] for name, one in monitor.tracking_status()["trackers"].items()}
"""

# A person who logs by hand, has autologging on, and a W&B run open, all at the same time.
OF_THEIR_OWN = """
import mlflow, wandb
from mlflow.tracking import fluent
from sklearn.linear_model import LinearRegression

mlflow.set_tracking_uri("sqlite:///theirs.db")
mlflow.set_experiment("theirs")
mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
their_wandb = wandb.init(project="theirs", mode="offline", dir="theirs", settings=wandb.Settings(silent=True))

def state():
    variables = {name: text for name, text in os.environ.items() if name.startswith(("MLFLOW_", "WANDB_"))}
    active = mlflow.active_run()
    return [mlflow.get_tracking_uri(), mlflow.get_registry_uri(), fluent._get_experiment_id(),
            active and active.info.run_id, mlflow.get_run(active.info.run_id).info.status if active else None,
            wandb.run is their_wandb, variables]

their_run = mlflow.start_run(run_name="theirs")
said = [state()]
mlflow.log_metric("by_hand", 1.0, step=0)
mlflow.log_param("learning_rate", 0.5)
their_wandb.log({"by_hand": 1.0})
monitor = new_monitor(enable_wandb=True, wandb_mode="offline")
with monitor.start_run("ours"):
    said.append(state())
    monitor.log_params({"learning_rate": 0.1, "qubits": 2})
    train(monitor)
    mlflow.log_metric("by_hand", 2.0, step=1)
    LinearRegression().fit(np.arange(8.0).reshape(4, 2), np.arange(4.0))
    their_wandb.log({"by_hand": 2.0})
said.append(state())
arrived = delivered(monitor)
mlflow.log_metric("by_hand", 3.0, step=2)
their_wandb.log({"by_hand": 3.0})

below = new_monitor(mlflow_nested=True)
with below.start_run("below"):
    train(below)
said.append(state())
mlflow.end_run("FAILED")
their_wandb.finish()

apart = new_monitor()
with apart.start_run("apart"):
    train(apart)
print(json.dumps([said, arrived, delivered(below), delivered(apart)]))
"""


def said_by(script: str, folder: Path, **variables: str) -> Any:
    """The last line that a training prints."""
    environment = {name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"}
    result = subprocess.run(
        [sys.executable, "-c", SETUP + script],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the person worked."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "theirs").mkdir()
    (folder / "said.json").write_text(json.dumps(said_by(OF_THEIR_OWN, folder)))
    return folder


def said(folder: Path) -> Any:
    return json.loads((folder / "said.json").read_text())


def run_of(folder: Path, name: str) -> tuple[str, str]:
    """Id and status of a run in MLflow."""
    ((run_id, status),) = select(folder / "theirs.db", "select run_uuid, status from runs where name = ?", name)
    return run_id, status


def metrics_of(folder: Path, name: str) -> Mapping[str, int]:
    """How many values each metric of a run has."""
    query = "select key, count(*) from metrics where run_uuid = ? group by key"
    return dict(select(folder / "theirs.db", query, run_of(folder, name)[0]))


def tags_of(folder: Path, name: str) -> Mapping[str, str]:
    return dict(select(folder / "theirs.db", "select key, value from tags where run_uuid = ?", run_of(folder, name)[0]))


def test_our_records_are_in_the_run_that_the_person_has_active(folder: Path) -> None:
    assert said(folder)[1] == {"mlflow": "delivered", "wandb": "delivered"}
    assert select(folder / "theirs.db", "select name from runs order by start_time, name") == [
        ("theirs",),
        ("below",),
        ("apart",),
    ]
    assert metrics_of(folder, "theirs")["loss"] == 20
    assert tags_of(folder, "theirs")["quantum.attached"] == "true"
    assert tags_of(folder, "theirs")["mlflow.runName"] == "theirs"


def test_the_active_run_stays_active_and_ends_as_the_person_ends_it(folder: Path) -> None:
    statuses = [state[4] for state in said(folder)[0]]
    assert statuses == ["RUNNING"] * 4
    assert run_of(folder, "theirs")[1] == "FAILED"
    assert tags_of(folder, "theirs")["quantum.status"] == "completed"


def test_what_the_person_logs_by_hand_and_by_autologging_goes_on(folder: Path) -> None:
    metrics = metrics_of(folder, "theirs")
    assert metrics["by_hand"] == 3
    assert metrics["training_mean_squared_error"] == 1


def test_a_parameter_that_the_person_has_logged_stays_as_it_is(folder: Path) -> None:
    query = "select key, value from params where run_uuid = ? and key in ('learning_rate', 'qubits')"
    params = dict(select(folder / "theirs.db", query, run_of(folder, "theirs")[0]))
    assert params == {"learning_rate": "0.5", "qubits": "2"}
    assert tags_of(folder, "theirs")["quantum.param.learning_rate"] == "0.1"


def test_nothing_that_the_person_has_set_changes(folder: Path) -> None:
    first, *later = said(folder)[0]
    assert first[0] == "sqlite:///theirs.db"
    assert first[5] is True
    assert later == [first] * 3


def test_a_nested_run_is_below_theirs_with_a_status_of_its_own(folder: Path) -> None:
    assert said(folder)[2] == {"mlflow": "delivered"}
    assert tags_of(folder, "below")["mlflow.parentRunId"] == run_of(folder, "theirs")[0]
    assert run_of(folder, "below")[1] == "FINISHED"
    assert metrics_of(folder, "below")["loss"] == 20


def test_a_run_after_theirs_has_ended_is_one_of_its_own(folder: Path) -> None:
    assert said(folder)[3] == {"mlflow": "delivered"}
    assert "mlflow.parentRunId" not in tags_of(folder, "apart")
    assert run_of(folder, "apart")[1] == "FINISHED"
    assert metrics_of(folder, "apart")["loss"] == 20


def test_the_persons_own_wandb_run_holds_their_rows_and_ours_holds_ours(folder: Path) -> None:
    theirs = [
        {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        for file in files(folder / "theirs")
        for record in records(file)
        if record.WhichOneof("record_type") == "history"
    ]
    assert [float(row["by_hand"]) for row in theirs] == [1, 2, 3]
    assert not any("loss" in row for row in theirs)
    ours = [run for directory in find_runs(folder / "runs") if (run := written(directory)).rows]
    assert [len([row for row in run.rows if "loss" in row]) for run in ours] == [20]
    assert not any("by_hand" in row for run in ours for row in run.rows)


SEVERAL = """
import mlflow
mlflow.set_tracking_uri("sqlite:///theirs.db")
mlflow.set_experiment("theirs")
monitor = new_monitor()
ids = []
with mlflow.start_run() as theirs:
    for bond in (0.7, 0.8):
        with monitor.start_run(f"bond-{bond}"):
            monitor.log_model("ansatz", np.full(3, bond), register_as="h2-ansatz")
            train(monitor)
            ids.append(monitor.run_path.name)
client = mlflow.MlflowClient()
models = [client.download_artifacts(theirs.info.run_id, f"{folder}models/ansatz/parameters.npz")
          for folder in ("", f"{ids[1][:8]}/")]
bonds = [float(next(iter(np.load(path).values()))[0]) for path in models]
versions = client.search_model_versions("name = 'h2-ansatz'")
print(json.dumps([ids, bonds, sorted(version.tags["quantum.artifact"] for version in versions)]))
"""


def test_runs_in_one_run_of_theirs_have_their_models_each(tmp_path: Path) -> None:
    ids, bonds, versions = said_by(SEVERAL, tmp_path)
    assert bonds == [0.7, 0.8]
    assert versions == sorted(f"{run_id}/1" for run_id in ids)


EVERYTHING = """
monitor = new_monitor(enable_wandb=True, wandb_mode="offline", tracking_uri="sqlite:///ours.db",
                      delivery_timeout=0, delivery_grace=0)
with monitor.start_run("a"):
    train(monitor)
    monitor.log_params({"qubits": 2})
    monitor.set_tags({"paper": "figure 3"})
    monitor.log_model("ansatz", np.ones(3), register_as="ansatz")
    monitor.log_circuit({"gates": [{"type": "h", "qubit": 0}]}, "bell")
    open("notes.txt", "w").close()
    monitor.log_artifact("notes.txt")
    monitor.export_metrics("all.json", "comprehensive")
    summary = monitor.get_comprehensive_summary()
print(json.dumps([sorted(summary["tracking_status"]["trackers"]), sorted(sys.modules)]))
"""


def test_neither_mlflow_nor_wandb_is_imported_by_us(tmp_path: Path) -> None:
    trackers, modules = said_by(EVERYTHING, tmp_path)
    assert trackers == ["mlflow", "wandb"]
    assert not [name for name in modules if name.partition(".")[0] in {"mlflow", "wandb", "sqlalchemy", "pandas"}]
