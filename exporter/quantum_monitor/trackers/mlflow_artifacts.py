"""Artifacts and model versions of a run in MLflow: where they go, and that each goes there once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from quantum_monitor.store.artifacts import FOLDERS, Artifact
from quantum_monitor.store.layout import safe_name
from quantum_monitor.trackers import mlflow_names as names
from quantum_monitor.trackers.mlflow_errors import EXISTS, NOT_MLFLOW, MlflowError, code

_FOLDER_EACH = frozenset({"model", "circuit", "profile"})


class Places:
    """Where the artifacts of one run go: ``models/NAME``, ``figures/FILE`` and so on.

    The first of a kind and name has the plain place, a later one gets its number: ``models/NAME~7``; so a model that
    is logged again and again keeps all its versions. The tilde is in no safe name.

    Args:
        earlier: the artifacts that the run has so far.
        folder: the folder that all of it is in, below the artifacts of MLflow's run.
    """

    def __init__(self, earlier: Iterable[Artifact] = (), *, folder: str = "") -> None:
        self._folder = PurePosixPath(folder)
        self._first: dict[str, int] = {}
        for artifact in earlier:
            self.of(artifact)

    def of(self, artifact: Artifact) -> str:
        """The place of an artifact below the run's artifacts: always the same for the same run."""
        place = self._folder / FOLDERS.get(artifact.kind, FOLDERS["file"]) / _label(artifact)
        first = self._first.setdefault(str(place), artifact.number)
        # Number 0 is the report at the end, which is written anew at each end and has its place to itself.
        if artifact.number in {first, 0}:
            return str(place)
        suffix = "" if artifact.kind in _FOLDER_EACH else place.suffix
        return str(place.with_name(f"{place.name.removesuffix(suffix)}~{artifact.number}{suffix}"))

    @property
    def summary(self) -> str:
        """The place of the summary."""
        return str(self._folder / "quantum_monitor" / "summary.json")


def shows_its_name(artifact: Artifact) -> bool:
    """Whether the place tells the name that the person gave."""
    label = PurePosixPath(_label(artifact))
    return artifact.name in {label.name, label.stem}


def _label(artifact: Artifact) -> str:
    """The last part of its place; a file keeps its ending."""
    path = artifact.path
    if artifact.kind in _FOLDER_EACH or path.is_dir():  # of a folder the last part is the number of its version
        return safe_name(artifact.name)
    if safe_name(path.name) == path.name:
        return path.name
    suffix = path.suffix if safe_name(f"x{path.suffix}") == f"x{path.suffix}" else ""
    return f"{safe_name(path.name)}{suffix}"


def upload(client: Any, run_id: str, artifact: Artifact, place: str) -> None:
    """Bring a file or a folder to its place; what is there of an earlier attempt is replaced.

    Raises:
        MlflowError: it was taken, and is not there: MLflow's client takes a redirect, or any answer at all, for a yes.
    """
    path = artifact.path
    repository = store(client, run_id)
    if path.is_dir():
        client.log_artifacts(run_id, str(path), place)
    elif artifact.kind in _FOLDER_EACH:
        client.log_artifact(run_id, str(path), place)
    else:
        target = PurePosixPath(place)
        with _under_name(path, target.name) as named:
            client.log_artifact(run_id, str(named), str(target.parent))
    if path.is_dir() and not any(each.is_file() for each in path.rglob("*")):
        return  # MLflow knows no empty folders
    if not any(found.path == place for found in repository.list_artifacts(str(PurePosixPath(place).parent))):
        raise MlflowError(f"{place} was uploaded, and is not there: does the server lead elsewhere?")


def store(client: Any, run_id: str) -> Any:
    """What brings artifacts to a run's own place.

    MLflow remembers it for good, and takes an answer that says nothing for the working folder.

    Raises:
        MlflowError: such an answer.
    """
    found = client._tracking_client._get_artifact_repo(run_id)
    if not found.artifact_uri:
        from mlflow.tracking._tracking_service import utils

        utils._artifact_repos_cache.pop(run_id, None)
        raise MlflowError(NOT_MLFLOW)
    return found


def register(client: Any, run_id: str, artifact: Artifact, source: str, *, own: str) -> None:
    """List a model in the registry as the next version of its name, unless this very artifact is listed already.

    Args:
        client: an ``MlflowClient``.
        run_id: MLflow's id of the run.
        artifact: the model; its ``register_as`` names it.
        source: address of its files.
        own: our id of the run; in MLflow's, other runs of ours may have artifacts of the same number.
    """
    given = str(artifact.register_as)
    name = names.model(given)
    identity = f"{own}/{artifact.number}"
    try:
        client.create_registered_model(name, tags={"quantum.name": names.clipped(given, names.TAG_LENGTH)})
    except Exception as error:
        if code(error) != EXISTS:
            raise
    listed = client.search_model_versions(f"run_id = '{run_id}'")
    if any(version.name == name and version.tags.get("quantum.artifact") == identity for version in listed):
        return
    tags = {"quantum.artifact": identity, "quantum.name": names.clipped(artifact.name, names.TAG_LENGTH)}
    client.create_model_version(name, source, run_id, tags=tags, await_creation_for=0)


@contextmanager
def _under_name(path: Path, name: str) -> Iterator[Path]:
    """A file under the name that it shall have in MLflow, which takes the name from the path."""
    if path.name == name:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="quantum-monitor-") as folder:
        named = Path(folder) / name
        named.symlink_to(path.absolute())
        yield named
