"""Bad days of a training that delivers to MLflow: killed, hurried, misled, and its records there once all the same."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.server_process import eventually
from tests.trackers.bad_servers import Door, Request, answer, forward, hang, unless
from tests.trackers.mlflow_server import MlflowServer
from tests.trackers.mlflow_trainings import (
    Training,
    arrived,
    found,
    is_there_once,
    sync,
    training,
    wait_until_closed,
)

pytest.importorskip("mlflow")

NewDoor = Callable[[], Door]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def new_door(server: MlflowServer) -> Iterator[NewDoor]:
    made: list[Door] = []

    def make() -> Door:
        made.append(Door(server.address))
        return made[-1]

    yield make
    for door in made:
        door.close()


# Kills

ON_AND_ON = """
monitor = new_monitor()
begin(monitor)
step = 0
while True:
    log(monitor, step, step + 10)
    step += 10
    time.sleep(0.05)  # 200 steps a second: a busy machine has no backlog of minutes to deliver
"""


def end_of_delivery(train: Training) -> None:
    eventually(train.delivery)  # one that was killed just now is started again after a moment
    delivery = train.delivery()
    assert delivery is not None
    delivery.kill()


def test_a_training_killed_while_it_is_delivered_is_closed_as_killed(server: MlflowServer, tmp_path: Path) -> None:
    with training(ON_AND_ON, tmp_path, tracking_uri=server.uri) as train:
        eventually(lambda: train.runs and arrived(server, train.run) >= random.randrange(1, 400))
        train.kill()
        wait_until_closed(server, train.run)
        eventually(train.delivery_is_over)
        is_there_once(server, train.run, "KILLED")


def test_a_delivery_process_killed_again_and_again_goes_on(server: MlflowServer, tmp_path: Path) -> None:
    script = "monitor = new_monitor(); begin(monitor); log(monitor, 0, 2_500); monitor.end_run(); say('end')"
    with training(script, tmp_path, tracking_uri=server.uri, delivery_timeout=30) as train:
        for more_than in (0, random.randrange(1, 1_500)):
            eventually(lambda: train.runs and arrived(server, train.run) > more_than)  # noqa: B023 - called here
            end_of_delivery(train)
        assert train.hear() == "end"
        train.finish()
        wait_until_closed(server, train.run)
        is_there_once(server, train.run, steps=2_500)
        assert "the delivery process ended with status -9" in train.errors


def test_both_killed_and_brought_by_sync(server: MlflowServer, tmp_path: Path) -> None:
    with training(ON_AND_ON, tmp_path, tracking_uri=server.uri) as train:
        eventually(lambda: train.runs and arrived(server, train.run) >= random.randrange(1, 400))
        train.pause()
        end_of_delivery(train)
        train.kill()
        assert [status for _, status in found(server, train.run)] == ["RUNNING"]
        assert "closed as killed" in sync(tmp_path)
        assert "up to date" in sync(tmp_path)
        is_there_once(server, train.run, "KILLED")


UNACKNOWLEDGED = """
monitor = new_monitor()
begin(monitor)
log(monitor, 0, 1_500)
say("logged"); hear()
monitor.end_run()
"""


@pytest.mark.parametrize("victims", ["delivery", "both"])
def test_killed_between_delivery_and_acknowledgement(
    server: MlflowServer, new_door: NewDoor, tmp_path: Path, victims: str
) -> None:
    door = new_door()
    taken: list[Request] = []

    def hold(door: Door, request: Request) -> None:
        door.ask(request)
        taken.append(request)
        hang(door, request)

    door.become(unless(lambda request: b'"loss"' in request.body, hold))
    with training(
        UNACKNOWLEDGED, tmp_path, tracking_uri=door.uri, environment={"MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    ) as train:
        assert train.hear() == "logged"
        eventually(lambda: taken)
        assert arrived(server, train.run) > 0
        if victims == "both":
            train.pause()
        end_of_delivery(train)
        door.become(forward)
        if victims == "both":
            train.kill()
            assert "closed as killed" in sync(tmp_path)
        else:
            train.go_on()
            train.finish()
            wait_until_closed(server, train.run)
        is_there_once(server, train.run, "KILLED" if victims == "both" else "FINISHED", steps=1_500)


# The package

OLD = {
    "__init__.py": "__version__ = '1.30.0'\n",
    "entities.py": "",
    "tracking.py": "class MlflowClient:\n    pass\n",
}
HIDE = """
class Hide:
    def find_spec(self, name, *_):
        if name == "mlflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hide())
"""
PACKAGES: dict[str, tuple[str, dict[str, str], str]] = {
    "old": ("", OLD, "MLflow 1.30.0 is too old"),
    "broken": ("", {"__init__.py": "import a_package_that_is_not_there\n"}, "MLflow cannot be imported"),
    "missing": (
        HIDE,
        {},
        "mlflow is not installed",
    ),
}


@pytest.mark.parametrize("kind", PACKAGES)
def test_without_a_usable_package_the_mend_is_told_and_sync_brings_everything(
    server: MlflowServer, tmp_path: Path, kind: str
) -> None:
    before, package, told = PACKAGES[kind]
    shadow = tmp_path / "shadow"
    for name, text in package.items():
        (shadow / "mlflow").mkdir(parents=True, exist_ok=True)
        (shadow / "mlflow" / name).write_text(text)
    script = before + "monitor = new_monitor(); begin(monitor); log(monitor, 0, 20); monitor.end_run()"
    options = {"tracking_uri": server.uri, "delivery_timeout": 3_000}  # which it does not wait for
    with training(script, tmp_path, environment={"PYTHONPATH": str(shadow)}, **options) as train:
        train.finish()
        assert told in train.errors
        assert "pip install 'quantum-monitor[mlflow]'" in train.errors
        eventually(train.delivery_is_over)
        sync(tmp_path, "--to", "mlflow", "--tracking-uri", server.uri)
        is_there_once(server, train.run, steps=20)


# What is logged

HOSTILE = {"a b": 1.0, "x=y": 2.0, "../up": 3.0, "θ": 4.0, "a" * 300: 5.0, "line\nbreak": 6.0, "": 7.0}
NAMES = f"""
monitor = new_monitor()
monitor.start_run()
hostile = {HOSTILE!r}
for step in range(10):
    monitor.log_metrics(hostile, step)
    monitor.log_metrics({{"strange": [1.0, float("nan"), float("inf"), -float("inf")][step % 4]}}, step)
monitor.log_params({{"learning_rate": 0.1, "p=q": "first", "θ": 3}})
until(lambda: status(monitor)["delivered"] >= 20)
monitor.log_params({{"learning_rate": 0.2}})
until(lambda: "learning_rate" in open(str(monitor.run_path / "run.json")).read())
monitor.end_run()
"""


def test_invalid_names_and_numbers_and_a_parameter_that_changes_arrive_through_the_whole_chain(
    server: MlflowServer, tmp_path: Path
) -> None:
    with training(NAMES, tmp_path, tracking_uri=server.uri) as train:
        train.finish()
        wait_until_closed(server, train.run)
        logged = {name for _, record in train.run.records() for name in record.fields}
        ((uuid, status),) = found(server, train.run)
    assert status == "FINISHED"
    tags = dict(server.select("SELECT key, value FROM tags WHERE run_uuid = ?", uuid))
    renamed = {key.removeprefix("quantum.name."): name for key, name in tags.items() if key.startswith("quantum.name.")}
    rows = server.select("SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = ?", uuid)
    series: dict[str, list[tuple[int, float]]] = {}
    for key, step, value, is_nan in rows:
        series.setdefault(renamed.get(key, key), []).append((step, math.nan if is_nan else value))
    assert series.keys() == logged
    assert len(logged) == len(HOSTILE) + 1
    for name, value in HOSTILE.items():
        if name in logged:
            assert sorted(series.pop(name)) == [(step, value) for step in range(10)]
    strange = [value for _, value in sorted(series.pop("strange"), key=lambda pair: pair[0])]
    largest = 1.7976931348623157e308  # what a database has for infinity
    assert [repr(value) for value in strange] == [repr((1.0, math.nan, largest, -largest)[n % 4]) for n in range(10)]

    params = dict(server.select("SELECT key, value FROM params WHERE run_uuid = ?", uuid))
    assert {renamed.get(key, key): value for key, value in params.items()} == {
        "learning_rate": "0.1",
        "p=q": "first",
        "θ": "3",
    }
    assert tags["quantum.param.learning_rate"] == "0.2"


CLOCK = """
monitor = new_monitor()
begin(monitor)
log(monitor, 0, 100)
right, time.time = time.time, lambda: right() - 3_600
log(monitor, 100, 200)
monitor.end_run()
"""


def test_a_clock_that_goes_back_an_hour_loses_and_doubles_nothing(server: MlflowServer, tmp_path: Path) -> None:
    with training(CLOCK, tmp_path, tracking_uri=server.uri) as train:
        train.finish()
        wait_until_closed(server, train.run)
        is_there_once(server, train.run, steps=200)
        ((uuid, _),) = found(server, train.run)
        query = "SELECT timestamp FROM metrics WHERE run_uuid = ? AND key = 'loss' AND step IN (99, 100) ORDER BY step"
        (before,), (after,) = server.select(query, uuid)
        assert before - after > 3_500_000


# Plenty, hurry and secrets

PLENTY = """
monitor = new_monitor()
begin(monitor)
log(monitor, 0, 12_000)
until(lambda: status(monitor)["error"])
say(status(monitor)["waiting"]); hear()
monitor.end_run()
"""
_ROOM = 40 << 20


def test_what_has_piled_up_is_delivered_in_pieces_and_not_held_in_memory(
    server: MlflowServer, new_door: NewDoor, tmp_path: Path
) -> None:
    door = new_door()
    door.become(None)
    with training(PLENTY, tmp_path, tracking_uri=door.uri) as train:
        assert train.hear() == "12000"
        delivery = train.delivery()
        assert delivery is not None
        before = most_memory(delivery)
        door.become(forward)
        train.go_on()
        eventually(lambda: arrived(server, train.run) > 11_000)
        assert most_memory(delivery) - before < _ROOM
        train.finish()
        wait_until_closed(server, train.run)
        is_there_once(server, train.run, steps=12_000)


def most_memory(process: psutil.Process) -> int:
    """The most bytes that a process has had in memory."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


HURRY = """
import threading
took = {}
def timed(what, call):
    began = time.monotonic()
    result = call()
    took[what] = time.monotonic() - began
    return result
monitor = timed("construction", new_monitor)
timed("start", lambda: begin(monitor))
log(monitor, 0, 50)
say("logged"); hear()
timed("end", monitor.end_run)
from quantum_monitor.prometheus.exposition import expose
open("page.txt", "wb").write(expose(monitor.registry)[1])
say(json.dumps(took)); hear()
"""


def test_a_server_that_hangs_holds_nobody_up_and_no_secret_is_told(
    server: MlflowServer, new_door: NewDoor, tmp_path: Path
) -> None:
    door = new_door()
    door.become(hang)
    uri = door.uri.replace("//", "//ada:pa55word@")
    token = {"MLFLOW_TRACKING_TOKEN": "t0ken-of-ada", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    with training(HURRY, tmp_path, tracking_uri=uri, delivery_timeout=1, environment=token) as train:
        assert train.hear() == "logged"
        eventually(lambda: door.seen)
        train.go_on()
        took = json.loads(train.hear())
        assert max(took["construction"], took["start"]) < 2
        assert 0.5 < took["end"] < 10
        assert "mlflow: 50 records are still on their way" in train.errors
        door.become(answer(500, b"pa55word t0ken-of-ada"))
        eventually(lambda: len(door.seen) > 1)
        door.become(forward)
        train.go_on()
        train.finish()
        wait_until_closed(server, train.run)
    assert all(b"\r\nAuthorization: " in request.head for request in door.seen)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"pa55word" not in path.read_bytes(), path
            assert b"t0ken" not in path.read_bytes(), path


ARTIFACTS = """
monitor = new_monitor()
begin(monitor)
log(monitor, 0, 50)
until(lambda: status(monitor)["error"])
monitor.end_run("failed")
"""


@pytest.mark.parametrize("refusal", [500, 302])
def test_artifacts_that_are_refused_for_ever_keep_no_run_open(
    server: MlflowServer, new_door: NewDoor, tmp_path: Path, refusal: int
) -> None:
    door = new_door()
    no = answer(refusal, b"no", {"Location": "/nowhere"})
    door.become(unless(lambda request: request.head.startswith(b"PUT"), no))
    with training(ARTIFACTS, tmp_path, tracking_uri=door.uri, delivery_timeout=2) as train:
        train.finish()
        wait_until_closed(server, train.run)
        ((uuid, status),) = found(server, train.run)
        assert (status, arrived(server, train.run)) == ("FAILED", 50)
        assert "MlflowError" in train.errors
        assert not list((server.database.parent / "artifacts").glob(f"*/{uuid}/artifacts/**/notes.txt"))
        end_of_delivery(train)
        door.become(forward)
        assert "1 artifact delivered, closed as failed" in sync(tmp_path)
        is_there_once(server, train.run, "FAILED", steps=50)
