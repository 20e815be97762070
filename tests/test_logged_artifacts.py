"""log_artifact, log_model, log_circuit: taken at once, whatever becomes of the original, or refused in a sentence."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor import artifacts, models
from quantum_monitor.artifacts import Texts, log_artifact, log_circuit, log_model
from quantum_monitor.faults import FAULTS
from quantum_monitor.models import read_model
from quantum_monitor.store import artifact_writer, copying
from quantum_monitor.store.artifact_writer import ArtifactStore
from quantum_monitor.store.artifacts import Artifact, read
from quantum_monitor.store.copying import file_name

NO_FACTS: Mapping[str, Any] = {}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "runs" / "h2" / "1"
    (directory / "artifacts").mkdir(parents=True)
    return directory


@pytest.fixture
def store(run: Path) -> Iterator[ArtifactStore]:
    opened = ArtifactStore(run)
    yield opened
    assert opened.close(20)


@pytest.fixture
def kept(store: ArtifactStore, run: Path) -> Callable[[], list[Artifact]]:
    def read_all() -> list[Artifact]:
        assert store.flush(20)
        return read(run)

    return read_all


@pytest.fixture
def held_back(store: ArtifactStore) -> Iterator[Callable[[], None]]:
    """The store writes nothing until this is called."""
    gate = threading.Event()

    class Gate(Texts):
        def write(self, folder: Path, version: int) -> Any:
            assert gate.wait(30)
            return super().write(folder, version)

    store.put("file", "gate", Gate({}))
    yield gate.set
    gate.set()


Kept = Callable[[], list[Artifact]]


# Files


def test_a_file_is_kept_under_its_name(store: ArtifactStore, kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "loss curve.png").write_bytes(b"png")
    log_artifact(store, tmp_path / "loss curve.png")
    (artifact,) = kept()
    assert (artifact.kind, artifact.name) == ("figure", "loss curve.png")
    assert artifact.path.suffix == ".png"
    assert artifact.path.read_bytes() == b"png"
    assert artifact.metadata == {"file": "loss curve.png", "size": 3, "version": 1}


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("a.png", "figure"),
        ("a.JPEG", "figure"),
        ("a.svg", "figure"),
        ("a.pdf", "figure"),
        ("report.html", "report"),
        ("Report_2.md", "report"),
        ("page.html", "file"),
        ("reports.txt", "file"),
        ("weights.pt", "file"),
        ("Makefile", "file"),
    ],
)
def test_the_ending_tells_the_kind(store: ArtifactStore, kept: Kept, tmp_path: Path, file: str, kind: str) -> None:
    (tmp_path / file).touch()
    log_artifact(store, str(tmp_path / file), "named")
    assert [(artifact.kind, artifact.name) for artifact in kept()] == [(kind, "named")]


def test_a_path_is_taken_relative_to_the_working_folder(store: ArtifactStore, kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path in ("notes.txt", b"notes.txt", Path("notes.txt")):
        log_artifact(store, path)
    assert [artifact.name for artifact in kept()] == ["notes.txt"] * 3


@pytest.mark.parametrize("size", [0, 3_000_000, 17 * 2**20])
def test_a_file_deleted_right_after_the_call_is_kept_whole(
    store: ArtifactStore, kept: Kept, held_back: Callable[[], None], size: int
) -> None:
    data = os.urandom(size)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "weights.bin").write_bytes(data)
        log_artifact(store, Path(folder) / "weights.bin")
    held_back()
    artifact = kept()[-1]
    assert artifact.path.read_bytes() == data
    assert "changed" not in artifact.metadata


def test_a_file_written_again_in_place_is_kept_as_it_was_each_time(
    store: ArtifactStore, kept: Kept, held_back: Callable[[], None], tmp_path: Path
) -> None:
    for step in range(150):  # more than are held open
        (tmp_path / "figure.png").write_text(f"figure {step}")
        log_artifact(store, tmp_path / "figure.png")
    (tmp_path / "figure.png").unlink()
    held_back()
    assert [artifact.path.read_text() for artifact in kept()[1:]] == [f"figure {step}" for step in range(150)]


def test_where_memory_is_full_a_file_is_held_open(
    store: ArtifactStore,
    kept: Kept,
    held_back: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifact_writer, "MEMORY_LIMIT", 150)
    for name in "ab":
        (tmp_path / name).write_text(name * 100)
        log_artifact(store, tmp_path / name)
        (tmp_path / name).unlink()
    assert store.room == 50
    held_back()
    assert [artifact.path.read_text() for artifact in kept()[1:]] == ["a" * 100, "b" * 100]
    assert store.room == 150


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_private_file_stays_private(
    store: ArtifactStore, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_memory: bool
) -> None:
    if not in_memory:
        monkeypatch.setattr(artifacts, "_READ_AT_ONCE", 0)
    modes = {"private": 0o600, "shared": 0o644, "script": 0o755}
    (tmp_path / "folder").mkdir()
    for name, mode in modes.items():
        for file in (tmp_path / name, tmp_path / "folder" / name):
            file.write_text("x")
            file.chmod(mode)
        log_artifact(store, tmp_path / name)
    log_artifact(store, tmp_path / "folder")
    *files, folder = kept()
    expected = {"private": 0o600, "shared": 0o644, "script": 0o644}
    assert {artifact.name: artifact.path.stat().st_mode & 0o777 for artifact in files} == expected
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.path.iterdir()} == expected


@pytest.mark.parametrize("path", ["", b""])
def test_an_empty_path_is_refused(store: ArtifactStore, kept: Kept, path: Any) -> None:
    with pytest.raises(ValueError, match="path is empty"):
        log_artifact(store, path)
    assert kept() == []


def test_a_large_file_written_to_after_the_call_is_marked_as_changed_and_counted(
    store: ArtifactStore,
    kept: Kept,
    held_back: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "_READ_AT_ONCE", 2)
    before = FAULTS.errors["log_artifact"]
    (tmp_path / "log.txt").write_text("one")
    log_artifact(store, tmp_path / "log.txt")
    (tmp_path / "log.txt").write_text("another")
    held_back()
    assert kept()[-1].metadata["changed"] is True
    assert FAULTS.errors["log_artifact"] == before + 1


def test_a_file_replaced_after_the_call_is_kept_as_it_was(
    store: ArtifactStore, kept: Kept, held_back: Callable[[], None], tmp_path: Path
) -> None:
    (tmp_path / "best.txt").write_text("one")
    log_artifact(store, tmp_path / "best.txt")
    (tmp_path / "next.txt").write_text("two")
    (tmp_path / "next.txt").replace(tmp_path / "best.txt")
    held_back()
    assert kept()[-1].path.read_text() == "one"


def test_a_file_that_the_system_does_not_copy_by_itself_is_copied_too(
    store: ArtifactStore, kept: Kept, run: Path
) -> None:
    log_artifact(store, "/proc/self/status")  # of another file system, and without a size
    assert kept()[0].path.read_text().startswith("Name:")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_large_files_do_not_use_up_the_descriptors_of_the_training(
    store: ArtifactStore,
    kept: Kept,
    held_back: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "_READ_AT_ONCE", 0)
    before = descriptors()
    for number in range(300):
        (tmp_path / f"{number}.txt").write_text(str(number))
        log_artifact(store, tmp_path / f"{number}.txt")
    assert before + 90 <= descriptors() <= before + 100
    held_back()
    found = kept()[1:]
    assert [artifact.path.read_text() for artifact in found] == [str(number) for number in range(300)]
    assert descriptors() <= before


def test_a_link_that_the_user_names_is_followed(store: ArtifactStore, kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("x")
    (tmp_path / "latest.txt").symlink_to("real.txt")
    log_artifact(store, tmp_path / "latest.txt")
    artifact = kept()[0]
    assert artifact.name == "latest.txt"
    assert not artifact.path.is_symlink()
    assert artifact.path.read_text() == "x"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("missing.txt", "missing.txt cannot be read: No such file"),
        ("pipe", "pipe is a pipe, not a file"),
        ("socket", "socket is a socket, not a file"),
        ("/dev/null", "/dev/null is a device, not a file"),
        ("broken", "broken cannot be read: No such file"),
        ("circle", "circle cannot be read"),
        ("large.bin", "has 11,811,160,064 bytes; a file may have 10,737,418,240"),
        (None, "hand over the path of a file or folder"),
        (3, "hand over the path of a file or folder"),
        ("a\0b", "null"),
    ],
)
def test_what_is_no_file_is_refused_in_a_sentence(
    store: ArtifactStore, kept: Kept, tmp_path: Path, path: Any, sentence: str
) -> None:
    os.mkfifo("pipe")
    Path("broken").symlink_to("nowhere")
    Path("circle").symlink_to("circle")
    with Path("large.bin").open("wb") as file:
        file.truncate(11 * 2**30)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(ValueError, match=sentence):
            log_artifact(store, path)
    assert kept() == []


def test_a_file_that_may_not_be_read_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "private").touch(0o000)
    if os.access(tmp_path / "private", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ValueError, match="Permission denied"):
        log_artifact(store, tmp_path / "private")


@given(st.lists(st.text("aA./- éx_01\\", max_size=30), min_size=2, max_size=20, unique=True))
def test_different_names_give_different_file_names(names: list[str]) -> None:
    assert len({file_name(name) for name in names}) == len(names)
    assert all("/" not in file_name(name) and file_name(name) not in {"", ".", ".."} for name in names)


# Folders


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_is_kept_with_the_names_that_its_pages_refer_to(
    store: ArtifactStore, kept: Kept, tmp_path: Path
) -> None:
    site = tmp_path / "my site"
    (site / "images" / "deep").mkdir(parents=True)
    (site / "report.html").write_text("page")
    (site / "images" / "deep" / "loss curve.png").write_text("png")
    (site / ".hidden").write_text("dot")
    (site / "checkpoint-000000000012").write_text("weights")
    log_artifact(store, site)
    (artifact,) = kept()
    assert (artifact.kind, artifact.name) == ("file", "my site")
    assert contents(artifact.path) == {
        "report.html": "page",
        "images/deep/loss curve.png": "png",
        ".hidden": "dot",
        "checkpoint-000000000012": "weights",
    }
    assert artifact.metadata == {"folder": "my site", "files": 4, "size": 4 + 3 + 3 + 7, "version": 1}


def test_names_that_no_other_system_takes_are_changed(store: ArtifactStore, kept: Kept, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a:b?\n.txt").write_text("x")
    (folder / os.fsdecode(b"\xff.txt")).write_text("y")
    log_artifact(store, folder)
    found = contents(kept()[0].path)
    assert sorted(found.values()) == ["x", "y"]
    assert all(name.isascii() and name.isprintable() and ":" not in name and name.endswith(".txt") for name in found)


def test_of_a_folder_what_leads_out_or_is_no_file_is_left_out_and_told(
    store: ArtifactStore, kept: Kept, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "real").write_text("mine")
    (folder / "inside").symlink_to("real")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "tree").symlink_to(tmp_path)
    (folder / "circle").symlink_to(".")
    os.mkfifo(folder / "pipe")
    before = FAULTS.errors["log_artifact"]
    log_artifact(store, folder)
    (artifact,) = kept()
    assert contents(artifact.path) == {"real": "mine", "inside": "mine"}
    assert not (artifact.path / "inside").is_symlink()
    assert len(artifact.metadata["skipped"]) == 4
    assert FAULTS.errors["log_artifact"] == before + 1


def test_a_folder_that_holds_the_run_is_kept_without_the_artifacts(store: ArtifactStore, kept: Kept, run: Path) -> None:
    (run / "run.json").write_text("{}")
    log_artifact(store, run)
    log_artifact(store, run.parent)
    found = [sorted(contents(artifact.path)) for artifact in kept()]
    assert found == [["run.json"], ["1/artifacts.jsonl", "1/run.json"]]


def test_a_folder_that_holds_the_storage_is_kept_without_it(
    store: ArtifactStore, kept: Kept, run: Path, tmp_path: Path
) -> None:
    storage = run.parents[1]
    assert storage != tmp_path
    (tmp_path / "notes.txt").write_text("x")
    (run / "run.json").write_text("{}")
    (storage / "another").mkdir()
    (storage / "another" / "run.json").write_text("{}")
    log_artifact(store, ".")
    assert contents(kept()[0].path) == {"notes.txt": "x"}


def test_of_a_folder_what_vanishes_while_it_is_copied_is_left_out(
    store: ArtifactStore, kept: Kept, held_back: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    for name in ("deep", "gone"):
        (folder / name).mkdir(parents=True)
        (folder / name / "weights.bin").write_text(name)
    (folder / "scratch").write_text("x")

    def scanned(place: Path) -> Any:  # the training removes things between one look at them and the next
        if place == folder / "gone":
            shutil.rmtree(place)
        if place == folder / "deep":
            (folder / "scratch").unlink()
        return scandir(place)

    scandir = os.scandir
    log_artifact(store, folder)
    monkeypatch.setattr(os, "scandir", scanned)
    held_back()
    artifact = kept()[-1]
    monkeypatch.undo()
    assert contents(artifact.path) == {"deep/weights.bin": "deep"}
    assert len(artifact.metadata["skipped"]) == 2


@pytest.mark.parametrize(("path", "size"), [("folder/a.bin", "1,500,000"), ("folder", "2,250,000")])
def test_what_does_not_fit_is_refused_before_it_fills_the_disk(
    tmp_path: Path, mount: Callable[..., Path], caplog: pytest.LogCaptureFixture, path: str, size: str
) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    (disk / "artifacts").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.bin").write_bytes(bytes(1_500_000))
    (tmp_path / "folder" / "0.bin").write_bytes(bytes(750_000))
    (tmp_path / "small.bin").write_bytes(bytes(1_000))
    store = ArtifactStore(disk)
    log_artifact(store, tmp_path / path)
    log_artifact(store, tmp_path / "small.bin")
    assert store.close(20)
    assert [artifact.name for artifact in read(disk)] == ["small.bin"]
    assert f"{size} bytes do not fit on the disk" in caplog.text


@pytest.mark.parametrize("limit", ["files", "bytes"])
def test_a_folder_beyond_the_limits_is_refused_whole(
    store: ArtifactStore, kept: Kept, run: Path, tmp_path: Path, limit: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if limit == "files":
        for number in range(copying.FOLDER_LIMIT + 1):
            (folder / str(number)).touch()
    else:
        for name in "ab":
            with (folder / name).open("wb") as file:
                file.truncate(6 * 2**30)  # holes: they take no room, here or there
    before, lost = FAULTS.errors["artifacts"], FAULTS.drops["artifacts", "failed"]
    log_artifact(store, folder)
    assert store.flush(60)
    assert kept() == []
    assert FAULTS.errors["artifacts"] == before + 1
    assert FAULTS.drops["artifacts", "failed"] == lost + 1
    assert list((run / "artifacts").iterdir()) == []


def test_a_folder_gone_before_it_is_copied_is_counted(
    store: ArtifactStore, kept: Kept, held_back: Callable[[], None]
) -> None:
    before = FAULTS.errors["artifacts"]
    with tempfile.TemporaryDirectory() as folder:
        log_artifact(store, folder)
    held_back()
    assert [artifact.name for artifact in kept()] == ["gate"]
    assert FAULTS.errors["artifacts"] == before + 1


# Models


class Tensor:
    """What PyTorch's tensors have, over an array."""

    def __init__(self, array: np.ndarray[Any, Any], dtype: str) -> None:
        self.array, self.dtype = array, f"torch.{dtype}"

    def detach(self) -> Tensor:
        return self

    cpu = contiguous = resolve_conj = resolve_neg = detach

    def element_size(self) -> int:
        return int(self.array.dtype.itemsize)

    def view(self, dtype: Any) -> Tensor:
        return Tensor(self.array.view(dtype), np.dtype(dtype).name)

    def numpy(self) -> np.ndarray[Any, Any]:
        if "float8" in self.dtype or "bfloat16" in self.dtype:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


def model(kept: Kept) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    return read_model(kept()[-1].path)


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f8", "g", "c8", "c16", "i1", "i8", "u2", "?"], ids=lambda dtype: f"dtype {dtype}"
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_an_array_comes_back_in_type_and_shape(
    store: ArtifactStore, kept: Kept, dtype: str, shape: tuple[int, ...]
) -> None:
    array = (np.random.default_rng(1).normal(size=shape) * 9).astype(dtype)
    log_model(store, "ansatz", array, facts=NO_FACTS)
    parameters, metadata = model(kept)
    assert list(parameters) == ["parameters"]
    found = parameters["parameters"]
    assert found.dtype == array.dtype
    assert found.shape == shape
    assert np.array_equal(found, array)
    assert metadata["keys"] == {"parameters": {"shape": list(shape), "dtype": array.dtype.name}}
    assert metadata["parameters"] == array.size


def test_nested_parameters_are_kept_under_their_paths(store: ArtifactStore, kept: Kept) -> None:
    parameters = {
        "layers": [{"weight": np.ones((2, 2)), "bias": Tensor(np.zeros(2, np.float32), "float32")}, None],
        "θ": [0.1, 0.2, 0.3],
        "grid": [[1, 2], [3, 4]],
        "ragged": [[1.0], [2.0, 3.0]],
        0: 1.5,
    }
    log_model(store, "m", parameters, facts=NO_FACTS)
    found, _ = model(kept)
    assert {key: array.tolist() for key, array in found.items()} == {
        "layers/0/weight": [[1, 1], [1, 1]],
        "layers/0/bias": [0, 0],
        "θ": [0.1, 0.2, 0.3],
        "grid": [[1, 2], [3, 4]],
        "ragged/0": [1.0],
        "ragged/1": [2.0, 3.0],
        "0": 1.5,
    }


Nested = st.recursive(
    st.integers(0, 9).map(float),
    lambda inner: st.dictionaries(st.text("ab/%.\\\0é\ud800", max_size=4), inner, min_size=1, max_size=4),
    max_leaves=8,
)


@given(Nested)
def test_two_paths_never_share_a_name(parameters: Any) -> None:
    def count(value: Any) -> int:
        inner: list[int] = [count(item) for item in value.values()] if isinstance(value, dict) else [1]
        return sum(inner)

    taken = models.take(parameters)
    assert len(taken) == count(parameters)
    for key in taken:
        assert not {".", "..", ""} & set(key.split("/"))
        assert key.isprintable()
        assert "\\" not in key


@given(Nested)
def test_whatever_a_key_is_it_comes_back(parameters: Any) -> None:
    taken = models.take(parameters)
    with tempfile.TemporaryDirectory() as folder:
        models.Model("m", taken, {}).write(Path(folder), 1)
        found, _ = read_model(folder)
    assert {key: array.item() for key, array in found.items()} == {
        key: kept.array.item() for key, kept in taken.items()
    }


def test_parameters_are_those_of_the_moment_of_the_call(
    store: ArtifactStore, kept: Kept, held_back: Callable[[], None]
) -> None:
    array, tensor = np.ones(3), Tensor(np.ones(3, np.float32), "float32")
    log_model(store, "m", {"a": array, "b": tensor, "c": array[::2]}, facts=NO_FACTS)
    array += 1
    tensor.array += 1
    held_back()
    found, _ = model(kept)
    assert [found[key].tolist() for key in "abc"] == [[1, 1, 1], [1, 1, 1], [1, 1]]


def test_bfloat16_keeps_its_bits(store: ArtifactStore, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = types.ModuleType("torch")
    vars(torch).update(int16=np.int16, uint8=np.uint8)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    values = np.array([1.5, -2.0, 3.0e38], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    log_model(
        store, "m", {"b": Tensor(bits, "bfloat16"), "f": Tensor(np.ones(2, np.uint8), "float8_e5m2")}, facts=NO_FACTS
    )
    found, metadata = model(kept)
    assert found["b"].dtype == np.float32
    assert found["b"].tolist() == (bits.astype(np.uint32) << 16).view(np.float32).tolist()
    assert metadata["keys"]["b"] == {"shape": [3], "dtype": "bfloat16"}
    assert found["f"].dtype == np.uint8
    assert metadata["keys"]["f"]["dtype"] == "float8_e5m2"


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_come_back_as_they_were_where_their_types_are_known(
    store: ArtifactStore, kept: Kept, dtype: str
) -> None:
    array = np.array([[1.5, -2.0, 3.0]], dtype=getattr(pytest.importorskip("ml_dtypes"), dtype))
    log_model(store, "m", {"a": array, "scalar": array[0, 0], "turned": array.T}, facts=NO_FACTS)
    found, _ = model(kept)
    assert found["a"].dtype == array.dtype
    assert np.array_equal(found["a"], array)
    assert np.array_equal(found["turned"], array.T)
    assert found["scalar"].shape == ()


def test_metadata_tells_what_the_model_is(store: ArtifactStore, kept: Kept) -> None:
    facts = {"run_id": "3f2a", "experiment": "h2", "step": 7, "loss": float("nan")}
    own = {"molecule": "H2", "score": float("inf"), 3: {1, 2}, "array": np.zeros(10**6)}
    log_model(store, "my/ansatz", np.ones(2), own, register_as="h2-vqe", facts=facts)
    (artifact,) = kept()
    _, metadata = read_model(artifact.path)
    assert json.loads((artifact.path / "metadata.json").read_text(), parse_constant=pytest.fail) == metadata
    assert metadata["name"] == "my/ansatz"
    assert metadata["version"] == 1
    assert (metadata["run_id"], metadata["experiment"], metadata["step"], metadata["loss"]) == ("3f2a", "h2", 7, None)
    assert metadata["metadata"]["molecule"] == "H2"
    assert metadata["metadata"]["score"] is None
    assert len(metadata["metadata"]["array"]) < 10_000
    assert metadata["packages"]["numpy"] == np.__version__
    assert artifact.register_as == "h2-vqe"
    assert artifact.metadata["sha256"] == metadata["sha256"]


def test_the_same_parameters_give_the_same_file(store: ArtifactStore, kept: Kept) -> None:
    for _ in range(2):
        log_model(store, "m", {"a": np.arange(5.0)}, facts=NO_FACTS)
    first, second = kept()
    assert first.metadata["sha256"] == second.metadata["sha256"]
    assert (first.metadata["version"], second.metadata["version"]) == (1, 2)


def test_numpy_reads_the_file_without_pickles(store: ArtifactStore, kept: Kept) -> None:
    log_model(store, "m", {"layers": [np.ones(2)]}, facts=NO_FACTS)
    with np.load(kept()[0].path / "parameters.npz", allow_pickle=False) as found:
        assert found["layers/0"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({}, "parameters is empty"),
        (None, "parameters is empty"),
        ({"a": np.array([{}], dtype=object)}, r"parameters\['a'\] is ndarray of type object"),
        ({"a": "text"}, r"parameters\['a'\] is str of type"),
        (object(), "is object of type object: hand over numbers"),
        ({1: 1.0, "1": 2.0}, "two keys whose text is '1'"),
        ({"k" * 5_000: 1.0}, "key of 5,000 characters"),
        (np.zeros(1, dtype=[("a", "f4")]), "of type void32"),
        ({"a": np.ma.masked_array([1.0, 2.0], [True, False])}, r"parameters\['a'\] is a masked array: hand over"),
    ],
)
def test_what_is_no_array_is_refused_in_a_sentence(
    store: ArtifactStore, kept: Kept, parameters: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        log_model(store, "m", parameters, facts=NO_FACTS)
    assert kept() == []


def test_a_list_within_itself_is_refused(store: ArtifactStore) -> None:
    circle: list[Any] = []
    circle += [circle, circle]
    with pytest.raises(ValueError, match="nested more than 20 deep"):
        log_model(store, "m", circle, facts=NO_FACTS)


def test_a_model_beyond_the_memory_limit_is_refused_before_it_is_copied(store: ArtifactStore) -> None:
    huge = np.broadcast_to(np.float64(1.0), (2**40,))  # eight bytes that look like eight terabytes
    with pytest.raises(ValueError, match="save them to a file of your own and hand that to log_artifact"):
        log_model(store, "m", huge, facts=NO_FACTS)


def test_metadata_that_are_no_mapping_are_refused(store: ArtifactStore) -> None:
    with pytest.raises(ValueError, match="metadata is 'text': hand over a mapping"):
        log_model(store, "m", np.ones(2), "text", facts=NO_FACTS)


@pytest.mark.parametrize(
    "damage", ["changed", "other file", "no keys", "no json", "other keys", "wrong keys", "no archive"]
)
def test_a_damaged_model_is_not_read(store: ArtifactStore, kept: Kept, damage: str) -> None:
    log_model(store, "m", np.ones(2), facts=NO_FACTS)
    folder = kept()[0].path
    file = folder / "parameters.npz"
    if damage == "changed":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "other file":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("parameters.npy", b"evil")
    elif damage in {"other keys", "wrong keys", "no archive"}:
        if damage == "no archive":
            file.write_bytes(b"x")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        keys = {"other": {"dtype": "float64"}} if damage == "other keys" else {"parameters": 3}
        (folder / "metadata.json").write_text(json.dumps({"sha256": digest, "keys": keys}))
    else:
        (folder / "metadata.json").write_text("{}" if damage == "no keys" else "{")
    with pytest.raises(
        ValueError, match=r"parameters\.npz is not the file|does not describe a model|does not hold|Expecting"
    ):
        read_model(folder)


# Circuits


def test_the_texts_of_a_circuit_become_a_folder(store: ArtifactStore, kept: Kept) -> None:
    store.put("circuit", "ansatz", Texts({"circuit.qasm": "OPENQASM 3.0;", "../circuit.txt": "──H──\ud800"}))
    (artifact,) = kept()
    assert artifact.path.parts[-3:] == ("circuits", "ansatz", "1")
    assert (artifact.path / "circuit.qasm").read_text() == "OPENQASM 3.0;"
    assert len(list(artifact.path.iterdir())) == 2 == len(artifact.metadata["files"])


@pytest.mark.skipif(
    importlib.util.find_spec("quantum_monitor.views.circuits") is None, reason="no circuit views in this build"
)
def test_a_circuit_is_written_down_at_once(store: ArtifactStore, kept: Kept) -> None:
    description = {"gates": [{"type": "h", "qubit": 0}, {"type": "cx", "qubits": [0, 1]}]}
    log_circuit(store, description, "bell state")
    description["gates"].clear()
    (artifact,) = kept()
    assert (artifact.kind, artifact.name) == ("circuit", "bell state")
    assert json.loads((artifact.path / "circuit.json").read_text())["name"] == "bell state"
    assert "bell state" in (artifact.path / "circuit.svg").read_text()
    assert "OPENQASM" in (artifact.path / "circuit.qasm").read_text()
