"""W&B: what a real run wrote is read back, offline from its files and online from a server on loopback."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.config import load_settings
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers import choice, recorded, wandb_place
from quantum_monitor.trackers.protocol import Batch, RejectedError, Row, TrackedRun, UnusableError
from quantum_monitor.trackers.state import StateFile
from quantum_monitor.trackers.wandb import WandbTracker, tracker
from quantum_monitor.trackers.wandb_journal import Journal
from quantum_monitor.trackers.wandb_names import metric_name, path_name
from tests.trackers.conftest import NewStore
from tests.trackers.wandb_files import files, logged, records, written

ENDED = 1_700_000_100.0
SVG = "<svg xmlns='http://www.w3.org/2000/svg'><text>ansatz</text></svg>"


@pytest.fixture(autouse=True)
def _own_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """W&B keeps its settings and its process for as long as it is loaded: each test has its own."""
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


@pytest.fixture
def run(tmp_path: Path) -> TrackedRun:
    directory = tmp_path / "run"
    directory.mkdir()
    info = {"environment": {"python": "3.11.7", "versions": {"qiskit": "2.1"}}}
    return TrackedRun("3f2a", "first try", "h2 vqe", 1_700_000_000.0, directory, info)


def training(first: int, last: int) -> list[Row]:
    return [row(number, {"loss": 1 / number}) for number in range(first, last + 1)]


def row(number: int, values: dict[str, float], *, kind: str = "training", **labels: str) -> Row:
    return Row(number, 1_700_000_000.0 + number, number * 10, kind, values, labels)


def numbered(rows: list[dict[str, Any]]) -> list[int]:
    """The sequence numbers of the rows, without those of pictures."""
    return [line["_step"] // 1000 for line in rows if line["_step"] % 1000 == 0]


def offline(**options: Any) -> WandbTracker:
    return tracker({"mode": "offline", **options})


def test_rows_keep_their_values_their_training_step_and_their_time(run: TrackedRun) -> None:
    to = offline()
    assert to.open(run, {}).cursor == 0
    to.deliver(Batch([row(1, {"loss": 0.5, "circuit/lightning.qubit/depth": 7}), row(2, {"my metric": 3.5})], {}, {}))
    to.close("completed", {}, ended=ENDED)
    first, second = written(run_directory(run)).rows
    assert (first["loss"], first["circuit/lightning.qubit/depth"], first["step"]) == (0.5, 7, 10)
    assert (first["_timestamp"], second["_timestamp"]) == (1_700_000_001, 1_700_000_002)
    assert (first["_step"], second["_step"], second["my metric"]) == (1000, 2000, 3.5)


def test_not_a_number_and_infinity_stay_what_they_are(run: TrackedRun) -> None:
    to = offline()
    to.open(run, {})
    to.deliver(Batch([row(1, {"loss": math.nan, "a": math.inf, "b": -math.inf})], {}, {}))
    to.close("completed", {}, ended=ENDED)
    (line,) = written(run_directory(run)).rows
    assert math.isnan(line["loss"])
    assert (line["a"], line["b"]) == (math.inf, -math.inf)


def test_names_that_wandb_hides_or_takes_for_its_own_are_mapped_and_the_mapping_is_recorded(run: TrackedRun) -> None:
    names = ["_step", "_timestamp", "step", "status", "", "a\nb", " a", "x" * 500, "\ud800", "step-97d583372ac3", "ü"]
    to = offline()
    to.open(run, {})
    to.deliver(Batch([row(1, {name: float(place) for place, name in enumerate(names)})], {}, {}))
    to.close("completed", {}, ended=ENDED)
    found = written(run_directory(run))
    (line,) = found.rows
    assert line["ü"] == 10
    assert [line[metric_name(name)] for name in names] == list(range(len(names)))
    recorded = found.config["metric_names"]
    assert {mapped: recorded[mapped] for mapped in map(metric_name, names[:8])} == {
        metric_name(name): name for name in names[:8]
    }


def test_parameters_tags_and_environment_are_in_the_config_and_may_change(run: TrackedRun) -> None:
    to = offline()
    to.open(run, {})
    to.deliver(Batch([], {"lr": 0.1, "layers": [1, 2], "quantum": 5}, {"quantum.qubits": "4", "team": "blue"}))
    to.deliver(Batch([], {"lr": 0.01}, {"quantum.backend": "aer", "team": "red", "long": "x" * 100}))
    to.close("completed", {}, ended=ENDED)
    found = written(run_directory(run))
    assert (found.config["lr"], found.config["layers"]) == (0.01, [1, 2])
    assert found.config["quantum"] == {"qubits": "4", "backend": "aer"}
    assert found.config[metric_name("quantum", reserved={"quantum"})] == 5
    assert found.config["tags"] == {"team": "red", "long": "x" * 100}
    assert found.config["environment"]["versions"] == {"qiskit": "2.1"}
    assert list(found.runs[-1].tags) == ["team:red"]


def test_project_group_name_and_entity_are_configurable(run: TrackedRun) -> None:
    to = offline(project="p", entity="me", group="g", name="n")
    assert to.destination == "wandb offline p"
    to.open(run, {})
    to.close("completed", {}, ended=ENDED)
    header = written(run_directory(run)).runs[0]
    assert (header.project, header.entity, header.run_group, header.display_name) == ("p", "me", "g", "n")


def test_the_project_is_the_experiment_unless_given(run: TrackedRun) -> None:
    to = offline()
    to.open(run, {})
    to.close("completed", {}, ended=ENDED)
    header = written(run_directory(run)).runs[0]
    assert (header.project, header.display_name, header.run_id) == (path_name("h2 vqe"), "first try", "3f2a")


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 1), ("stopped", 255), ("killed", 255)])
def test_the_status_is_the_exit_code_and_in_the_summary(run: TrackedRun, status: str, code: int) -> None:
    to = offline()
    to.open(run, {})
    to.close(status, {"training_summary": {"final_loss": -1.1, "best_loss": math.nan}}, ended=ENDED)
    found = written(run_directory(run))
    assert found.exit_codes == [code]
    assert (found.summary["status"], found.summary["training_summary/final_loss"]) == (status, -1.1)
    assert (found.summary["started"], found.summary["ended"]) == (run.started, ENDED)


def test_a_run_that_was_left_open_is_gone_on_with_in_a_file_of_its_own(run: TrackedRun) -> None:
    to = offline()
    to.open(run, {})
    to.deliver(Batch(training(1, 3), {}, {}))
    to.close("running", {}, ended=ENDED)
    assert written(run_directory(run)).preempted == 1
    again = offline()
    assert again.open(run, {}).cursor == 3
    again.deliver(Batch(training(2, 5), {}, {}))
    again.close("completed", {}, ended=ENDED)
    found = written(run_directory(run))
    assert numbered(found.rows) == [1, 2, 3, 4, 5]
    assert len(files(run_directory(run))) == 2
    assert all(header.resume for header in found.runs)


def test_an_alert_that_fires_is_an_alert_and_one_that_is_over_is_not(run: TrackedRun) -> None:
    to = offline()
    to.open(run, {})
    values = {"alert/gradient_explosion": 1.0, "alert/gradient_explosion/value": 12.0}
    labels = {"alert": "gradient_explosion", "severity": "critical"}
    over = {**values, "alert/gradient_explosion": 0.0}
    to.deliver(Batch([row(1, values, kind="alert", **labels), row(2, over, kind="alert", **labels)], {}, {}))
    to.close("completed", {}, ended=ENDED)
    found = written(run_directory(run))
    assert [(alert.title, alert.level) for alert in found.alerts] == [("gradient_explosion is firing", "ERROR")]
    assert "value 12" in found.alerts[0].text
    assert [line["alert/gradient_explosion"] for line in found.rows] == [1, 0]


def picture(path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (4, 4)).save(path)
    return path


def test_pictures_pages_circuits_and_models_are_shown_and_take_no_row_s_place(run: TrackedRun, tmp_path: Path) -> None:
    drawing, page, model = tmp_path / "bloch.svg", tmp_path / "report.html", tmp_path / "m"
    drawing.write_text(SVG)
    page.write_text("<h1>report</h1>")
    model.mkdir()
    (model / "parameters.json").write_text("[0.1]")
    circuit = tmp_path / "circuit"
    circuit.mkdir()
    (circuit / "circuit.svg").write_text(SVG)
    (circuit / "circuit.qasm").write_text("OPENQASM 3.0; // a < b")
    to = offline()
    to.open(run, {})
    to.deliver(Batch(training(1, 2), {}, {}))
    to.attach(Artifact(1, "figure", "bloch", drawing, ENDED, {}))
    to.attach(Artifact(2, "figure", "photo", picture(tmp_path / "photo.png"), ENDED, {}))
    to.attach(Artifact(3, "circuit", "ansatz", circuit, ENDED, {"depth": 3}))
    to.attach(Artifact(4, "model", "vqe model", model, ENDED, {"qubits": 4}, "best-vqe"))
    to.attach(Artifact(0, "report", "report.html", page, ENDED, {}))
    to.deliver(Batch(training(3, 4), {}, {}))
    to.close("completed", {}, ended=ENDED)
    found = written(run_directory(run))
    assert numbered(found.rows) == [1, 2, 3, 4]
    steps = [line["_step"] for line in found.rows]
    assert steps == sorted(set(steps))
    shown = {key for line in found.rows for key in line if key.endswith("/_type")}
    assert shown == {"figures/bloch/_type", "figures/photo/_type", "circuits/ansatz/_type", "report/_type"}
    pages = [file.read_text() for file in run_directory(run).glob("wandb/*/files/media/html/circuits/*.html")]
    assert len(pages) == 1
    assert "OPENQASM 3.0; // a &lt; b" in pages[0]
    by_type = {artifact.type: artifact for artifact in found.artifacts}
    assert sorted(by_type) == ["circuit", "figure", "model"]
    assert "best-vqe" in by_type["model"].metadata
    assert set(by_type["model"].aliases) == {"latest", "3f2a"}
    assert by_type["model"].manifest.contents[0].local_path == str(model / "parameters.json")


def test_an_artifact_that_is_gone_is_refused_for_good(run: TrackedRun) -> None:
    to = offline()
    to.open(run, {})
    with pytest.raises(RejectedError, match="photo"):
        to.attach(Artifact(1, "figure", "photo", run_directory(run) / "photo.png", ENDED, {}))
    to.close("completed", {}, ended=ENDED)


def test_a_file_that_is_no_picture_for_all_its_name_is_kept_and_not_shown(run: TrackedRun) -> None:
    to = offline()
    to.open(run, {})
    to.attach(logged(run_directory(run), "photo.png", "figure", "no picture"))
    to.close("completed", {}, ended=ENDED)
    found = written(run_directory(run))
    assert [artifact.name for artifact in found.artifacts] == ["figure-photo.png"]
    assert found.rows == []


def test_pictures_that_no_step_is_left_for_are_refused_and_kept_as_files(run: TrackedRun, tmp_path: Path) -> None:
    drawing = tmp_path / "a.svg"
    drawing.write_text(SVG)
    to = offline()
    to.open(run, {})
    for number in range(1, 1000):
        to.attach(Artifact(number, "report", "a", drawing, ENDED, {}))
    with pytest.raises(RejectedError, match="999 pictures follow record 0"):
        to.attach(Artifact(1000, "figure", "too many", drawing, ENDED, {}))
    to.deliver(Batch(training(1, 1), {}, {}))
    to.attach(Artifact(1001, "figure", "later", drawing, ENDED, {}))
    to.close("completed", {}, ended=ENDED)
    found = written(run_directory(run))
    assert len([line for line in found.rows if "report/_type" in line]) == 999
    assert [line["_step"] for line in found.rows][-2:] == [1000, 1001]
    assert len(found.artifacts) == 2


# A run's folder may come from anywhere


@pytest.mark.parametrize(
    "link", ["trackers", "trackers/wandb-x.jsonl", "wandb", "wandb/offline-run-1", "wandb/offline-run-1/run-3f2a.wandb"]
)
def test_a_link_in_a_run_s_folder_is_refused_and_what_it_leads_to_left_alone(
    run: TrackedRun, tmp_path: Path, link: str
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    path = run_directory(run) / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(theirs / "file" if path.suffix else theirs)
    with pytest.raises(OSError, match="links in it are refused"):
        offline().open(run, {})
    assert [(file.name, file.read_text()) for file in theirs.iterdir()] == [("file", "theirs")]


@pytest.mark.parametrize("where", ["the journal", "its folder"])
def test_a_journal_is_not_written_or_read_over_a_link(run: TrackedRun, tmp_path: Path, where: str) -> None:
    journal = Journal(run_directory(run), "there")
    journal.config({"mine": 1})
    (file,) = (run_directory(run) / "trackers").iterdir()
    link = file if where == "the journal" else file.parent
    theirs = tmp_path / "theirs"
    link.rename(theirs)
    link.symlink_to(theirs)
    for touch in (lambda: journal.config({"lr": 0.1}), journal.read):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            touch()
    lines = next(theirs.iterdir()) if theirs.is_dir() else theirs
    assert lines.read_text().split() == ['{"config":', '{"mine":', "1}}"]


def test_a_journal_that_is_a_pipe_is_refused_at_once(run: TrackedRun) -> None:
    journal = Journal(run_directory(run), "there")
    journal.config({"mine": 1})
    (file,) = (run_directory(run) / "trackers").iterdir()
    file.unlink()
    os.mkfifo(file)
    for touch in (lambda: journal.config({"lr": 0.1}), journal.read):
        with pytest.raises(OSError, match=r"is not a file|No such device"):
            touch()


def test_a_journal_brings_nothing_that_the_run_s_own_index_does_not_name(run: TrackedRun, tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    trackers = run_directory(run) / "trackers"
    trackers.mkdir(exist_ok=True)
    (trackers / "report.html").symlink_to(secret)
    mine = logged(run_directory(run))
    journal = Journal(run_directory(run), "there")
    for number in (0, mine.number, 7):
        journal.artifact(mine._replace(number=number))
    (file,) = (path for path in trackers.iterdir() if not path.is_symlink())
    named = {**mine._asdict(), "path": str(secret)}
    with file.open("a") as lines:
        lines.write(json.dumps({"artifact": named}) + "\n[1]\n{\n" + "[" * 100_000)
    assert Journal(run_directory(run), "there").read() == ({}, [mine])
    journal.config({"after": "a line that a kill tore"})
    assert journal.read() == ({"after": "a line that a kill tore"}, [mine])


@pytest.mark.parametrize("project", ["", "p"])
def test_a_file_of_wandb_s_that_is_not_this_run_s_is_neither_cut_nor_counted(run: TrackedRun, project: str) -> None:
    to = offline(project="p")
    to.open(run._replace(run_id="other"), {})
    to.deliver(Batch(training(1, 3), {}, {}))
    to.close("completed", {}, ended=ENDED)
    (other,) = files(run_directory(run))
    theirs = other.with_name("run-3f2a.wandb")
    other.rename(theirs)
    theirs.write_bytes(theirs.read_bytes() + b"torn" if project else b"no file of W&B's")
    before = theirs.read_bytes()
    to = offline(project="p")
    assert to.open(run, {}).cursor == 0
    to.close("completed", {}, ended=ENDED)
    assert theirs.read_bytes() == before


# The place is decided when the run starts


def chosen(**options: Any) -> dict[str, Any]:
    return choice.chosen(load_settings({"enable_mlflow": False, "enable_wandb": True, **options}))["wandb"]


def test_a_run_goes_where_its_own_environment_says_whatever_that_of_the_delivery_is(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    without = chosen()
    monkeypatch.setenv("WANDB_PROJECT", "one")
    monkeypatch.setenv("WANDB_ENTITY", "me")
    monkeypatch.setenv("WANDB_BASE_URL", "http://u:s3cret@127.0.0.1:1")
    options = chosen(wandb_group="g")
    place = {"project": "one", "entity": "me", "mode": "offline", "base_url": "http://127.0.0.1:1"}
    assert options == {**place, "group": "g"}
    assert choice.without_secrets({"wandb": options}) == {"wandb": options}
    for name in ("PROJECT", "ENTITY"):
        monkeypatch.setenv(f"WANDB_{name}", "two")
    monkeypatch.setenv("WANDB_MODE", "online")
    headers = []
    for run_id, decided in (("a", options), ("b", without)):
        to = tracker(decided)
        to.open(run._replace(run_id=run_id), {})
        to.close("completed", {}, ended=ENDED)
    for file in files(run_directory(run)):
        headers += [record.run for record in records(file) if record.WhichOneof("record_type") == "run"]
    found = {header.run_id: (header.project, header.entity) for header in headers}
    assert found == {"a": ("one", "me"), "b": (path_name(run.experiment), "")}


def test_a_mode_that_there_is_not_is_said_by_the_tracker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    options = chosen()
    monkeypatch.delenv("WANDB_MODE")
    with pytest.raises(UnusableError, match="'onlin'"):
        tracker(options)


def stored(new_store: NewStore, **told: str) -> StoredRun:
    store = new_store(tracking={"wandb": told})
    return StoredRun(store.directory)


def later(run: StoredRun, **given: Any) -> dict[str, Any]:
    return recorded.options("wandb", run, load_settings(given))


HERE = {"project": "one", "entity": "", "mode": "online", "base_url": "https://api.wandb.ai"}


def test_a_later_sync_goes_where_the_run_went(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored(new_store, **HERE)
    for name in ("PROJECT", "ENTITY"):
        monkeypatch.setenv(f"WANDB_{name}", "two")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert tracker(later(run)).destination == "wandb online api.wandb.ai/(default)/one"
    assert tracker(later(run, wandb_project="three")).destination == "wandb online api.wandb.ai/(default)/three"


def test_what_tells_no_place_goes_where_it_was_delivered_to(new_store: NewStore) -> None:
    run = stored(new_store)
    assert later(run) == {}
    places = ["wandb offline (experiment)", "wandb online h:1/me/a/b"]
    for place, told in zip(places, ({"project": ""}, {"project": "a/b", "entity": "me"}), strict=True):
        state = StateFile(run.directory, "wandb", place)
        (run.directory / "trackers").mkdir(exist_ok=True)
        state.save(state.load())
        assert later(run) == {**told, "mode": place.split()[1]}
        if place == places[0]:
            next((run.directory / "trackers").iterdir()).rename(run.directory / "kept")
    (run.directory / "kept").rename(run.directory / "trackers" / "wandb-0.json")
    with pytest.raises(recorded.UndecidedError, match="wandb_project"):
        later(run)
    assert later(run, wandb_mode="offline") == {"mode": "offline"}


def test_the_key_is_not_shown_to_a_server_that_a_run_names(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(new_store, **{**HERE, "base_url": "http://evil:1"})
    with pytest.raises(recorded.UndecidedError, match="WANDB_BASE_URL"):
        later(run)
    monkeypatch.setenv("WANDB_BASE_URL", "http://mine:1")
    assert tracker(later(run)).destination.startswith("wandb online mine:1/")


@pytest.mark.parametrize("secret", ["k" * 40, "kkk", "user:p%40ss", "p%40ss", "p@ss", "in-settings"])
def test_no_key_and_no_password_is_told(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    with_key(monkeypatch)
    with_netrc(monkeypatch)
    Path("wandb").mkdir()
    Path("wandb/settings").write_text("[default]\napi_key = in-settings\n")
    monkeypatch.setenv("WANDB_BASE_URL", "http://user:p%40ss@127.0.0.1:8080")
    place = wandb_place.find({})
    assert wandb_place.without_secrets(f"refused: <{secret}>!", place) == "refused: <(key)>!"


def test_several_runs_are_open_at_once_and_the_person_s_own_run_stays_theirs(run: TrackedRun, tmp_path: Path) -> None:
    import wandb

    theirs = wandb.init(mode="offline", dir=str(tmp_path), project="theirs", settings=wandb.Settings(console="off"))
    others = [run._replace(run_id=name, directory=tmp_path / name) for name in ("a", "b")]
    trackers = [offline() for _ in others]
    for to, other in zip(trackers, others, strict=True):
        to.open(other, {})
    for number in (1, 2):
        for to in trackers:
            to.deliver(Batch(training(number, number), {}, {}))
    assert wandb.run is theirs
    for to in trackers:
        to.close("completed", {}, ended=ENDED)
    assert wandb.run is theirs
    theirs.finish()
    assert [numbered(written(run_directory(other)).rows) for other in others] == [[1, 2], [1, 2]]


def test_nothing_is_written_beside_the_run_and_nothing_said(
    run: TrackedRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    to = offline()
    to.open(run, {})
    to.deliver(Batch(training(1, 2), {}, {}))
    to.close("completed", {}, ended=ENDED)
    assert capfd.readouterr() == ("", "")
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "cache"}
    assert {path.name for path in run_directory(run).iterdir()} <= {"wandb", "trackers"}


def test_wandb_dir_says_where_the_files_go(run: TrackedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    for cursor in (0, 2):
        to = offline()
        assert to.open(run, {}).cursor == cursor
        to.deliver(Batch(training(1, 2), {}, {}))
        to.close("completed", {}, ended=ENDED)
    assert numbered(written(tmp_path / "elsewhere").rows) == [1, 2]


def with_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)


def with_netrc(monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = Path("netrc")
    netrc.write_text("machine 127.0.0.1:8080 login user password kkk\n")
    monkeypatch.setenv("NETRC", str(netrc))


def without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", "there is none")


@pytest.mark.parametrize(
    ("prepare", "destination"),
    [
        (without_key, "wandb offline p"),
        (with_key, "wandb online 127.0.0.1:8080/(default)/p"),
        (with_netrc, "wandb online 127.0.0.1:8080/(default)/p"),
    ],
)
def test_it_is_online_where_there_is_a_key_and_offline_elsewhere(
    prepare: Callable[[pytest.MonkeyPatch], None], destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://user:secret@127.0.0.1:8080")
    prepare(monkeypatch)
    assert tracker({"project": "p"}).destination == destination
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert tracker({"project": "p"}).destination == "wandb offline p"
    assert tracker({"project": "p", "mode": "online"}).destination.startswith("wandb online")


def test_online_without_a_key_is_refused_with_a_mend_and_never_asks(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_key(monkeypatch)
    with pytest.raises(UnusableError, match="WANDB_API_KEY"):
        tracker({"mode": "online"}).open(run, {})


def test_a_mode_that_there_is_not_is_named() -> None:
    with pytest.raises(UnusableError, match="'onlin'"):
        tracker({"mode": "onlin"})


def run_directory(run: TrackedRun) -> Path:
    assert run.directory is not None
    return run.directory
