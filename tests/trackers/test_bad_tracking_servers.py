"""MLflow servers that refuse, hang, answer nonsense, die or are full: each record arrives once, and nobody waited."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from quantum_monitor.store.reader import StoredRun
from tests.server_process import eventually
from tests.trackers.bad_servers import Behaviour, Door, Request, answer, drip, forward, hang, lose_the_answer, unless
from tests.trackers.mlflow_server import MlflowServer
from tests.trackers.mlflow_trainings import (
    arrived,
    found,
    is_there_once,
    sync,
    training,
    wait_until_closed,
)

pytest.importorskip("mlflow")

NewDoor = Callable[[], Door]
Kinds = dict[str, "Behaviour | None"]

_JSON = {"Content-Type": "application/json"}
_CUT = b'{"experiment": {"experiment_id": "1", "na'
KINDS: Kinds = {
    "refuses": None,
    "hangs": hang,
    "500": answer(500, b"Internal Server Error"),
    "503": answer(503, b"", {"Retry-After": "120"}),
    "429": answer(429, b"slow down", {"Retry-After": "120"}),
    "401": answer(401, b"who are you?", {"WWW-Authenticate": 'Basic realm="mlflow"'}),
    "403": answer(403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', _JSON),
    "html": answer(200, b"<html>log in here</html>"),
    "other-json": answer(200, b"{}", _JSON),
    "cut": answer(200, _CUT, _JSON),
    "short": answer(200, _CUT, {**_JSON, "Content-Length": "999"}),
    "empty": answer(200, b""),
}
REDIRECTS = (302, 307)
ALL = [*KINDS, *map(str, REDIRECTS)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(scope="module")
def new_door(server: MlflowServer) -> Iterator[NewDoor]:
    made: list[Door] = []

    def make() -> Door:
        made.append(Door(server.address))
        return made[-1]

    yield make
    for door in made:
        door.close()


@pytest.fixture(scope="module")
def elsewhere(new_door: NewDoor) -> Door:
    """Where redirects lead: a place that takes everything."""
    place = new_door()
    place.become(answer(200, b"{}", _JSON))
    return place


@pytest.fixture(scope="module")
def kinds(elsewhere: Door) -> Kinds:
    """All ways of going wrong that a client hears of, by name."""
    redirects = {str(code): answer(code, b"", {"Location": f"{elsewhere.uri}/there"}) for code in REDIRECTS}
    return {**KINDS, **redirects}


def through(doors: dict[str, Door], **options: Any) -> dict[str, Any]:
    """Options of a training with a run for each door."""
    return {"environment": {"DOORS": json.dumps({name: door.uri for name, door in doors.items()})}, **options}


# From the start, and in the middle

MONITORS = """
monitors = {name: new_monitor(tracking_uri=uri) for name, uri in json.loads(os.environ["DOORS"]).items()}
for name, monitor in monitors.items():
    begin(monitor, name)
    log(monitor, 0, 30)
"""

AS_LONG_AS_IT_LASTS = (
    MONITORS
    + """
until(lambda: all(status(monitor)["delivered"] for name, monitor in monitors.items() if "middle" in name))
say("half"); hear()
for name, monitor in monitors.items():
    log(monitor, 30, 60)
until(lambda: all(status(monitor)["error"] for monitor in monitors.values()))
assert all(status(monitor)["delivered"] <= 30 for monitor in monitors.values())
say("trouble"); hear()
for monitor in monitors.values():
    log(monitor, 60, 90)
    monitor.end_run()
"""
)


class BadDay(NamedTuple):
    """What became of a training whose runs went each to a server of its own.

    Attributes:
        runs: by name.
        before: how many steps of each were in MLflow while the trouble lasted.
    """

    runs: dict[str, StoredRun]
    before: dict[str, int]


@pytest.fixture(scope="module")
def bad_day(server: MlflowServer, kinds: Kinds, new_door: NewDoor, tmp_path_factory: pytest.TempPathFactory) -> BadDay:
    """Runs to servers that go wrong from the start, or in the middle, until the training is about to end."""
    doors = {f"{name}-{moment}": new_door() for name in kinds for moment in ("start", "middle")}
    for name, behaviour in kinds.items():
        doors[f"{name}-start"].become(behaviour)
    with training(AS_LONG_AS_IT_LASTS, tmp_path_factory.mktemp("training"), **through(doors)) as train:
        assert train.hear() == "half"
        for name, behaviour in kinds.items():
            doors[f"{name}-middle"].become(behaviour)
        train.go_on()
        assert train.hear() == "trouble"
        before = {name: arrived(server, run) for name, run in train.runs.items()}
        for door in doors.values():
            door.become(forward)
        train.go_on()
        train.finish()
        for run in train.runs.values():
            wait_until_closed(server, run)
        eventually(train.delivery_is_over)
        return BadDay(train.runs, before)


@pytest.mark.parametrize("moment", ["start", "middle"])
@pytest.mark.parametrize("kind", ALL)
def test_when_the_server_is_well_again_everything_arrives_once_by_itself(
    bad_day: BadDay, server: MlflowServer, kind: str, moment: str
) -> None:
    name = f"{kind}-{moment}"
    assert bad_day.before[name] == {"start": 0, "middle": 30}[moment]
    is_there_once(server, bad_day.runs[name], steps=90)


def test_a_redirect_is_not_followed(bad_day: BadDay, elsewhere: Door) -> None:
    assert bad_day.runs
    assert elsewhere.seen == []


TOO_LONG = (
    MONITORS
    + """
until(lambda: all(status(monitor)["error"] for name, monitor in monitors.items() if name != "drips"))
say("trouble"); hear()
for monitor in monitors.values():
    monitor.end_run()
"""
)


def test_what_a_server_that_stays_away_did_not_take_sync_brings(
    server: MlflowServer, kinds: Kinds, new_door: NewDoor, tmp_path: Path
) -> None:
    some = [*((name, kinds[name]) for name in ("refuses", "hangs", "500", "html", "302")), ("drips", drip)]
    doors = {name: new_door() for name, _ in some}  # the dripping one last: nobody comes after it for a while
    for name, behaviour in some:
        doors[name].become(behaviour)
    with training(TOO_LONG, tmp_path, **through(doors, delivery_grace=0, delivery_timeout=1)) as train:
        assert train.hear() == "trouble"
        eventually(lambda: doors["drips"].seen)
        train.go_on()
        train.finish()
        eventually(train.delivery_is_over)
        assert train.errors.count("30 records are still on their way") == len(some)
        told = sync(tmp_path, "--run", "refuses", status=1)
        assert "sync again once that is mended" in told
        assert not any(found(server, run) for run in train.runs.values())

        for door in doors.values():
            door.become(forward)
        told = sync(tmp_path)
        assert told.count("30 records, 1 artifact delivered, closed as completed") == len(some)
        again = sync(tmp_path)
        assert again.count("up to date, closed as completed") == len(some)
        for run in train.runs.values():
            is_there_once(server, run, steps=30)


# Death, loss and want

LONG = """
monitor = new_monitor()
begin(monitor)
for step in range(10_000):
    monitor.log_metrics({"loss": -step}, step)
say("logged")
monitor.end_run()
"""


def test_a_server_killed_in_the_middle_of_10000_records_and_started_again(server: MlflowServer, tmp_path: Path) -> None:
    with training(LONG, tmp_path, tracking_uri=server.uri, delivery_timeout=0) as train:
        assert train.hear() == "logged"
        eventually(lambda: arrived(server, train.run) > 2_000)
        server.kill()
        try:
            came_so_far = arrived(server, train.run)
            assert came_so_far < 10_000
            train.finish()
        finally:
            server.start()
        wait_until_closed(server, train.run)
        is_there_once(server, train.run, steps=10_000)


LOSSES = """
monitor = new_monitor()
begin(monitor)
log(monitor, 0, 300)
monitor.end_run()
"""


def test_what_was_taken_and_not_acknowledged_is_there_once(
    server: MlflowServer, new_door: NewDoor, tmp_path: Path
) -> None:
    """Of each kind of request that changes something, the answer to the first is lost."""
    door = new_door()
    seen: set[bytes] = set()

    def is_lost(request: Request) -> bool:
        verb, path = request.head.split(b" ")[:2]
        kind = verb + path + (b" loss" if b'"loss"' in request.body else b"")
        new = kind not in seen
        seen.add(kind)
        return new and verb != b"GET" and not path.endswith(b"search")

    door.become(unless(is_lost, lose_the_answer))
    with training(LOSSES, tmp_path, tracking_uri=door.uri, delivery_timeout=0) as train:
        train.finish()
        wait_until_closed(server, train.run)
        eventually(train.delivery_is_over)
        assert len(seen) > 5
        is_there_once(server, train.run, steps=300)


IN_TWO = """
monitor = new_monitor()
begin(monitor)
log(monitor, 0, 100)
until(lambda: status(monitor)["delivered"] >= 100)
say("half"); hear()
log(monitor, 100, 5_000)
until(lambda: status(monitor)["error"])
say("trouble")
monitor.end_run()
"""


def test_a_server_whose_disk_is_full_takes_the_rest_when_there_is_room(
    mount: Callable[..., Path], tmp_path: Path
) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs")
    with MlflowServer(disk) as server, training(IN_TWO, tmp_path / "training", tracking_uri=server.uri) as train:
        assert train.hear() == "half"
        room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(b"\0" * (room - 50_000))
        train.go_on()
        assert train.hear() == "trouble"
        assert "database or disk is full" in server.log
        assert arrived(server, train.run) < 5_000
        train.finish()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        wait_until_closed(server, train.run)
        is_there_once(server, train.run, steps=5_000)
