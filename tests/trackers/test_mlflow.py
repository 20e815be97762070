"""Runs in a real MLflow: on a server, and on a database file without one."""

from __future__ import annotations

import json
import math
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from quantum_monitor.faults import FAULTS
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.trackers.mlflow import tracker
from quantum_monitor.trackers.protocol import Batch, RejectedError, Row, TrackedRun, Tracker, UnusableError
from tests.trackers.mlflow_server import MlflowServer, select

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's use of SQLAlchemy

STARTED = 1_700_000_000.25
LARGEST = 1.7976931348623157e308


class Place(NamedTuple):
    """Somewhere runs can go."""

    uri: str
    database: Path

    def select(self, query: str, *values: Any) -> list[Any]:
        return select(self.database, query, *values)

    def tracker(self, **options: Any) -> Tracker:
        return tracker({"tracking_uri": self.uri, **options})

    @property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(self.uri)


@pytest.fixture(scope="module", autouse=True)
def _impatient_and_discreet() -> Iterator[None]:
    """What the delivery process sets; and a server that hangs hangs for a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")
        yield


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(scope="module")
def server(process: MlflowServer) -> Place:
    return Place(process.uri, process.database)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Place:
    database = tmp_path_factory.mktemp("a folder") / "mlflow.db"
    return Place(f"sqlite:///{database}", database)


@pytest.fixture(params=["server", "file"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def a_run(**given: Any) -> TrackedRun:
    facts: dict[str, Any] = {"run_id": secrets.token_hex(16), "name": "vqe", "experiment": "h2", "started": STARTED}
    return TrackedRun(**{**facts, "directory": None, "info": {}, **given})


def rows(*values: dict[str, float], after: int = 0) -> list[Row]:
    return [Row(after + n, STARTED + n / 10, after + n, "training", v, {}) for n, v in enumerate(values, 1)]


def an_artifact(number: int, kind: str, path: Path, **given: Any) -> Artifact:
    return Artifact(number, kind, given.pop("name", path.stem), path, STARTED, {}, given.pop("register_as", None))


def opened(place: Place, run: TrackedRun, **options: Any) -> tuple[Tracker, str]:
    one = place.tracker(**options)
    return one, one.open(run, {}).known["run_id"]


def metrics(place: Place, run_id: str) -> list[Any]:
    return place.select("SELECT key, value, step, timestamp FROM metrics WHERE run_uuid = ? ORDER BY step, key", run_id)


def files(place: Place, run_id: str, folder: str = "") -> list[str]:
    found: list[str] = []
    for entry in place.client.list_artifacts(run_id, folder or None):
        found += files(place, run_id, entry.path) if entry.is_dir else [entry.path]
    return sorted(found)


# What a person sees


def test_a_run_arrives_with_its_name_times_parameters_metrics_and_tags(place: Place) -> None:
    environment = {"script": "train.py", "git": {"commit": "c0ffee"}, "user": "ada"}
    one, run_id = opened(place, a_run(experiment="H₂ / «sto-3g»", name="näme", info={"environment": environment}))

    one.deliver(
        Batch(rows({"loss": 0.5, "fidelity": 0.9}), {"lr": 0.1, "layers": [1, 2], "adapt": True}, {"molecule": "H2"})
    )
    one.close("completed", {"training_summary": {"best_loss": math.nan}}, ended=STARTED + 60)

    run = place.client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("näme", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_250, 1_700_000_060_250)
    assert place.client.get_experiment(run.info.experiment_id).name == "H₂ / «sto-3g»"
    assert run.data.params == {"lr": "0.1", "layers": "[1, 2]", "adapt": "True"}
    assert metrics(place, run_id) == [("fidelity", 0.9, 1, 1_700_000_000_350), ("loss", 0.5, 1, 1_700_000_000_350)]
    tags = {"molecule": "H2", "mlflow.source.name": "train.py", "mlflow.source.git.commit": "c0ffee"}
    assert tags.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.user"] == "ada"
    assert run.data.tags["quantum.status"] == "completed"
    assert files(place, run_id) == ["quantum_monitor/summary.json"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("completed", "FINISHED"),
        ("failed", "FAILED"),
        ("stopped", "KILLED"),
        ("killed", "KILLED"),
        ("running", "RUNNING"),
    ],
)
def test_a_run_ends_as_it_ended(server: Place, status: str, shown: str) -> None:
    one, run_id = opened(server, a_run())
    one.close(status, {}, ended=STARTED + 1)
    assert server.select("SELECT status FROM runs WHERE run_uuid = ?", run_id) == [(shown,)]


def test_the_address_of_a_run_is_one_that_the_server_shows(server: Place, file: Place) -> None:
    url = server.tracker().open(a_run(), {}).url
    assert url.startswith(f"{server.uri}/#/experiments/")
    assert requests.get(url, timeout=20).status_code == 200
    assert file.tracker().open(a_run(), {}).url == ""


def test_nothing_is_printed(server: Place, capfd: pytest.CaptureFixture[str]) -> None:
    one, _ = opened(server, a_run())
    one.deliver(Batch(rows({"loss": 1.0}), {"text": "x" * 10_000}, {"text": "x" * 10_000}))
    one.close("completed", {"a": 1}, ended=STARTED)
    assert capfd.readouterr() == ("", "")


def test_a_nested_run_is_found_below_its_parent(place: Place) -> None:
    _, parent = opened(place, a_run())
    _, child = opened(place, a_run(), parent_run_id=parent)
    experiment = place.client.get_run(parent).info.experiment_id
    found = place.client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'")
    assert [run.info.run_id for run in found] == [child]


def test_the_experiment_of_the_options_goes_before_that_of_the_run(server: Place) -> None:
    _, run_id = opened(server, a_run(experiment="h2"), experiment="theirs")
    assert server.client.get_experiment(server.client.get_run(run_id).info.experiment_id).name == "theirs"


def test_NaN_is_shown_as_NaN_and_infinity_as_the_largest_number_that_a_database_has(place: Place) -> None:
    one, run_id = opened(place, a_run())
    one.deliver(Batch(rows({"nan": math.nan, "up": math.inf, "down": -math.inf}), {}, {}))
    assert math.isnan(place.client.get_metric_history(run_id, "nan")[0].value)
    assert place.client.get_metric_history(run_id, "up")[0].value == LARGEST
    assert place.client.get_metric_history(run_id, "down")[0].value == -LARGEST


def test_a_parameter_that_changes_keeps_its_first_value_and_tells_the_latest_in_a_tag(place: Place) -> None:
    run = a_run()
    one, run_id = opened(place, run)
    one.deliver(Batch((), {"lr": 0.1, "seed": 7}, {}))
    one.deliver(Batch((), {"lr": 0.2}, {}))
    assert place.client.get_run(run_id).data.params == {"lr": "0.1", "seed": "7"}
    assert place.client.get_run(run_id).data.tags["quantum.param.lr"] == "0.2"

    again, _ = opened(place, run)
    again.deliver(Batch((), {"lr": 0.1, "seed": 7}, {}))
    tags = place.client.get_run(run_id).data.tags
    assert tags["quantum.param.lr"] == "0.1"
    assert "quantum.param.seed" not in tags


def test_what_is_too_long_is_cut_and_says_so(server: Place) -> None:
    run = a_run(name="n" * 1_000, experiment="e" * 1_000)
    one, run_id = opened(server, run)
    one.deliver(Batch((), {"qasm": "x" * 10_000}, {"qasm": "y" * 10_000}))
    one.deliver(Batch((), {"qasm": "x" * 10_001}, {}))
    found = server.client.get_run(run_id)
    assert len(found.data.params["qasm"]) == 6_000
    assert "cut from 10000 characters" in found.data.params["qasm"]
    assert "cut from 10000 characters" in found.data.tags["qasm"]
    assert "cut from 10001 characters" in found.data.tags["quantum.param.qasm"]
    assert "cut from 1000 characters" in found.info.run_name


def test_times_and_steps_out_of_range_are_brought_into_it(server: Place) -> None:
    one, run_id = opened(server, a_run())
    one.deliver(
        Batch([Row(1, -5.0, -3, "custom", {"a": 1.0}, {}), Row(2, 1e30, 10**30, "custom", {"a": 2.0}, {})], {}, {})
    )
    assert metrics(server, run_id) == [("a", 1.0, -3, 0), ("a", 2.0, 2**63 - 1, 2**63 - 1)]


# Nothing twice, nothing lost


def test_a_batch_that_comes_again_is_there_once(place: Place) -> None:
    run = a_run()
    values = [{"loss": 1 / n, "nan": math.nan, "inf": math.inf, "same": 1.0} for n in range(1, 701)]
    one, run_id = opened(place, run)
    one.deliver(Batch(rows(*values[:400]), {"lr": 0.1}, {"a": "b"}))
    for _ in range(2):
        again, found = opened(place, run)
        assert found == run_id
        again.deliver(Batch(rows(*values), {"lr": 0.1}, {"a": "b"}))
    assert place.select("SELECT COUNT(*) FROM metrics WHERE run_uuid = ?", run_id) == [(4 * 700,)]
    assert place.select("SELECT COUNT(*) FROM params WHERE run_uuid = ?", run_id) == [(1,)]


def test_a_run_whose_id_nobody_wrote_down_is_found_again(place: Place) -> None:
    run = a_run(experiment=f"lost {secrets.token_hex(4)}")
    first = place.tracker().open(run, {})
    second = place.tracker().open(run, {})
    assert (first.cursor, second.cursor) == (0, None)
    assert first.known == second.known
    count = "SELECT COUNT(*) FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = ?"
    assert place.select(count, run.experiment) == [(1,)]


def test_a_run_that_is_known_is_found_wherever_it_is_now(server: Place) -> None:
    run = a_run()
    known = server.tracker().open(run, {}).known
    assert server.tracker().open(run._replace(experiment="another"), known).known == known


def test_a_run_of_somebody_else_is_not_written_into_whatever_a_state_file_or_a_run_says(place: Place) -> None:
    colleagues = place.client.create_run(
        place.client.create_experiment(f"colleague {secrets.token_hex(4)}")
    ).info.run_id
    run = a_run()
    for options, known in (
        ({}, {"run_id": colleagues}),
        ({"attached_to": colleagues}, {}),
        ({"attached_to": "../x"}, {}),
    ):
        one = place.tracker(**options)
        run_id = one.open(run, known).known["run_id"]
        one.deliver(Batch(rows({"loss": 9e9}), {"lr": 1}, {}))
        one.close("completed", {}, ended=STARTED)
        assert place.client.get_run(run_id).data.tags["quantum.run_id"] == run.run_id
    found = place.client.get_run(colleagues)
    assert (found.info.status, found.data.metrics, found.data.params) == ("RUNNING", {}, {})
    assert not [name for name in found.data.tags if name.startswith("quantum.")]


def test_a_tag_of_the_persons_does_not_hide_the_run_from_its_next_delivery(server: Place) -> None:
    run = a_run()
    one = server.tracker()
    known = one.open(run, {}).known
    one.deliver(Batch([], {}, {"quantum.run_id": "mine"}))
    assert server.tracker().open(run, known).known == known


def test_a_run_that_MLflow_has_forgotten_is_created_anew_and_says_that_it_holds_nothing(file: Place) -> None:
    run = a_run()
    known = file.tracker().open(run, {}).known
    with sqlite3.connect(file.database) as connection:  # what `mlflow gc` does
        for table in ("tags", "runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_uuid = ?", tuple(known.values()))  # noqa: S608
    connection.close()
    anew = file.tracker().open(run, known)
    assert anew.known != known
    assert anew.cursor == 0


def test_a_run_that_was_closed_takes_more_and_is_closed_again(place: Place) -> None:
    run = a_run()
    one, run_id = opened(place, run)
    one.close("killed", {}, ended=STARTED + 5)
    again, _ = opened(place, run)
    again.deliver(Batch(rows({"loss": 1.0}), {}, {}))
    again.close("completed", {}, ended=STARTED + 9)
    info = place.client.get_run(run_id).info
    assert (info.status, info.end_time) == ("FINISHED", 1_700_000_009_250)
    assert len(metrics(place, run_id)) == 1


def test_many_at_once_make_one_experiment_and_a_run_each(server: Place) -> None:
    experiment = f"crowd {secrets.token_hex(4)}"
    everybody = threading.Barrier(6)
    found: list[str] = []

    def join() -> None:
        one = server.tracker()
        everybody.wait(20)
        found.append(one.open(a_run(experiment=experiment), {}).known["run_id"])

    threads = [threading.Thread(target=join) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 6
    assert server.select("SELECT COUNT(*) FROM experiments WHERE name = ?", experiment) == [(1,)]


def test_a_deleted_run_says_how_to_bring_it_back_and_loses_nothing(place: Place) -> None:
    run = a_run()
    one, run_id = opened(place, run)
    place.client.delete_run(run_id)
    with pytest.raises(Exception, match="must be in the 'active' state") as raised:
        one.deliver(Batch(rows({"loss": 1.0}), {}, {}))
    assert not isinstance(raised.value, RejectedError)
    with pytest.raises(Exception, match=f"mlflow runs restore --run-id {run_id}"):
        place.tracker().open(run, {})

    place.client.restore_run(run_id)
    again, _ = opened(place, run)
    again.deliver(Batch(rows({"loss": 1.0}), {}, {}))
    assert len(metrics(place, run_id)) == 1


def test_a_deleted_experiment_says_how_to_bring_it_back(server: Place) -> None:
    experiment = server.client.create_experiment(f"gone {secrets.token_hex(4)}")
    name = server.client.get_experiment(experiment).name
    server.client.delete_experiment(experiment)
    with pytest.raises(Exception, match=f"mlflow experiments restore --experiment-id {experiment}"):
        server.tracker().open(a_run(experiment=name), {})


# The user's own run


@pytest.fixture
def fluent(server: Place) -> Iterator[Any]:
    """MLflow's fluent API, in use by somebody else, and as it was afterwards."""
    import mlflow

    mlflow.set_tracking_uri(server.uri)
    yield mlflow
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)  # not a default of this folder, which the next test of this process would inherit


def test_a_run_of_the_users_is_used_and_left_as_it_is(server: Place, file: Place, fluent: Any) -> None:
    run = a_run()
    active = fluent.start_run(run_name="mine")
    fluent.log_param("lr", 0.1)
    one, run_id = opened(server, run, attach_to=active.info.run_id)
    assert run_id == active.info.run_id
    fluent.log_param("seed", 3)
    one.deliver(Batch(rows({"loss": 0.5}), {"lr": 0.2, "seed": 4, "layers": 5}, {"molecule": "H2"}))
    one.close("completed", {"a": 1}, ended=STARTED)
    found = server.client.get_run(run_id)
    assert (found.info.status, found.info.run_name, found.info.end_time) == ("RUNNING", "mine", None)
    assert found.data.params == {"lr": "0.1", "seed": "3", "layers": "5"}
    tags = {"molecule": "H2", "quantum.param.lr": "0.2", "quantum.param.seed": "4", "quantum.run_id": run.run_id}
    assert tags.items() <= found.data.tags.items()

    opened(file, a_run())  # somewhere else altogether
    assert fluent.active_run().info.run_id == run_id
    assert fluent.get_tracking_uri() == server.uri
    fluent.log_metric("mine", 1.0)
    assert {key for key, *_ in metrics(server, run_id)} == {"loss", "mine"}


def test_a_run_of_the_users_is_left_open_by_a_later_delivery_that_knows_nothing(server: Place, fluent: Any) -> None:
    run = a_run(experiment="Default")
    active = fluent.start_run(experiment_id="0")
    opened(server, run, attach_to=active.info.run_id)
    later, run_id = opened(server, run)
    assert run_id == active.info.run_id
    later.close("killed", {}, ended=STARTED)
    assert server.client.get_run(run_id).info.status == "RUNNING"


def test_runs_in_one_run_of_the_users_take_nothing_from_each_other(place: Place, model: Path, tmp_path: Path) -> None:
    users = place.client.create_run(place.client.create_experiment(f"mine {secrets.token_hex(4)}")).info.run_id
    name = f"h2-{secrets.token_hex(4)}"
    runs = [a_run(run_id=run_id) for run_id in ("abcdefgh1", "12345678a", "12345678b")]
    (tmp_path / "report.html").write_text("report")
    known: dict[str, Any] = {}
    for run in [*runs, *runs]:  # each is gone on with after the others
        # As the training has it, and then as `sync` does, with nothing but what the run tells.
        one = place.tracker(**{"attached_to" if run.run_id in known else "attach_to": users})
        known[run.run_id] = one.open(run, {}).known["run_id"]
        one.attach(an_artifact(1, "model", model, register_as=name))
        one.attach(an_artifact(0, "report", tmp_path / "report.html"))
        one.close("completed", {"run": run.run_id}, ended=STARTED)
    assert set(known.values()) == {users}
    kinds = (
        "models/vqe/metadata.json",
        "models/vqe/parameters.npz",
        "quantum_monitor/summary.json",
        "reports/report.html",
    )
    folders = ("", "12345678/", "12345678b/")
    assert files(place, users) == sorted(f"{folder}{kind}" for folder in folders for kind in kinds)
    for run, folder in zip(runs, folders, strict=True):
        summary = place.client.download_artifacts(users, f"{folder}quantum_monitor/summary.json", tmp_path)
        assert json.loads(Path(summary).read_text()) == {"run": run.run_id}
    versions = place.client.search_model_versions(f"name = '{name}'")
    assert {version.tags["quantum.artifact"] for version in versions} == {f"{run.run_id}/1" for run in runs}
    assert len({version.source for version in versions}) == len(versions) == 3


def test_a_run_of_ours_that_the_user_goes_on_with_keeps_its_places(file: Place, model: Path) -> None:
    first, second = a_run(), a_run()
    one, run_id = opened(file, first)
    one.attach(an_artifact(1, "model", model))
    later, _ = opened(file, second, attach_to=run_id)
    later.attach(an_artifact(1, "model", model))
    again = file.tracker()
    assert again.open(first, {"run_id": run_id}).known == {"run_id": run_id}
    again.attach(an_artifact(1, "model", model))
    tops = {path.partition("/")[0] for path in files(file, run_id)}
    assert tops == {"models", second.run_id[:8]}


# Artifacts and model versions


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts" / "vqe"
    folder.mkdir(parents=True)
    (folder / "parameters.npz").write_bytes(b"numbers")
    (folder / "metadata.json").write_text("{}")
    return folder


def test_artifacts_have_a_place_by_kind_and_name_and_stay_as_they_are(
    place: Place, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "loss.svg").write_text("<svg/>")
    (tmp_path / "notes #1 <b>.txt").write_text("hello")
    run = a_run()
    artifacts = [
        an_artifact(1, "model", model, name="../my model"),
        an_artifact(2, "circuit", tmp_path / "loss.svg", name="ansatz"),
        an_artifact(3, "figure", tmp_path / "loss.svg"),
        an_artifact(4, "file", tmp_path / "notes #1 <b>.txt", name="notes #1 <b>.txt"),
        an_artifact(5, "file", model, name="folder"),
        an_artifact(0, "report", tmp_path / "loss.svg"),
    ]
    for _ in range(2):
        one, run_id = opened(place, run)
        for artifact in artifacts:
            one.attach(artifact)
    found = files(place, run_id)
    assert [name for name in found if "-" not in name] == [
        *("circuits/ansatz/loss.svg", "figures/loss.svg", "files/folder/metadata.json", "files/folder/parameters.npz"),
        "reports/loss.svg",
    ]
    tags = place.client.get_run(run_id).data.tags
    told = {name.removeprefix("quantum.name."): tags[name] for name in tags if name.startswith("quantum.name.")}
    assert set(told.values()) == {"../my model", "notes #1 <b>.txt"}
    assert all(any(path.startswith(place_of_it) for path in found) for place_of_it in told)


def test_an_artifact_of_the_same_name_takes_nothing_from_the_earlier_one(server: Place, tmp_path: Path) -> None:
    for content in ("early", "late"):
        (tmp_path / content).mkdir()
        (tmp_path / content / "loss.svg").write_text(content)
    run = a_run()
    for number, content in enumerate(("early", "late"), 3):
        one, run_id = opened(server, run)
        one.attach(an_artifact(3, "figure", tmp_path / "early" / "loss.svg"))
        one.attach(an_artifact(number, "figure", tmp_path / content / "loss.svg"))
    assert files(server, run_id) == ["figures/loss.svg", "figures/loss~4.svg"]
    texts = [
        Path(server.client.download_artifacts(run_id, path, tmp_path)).read_text() for path in files(server, run_id)
    ]
    assert texts == ["early", "late"]


def test_an_artifact_that_has_gone_is_refused(server: Place, tmp_path: Path) -> None:
    one, _ = opened(server, a_run())
    with pytest.raises(RejectedError, match="is gone"):
        one.attach(an_artifact(1, "file", tmp_path / "nothing.txt"))


def test_a_store_of_artifacts_that_takes_nothing_does_not_keep_a_run_open(file: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = a_run(experiment=f"broken {secrets.token_hex(4)}")
    experiment = file.client.create_experiment(run.experiment, f"file://{tmp_path}/file/below")
    one = file.tracker()
    for _ in range(2):
        one.open(run, {})
        with pytest.raises(Exception, match="NotADirectory"):
            one.close("completed", {"a": 1}, ended=STARTED)
    one.open(run, {})
    before = FAULTS.errors["mlflow"]
    one.close("completed", {"a": 1}, ended=STARTED)
    assert FAULTS.errors["mlflow"] == before + 1
    assert file.client.search_runs([experiment])[0].info.status == "FINISHED"


def test_a_model_is_registered_once_and_its_next_state_is_the_next_version(place: Place, model: Path) -> None:
    name = f"h2/{secrets.token_hex(4)}"
    run = a_run()
    for _ in range(2):
        one, run_id = opened(place, run)
        for number in (1, 2):
            one.attach(an_artifact(number, "model", model, register_as=name))
    [registered] = [
        found for found in place.client.search_registered_models() if found.tags.get("quantum.name") == name
    ]
    versions = place.client.search_model_versions(f"name = '{registered.name}'")
    assert sorted((int(version.version), version.run_id) for version in versions) == [(1, run_id), (2, run_id)]
    assert sorted(version.source.rpartition("/")[2] for version in versions) == ["vqe", "vqe~2"]


# Bad days


class Proxy(ThreadingHTTPServer):
    """Stands before a server, and may answer in its place."""

    daemon_threads = True

    def __init__(self, uri: str) -> None:
        self.behind = uri
        self.answer: Callable[[str, Any], tuple[int, str, bytes] | None] = lambda _path, _body: None
        super().__init__(("127.0.0.1", 0), _Forwarding)

    @property
    def uri(self) -> str:
        return f"http://ada:s3cret@127.0.0.1:{self.server_port}"


class _Forwarding(BaseHTTPRequestHandler):
    server: Proxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, kind, content = self.server.answer(self.path, body) or self._ask(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status == 302:
            self.send_header("Location", "/nowhere")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _ask(self, body: bytes) -> tuple[int, str, bytes]:
        headers = {"Content-Type": "application/json"}
        url = f"{self.server.behind}{self.path}"
        answer = requests.request(self.command, url, data=body, headers=headers, timeout=20)
        return answer.status_code, answer.headers["Content-Type"], answer.content

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxy(server: Place) -> Iterator[Proxy]:
    with Proxy(server.uri) as standing:
        thread = threading.Thread(target=standing.serve_forever)
        thread.start()
        yield standing
        standing.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "content"),
    [
        *(
            (401, b"who are you"),
            (403, b"{}"),
            (404, b"<html>not here</html>"),
            (429, b"slow down"),
            (500, b"oh"),
            (503, b""),
        ),
        *((200, b"<html>log in</html>"), (302, b"")),
    ],
)
def test_a_server_in_trouble_loses_nothing_and_hears_no_secret_told(
    server: Place, proxy: Proxy, status: int, content: bytes
) -> None:
    run = a_run()
    before = Place(proxy.uri, server.database)
    one, run_id = opened(before, run)
    batch = Batch(rows({"loss": 0.5}, {"loss": 0.4}), {"lr": 1}, {"a": "b"})

    proxy.answer = lambda path, _: (status, "text/html", content) if "log-batch" in path else None
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it raises, but not these two
        one.deliver(batch)
    assert not isinstance(raised.value, (RejectedError, UnusableError))
    assert "s3cret" not in str(raised.value)

    proxy.answer = lambda _path, _body: (status, "text/html", content)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - as above
        before.tracker().open(run, {})
    assert not isinstance(raised.value, (RejectedError, UnusableError))
    assert "s3cret" not in str(raised.value)

    proxy.answer = lambda _path, _body: None
    one.open(run, {"run_id": run_id})
    one.deliver(batch)
    assert len(metrics(server, run_id)) == 2


def test_more_than_one_request_may_bring_arrives_in_several(server: Place, proxy: Proxy) -> None:
    sizes: list[int] = []
    proxy.answer = lambda _, body: sizes.append(len(body))
    one, run_id = opened(Place(proxy.uri, server.database), a_run())
    many = rows(*({f"θ/{'ü' * 200}/{n}": float(s) for n in range(300)} for s in range(10)))
    wide = {f"param {n}": "ü" * 5_000 for n in range(250)}
    one.deliver(Batch(many, wide, {f"tag {n}": "ü" * 7_000 for n in range(250)}))
    assert max(sizes) < 1_000_000  # MLflow's documented limit, and below that of common proxies
    assert server.select("SELECT COUNT(*) FROM metrics WHERE run_uuid = ?", run_id) == [(3_000,)]
    found = server.client.get_run(run_id).data
    assert wide.items() <= found.params.items()
    assert sum(name.startswith("tag ") for name in found.tags) == 250


def test_what_an_old_server_took_of_a_batch_that_it_refused_is_not_sent_again(server: Place, proxy: Proxy) -> None:
    """As MLflow 3.0 does with a batch that brings a NaN for the second time."""
    sent = []

    def halfway(path: str, body: bytes) -> tuple[int, str, bytes] | None:
        if "log-batch" not in path:
            return None
        sent.append(body)
        if len(sent) > 1:
            return None
        server.client.log_batch(run_id, metrics=halves)
        message = b'{"error_code": "BAD_REQUEST", "message": "(sqlite3.IntegrityError) UNIQUE constraint failed"}'
        return 400, "application/json", message

    from mlflow.entities import Metric

    one, run_id = opened(Place(proxy.uri, server.database), a_run())
    batch = Batch(rows({"a": math.nan, "b": math.inf}, {"a": 1.0, "b": 2.0}), {}, {})
    halves = [Metric("a", math.nan, 1_700_000_000_350, 1), Metric("b", math.inf, 1_700_000_000_350, 1)]
    proxy.answer = halfway
    one.deliver(batch)
    assert len(sent) == 2
    assert b"NaN" not in sent[1]
    assert b"Infinity" not in sent[1]
    assert len(metrics(server, run_id)) == 4


def test_a_value_that_MLflow_refuses_is_rejected_with_its_words(server: Place, proxy: Proxy) -> None:
    one, _ = opened(Place(proxy.uri, server.database), a_run())
    message = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such thing, ada:s3cret@"}'
    proxy.answer = lambda path, _: (400, "application/json", message) if "log-batch" in path else None
    with pytest.raises(RejectedError, match="no such thing"):
        one.deliver(Batch(rows({"loss": 1.0}), {}, {}))


def test_a_server_that_hangs_is_given_up_and_gets_less_at_once(
    server: Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    one, run_id = opened(Place(proxy.uri, server.database), a_run())
    go_on = threading.Event()
    sizes: list[int] = []

    def hang(path: str, body: bytes) -> None:
        if "log-batch" in path:
            sizes.append(body.count(b'"key"'))
            if sizes[-1] > 500:
                go_on.wait(20)

    proxy.answer = hang
    batch = Batch(rows(*({"loss": float(n)} for n in range(1_000))), {}, {})
    with pytest.raises(Exception, match="timed out"):
        one.deliver(batch)
    one.deliver(batch)
    assert sizes[:2] == [1_000, 500]
    go_on.set()
    assert len(metrics(server, run_id)) == 1_000


def test_a_server_that_died_takes_the_rest_when_it_is_back(process: MlflowServer, server: Place) -> None:
    one, run_id = opened(server, run := a_run())
    one.deliver(Batch(rows({"loss": 1.0}), {}, {}))
    process.stop()
    try:
        with pytest.raises(Exception, match="Connection refused"):
            one.deliver(Batch(rows({"loss": 1.0}, {"loss": 2.0}), {}, {}))
    finally:
        process.start()
    one.open(run, {"run_id": run_id})
    one.deliver(Batch(rows({"loss": 1.0}, {"loss": 2.0}), {}, {}))
    assert [value for _, value, *_ in metrics(server, run_id)] == [1.0, 2.0]


def test_a_folder_of_runs_that_MLflow_itself_no_longer_takes_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="migrate-filestore"):
        tracker({"tracking_uri": str(tmp_path / "mlruns")}).open(a_run(), {})


OPENING = (
    "from quantum_monitor.trackers.mlflow import tracker\n"
    "from quantum_monitor.trackers.protocol import TrackedRun\n"
    "try:\n"
    "    tracker({}).open(TrackedRun('1', 'a', 'b', 0.0, None, {}), {})\n"
    "except Exception as error:\n"
    "    print(type(error).__name__, error)\n"
)


def test_a_database_that_several_processes_find_missing_is_created_by_one_of_them(tmp_path: Path) -> None:
    program = f"import mlflow, mlflow.tracking, sys\nprint('ready', flush=True)\nsys.stdin.readline()\n{OPENING}"
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    assert [racer.communicate()[0] for racer in racers] == ["", "", ""]


def python(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    return done.stdout


def test_without_its_package_it_says_what_to_install() -> None:
    said = python(f"import sys; sys.modules['mlflow'] = None\n{OPENING}")
    assert said.startswith("UnusableError")
    assert "pip install 'quantum-monitor[mlflow]'" in said


def test_a_package_that_is_too_old_says_what_to_install(tmp_path: Path) -> None:
    package = tmp_path / "mlflow"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '2.22.1'\nentities = tracking = None\n")
    (package / "tracking.py").write_text("MlflowClient = None\n")
    said = python(OPENING, PYTHONPATH=str(tmp_path))
    assert said.startswith("UnusableError MLflow 2.22.1 is too old, 3.0 or later is needed")
    assert "pip install 'quantum-monitor[mlflow]'" in said


def test_MLflow_is_not_imported_before_a_run_is_opened() -> None:
    program = "import sys; from quantum_monitor.trackers.mlflow import tracker; tracker({}).destination"
    assert python(f"{program}; print('mlflow' in sys.modules)") == "False\n"
