"""MLflow: a run with its parameters, metrics, tags, artifacts and model versions, through ``MlflowClient`` alone.

The fluent API (``mlflow.start_run`` and the like) belongs to the user, who may be using it in this very process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from quantum_monitor.faults import FAULTS
from quantum_monitor.store import artifacts, runfile
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.trackers import mlflow_artifacts, mlflow_names, mlflow_runs, mlflow_uri
from quantum_monitor.trackers.mlflow_errors import NOT_MLFLOW, REFUSED, MlflowError, code
from quantum_monitor.trackers.protocol import Batch, Opened, RejectedError, Row, TrackedRun, Tracker, UnusableError

_OLDEST = 3
_INSTALL = "pip install 'quantum-monitor[mlflow]'"
_METRICS_AT_ONCE, _FEWEST_AT_ONCE, _DESCRIPTIONS_AT_ONCE = 1_000, 50, 100
_BYTES_AT_ONCE = 900_000  # of one request: MLflow takes a million, a common proxy 2^20
_BYTES_OF_A_METRIC = 120  # value, time, step and punctuation
_KEYS_REMEMBERED = 100_000
_INT64 = 2**63 - 1
_ERROR_LENGTH = 1_000

_STATUS = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "killed": "KILLED"}
_UPLOAD_TRIES = 3


def tracker(options: Mapping[str, Any]) -> Tracker:
    """The factory: see `MlflowTracker` for the options."""
    return MlflowTracker(options)


class MlflowTracker:
    """One run in MLflow.

    Args:
        options: ``tracking_uri``, else ``MLFLOW_TRACKING_URI``, else MLflow's own default; ``experiment``, else the
            run's own; ``attach_to``, the id of a run of the user's, which is used and left open; ``attached_to``,
            likewise, but only if it carries our id already; ``parent_run_id``, the id of the run to be nested below.
            Credentials come from MLflow's own environment variables.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._uri = mlflow_uri.resolved(self._options.get("tracking_uri"))
        self._keys: dict[str, str] = {}
        self._longest_key = 0
        self._at_once = _METRICS_AT_ONCE
        self._failed_uploads = 0

    @property
    def destination(self) -> str:
        """The tracking URI without secrets."""
        return mlflow_uri.public(self._uri) or "mlflow (address not shown)"

    def open(self, run: TrackedRun, known: Mapping[str, str]) -> Opened:
        """Find the run that ``known`` tells of, or that carries our id, or create it."""
        with self._plainly():
            self._client, self._entities = self._connected()
            found, created = mlflow_runs.find_or_create(self._client, run, self._options, known=known.get("run_id"))
            self._run_id: str = found.info.run_id
            self._experiment_id: str = found.info.experiment_id
            self._artifact_uri: str = found.info.artifact_uri
            self._params: dict[str, str] = dict(found.data.params)
            self._tags: dict[str, str] = dict(found.data.tags)
            self._own_id = mlflow_runs.own_id(run)
            self._attached = bool(self._options.get("attach_to")) or mlflow_runs.is_attached(self._tags)
            self._recorded: set[str] = {name for name in self._tags if name.startswith("quantum.name.")}
            self._keys.clear()
            self._unrecorded: dict[str, str] = {}
            folder = self._claimed_folder() if self._attached else mlflow_runs.TOP
            earlier = artifacts.read(run.directory) if run.directory else ()
            self._places = mlflow_artifacts.Places(earlier, folder=folder)
            url = mlflow_uri.run_url(self._uri, found.info.experiment_id, self._run_id)
        # A run that has just been created holds nothing, whatever an earlier one held that somebody has deleted.
        return Opened({"run_id": self._run_id}, url, 0 if created else None)

    def deliver(self, batch: Batch) -> None:
        """Hand over rows, parameters and tags; MLflow on a database shows none of them twice."""
        with self._plainly():
            metrics = self._metrics(batch.rows)
            # By that tag the run is found again: `open` has set it, and no tag of the person's shall replace it.
            told = {name: text for name, text in batch.tags.items() if name != "quantum.run_id"}
            tags = {self._key(name): str(text) for name, text in told.items()}
            self._deliver_params({name: mlflow_names.value(given) for name, given in batch.params.items()}, tags)
            self._deliver_tags(tags)
            self._deliver_metrics(metrics)
            self._confirm()

    def attach(self, artifact: Artifact) -> None:
        """Upload a file or folder, and list a model in the registry where that was asked for."""
        with self._plainly():
            if not artifact.path.exists():
                raise RejectedError(f"{artifact.path} is gone")
            place = self._places.of(artifact)
            with self._refusals():
                self._failed_uploads += 1
                mlflow_artifacts.upload(self._client, self._run_id, artifact, place)
                # The report comes again before each try of the summary, which is to run out of tries all the same.
                self._failed_uploads = self._failed_uploads - 1 if artifact.number == 0 else 0
                if artifact.register_as:
                    source = f"{self._artifact_uri.rstrip('/')}/{place}"
                    mlflow_artifacts.register(self._client, self._run_id, artifact, source, own=self._own_id)
            if not mlflow_artifacts.shows_its_name(artifact):
                self._deliver_tags({f"quantum.name.{place.replace('~', ':')}": artifact.name})  # tags know no tilde

    def close(self, status: str, summary: Mapping[str, Any], *, ended: float) -> None:
        """End the run, unless it is the user's own, and keep the summary as ``quantum_monitor/summary.json``.

        A store of artifacts that takes nothing does not keep the run open for ever: after three failed uploads in all
        the run goes without its summary.
        """
        if status == "running":
            return
        with self._plainly():
            self._send(tags={"quantum.status": status})
            if not self._attached:
                self._end(_STATUS[status], ended)
            if summary:
                self._keep(json.dumps(runfile.plain(summary), indent=2, allow_nan=False))
            self._confirm()

    def _keep(self, summary: str) -> None:
        self._failed_uploads += 1
        try:
            mlflow_artifacts.store(self._client, self._run_id)
            self._client.log_text(self._run_id, summary, self._places.summary)
        except Exception as error:
            if self._failed_uploads < _UPLOAD_TRIES:
                raise
            FAULTS.rejected("mlflow", f"{self._places.summary} cannot be uploaded: {self._scrubbed(error)}")
        else:
            self._failed_uploads = 0

    # Opening

    def _claimed_folder(self) -> str:
        """The folder of our artifacts in a run of the user's, where other runs of ours may have theirs."""
        mine = mlflow_runs.attached_tag(self._own_id)
        if mine not in self._tags:
            self._claim(mlflow_runs.claims(self._tags, self._own_id))
            others = {tag: text for tag, text in self._tags.items() if tag != mine}
            again = mlflow_runs.claims(others, self._own_id)
            if self._tags.get(mine) == mlflow_runs.TOP != again[mine]:  # another process came in between
                self._claim(again)
        return self._tags[mine]

    def _claim(self, tags: Mapping[str, str]) -> None:
        self._send(tags=tags)
        self._tags = {**self._client.get_run(self._run_id).data.tags, **tags}

    def _connected(self) -> tuple[Any, Any]:
        """A client and the module of MLflow's entities."""
        if not mlflow_uri.public(self._uri):
            raise UnusableError(f"the tracking URI is not one that can be told from a password: {mlflow_uri.MEND}")
        try:
            import mlflow
            from mlflow import entities
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise UnusableError(f"MLflow cannot be imported ({error}): {_INSTALL}") from error
        version = str(mlflow.__version__)
        major = version.partition(".")[0]
        if not major.isdigit() or int(major) < _OLDEST:
            raise UnusableError(f"MLflow {version} is too old, {_OLDEST}.0 or later is needed: {_INSTALL}")
        try:
            with mlflow_uri.alone(self._uri):
                return MlflowClient(self._uri), entities
        except ImportError as error:
            raise UnusableError(f"{self.destination} needs a package that is missing: {error}") from error
        except Exception as error:
            if code(error) in REFUSED:  # by the client itself: no such scheme, a plain folder
                raise UnusableError(f"{self.destination} cannot be used: {self._scrubbed(error)}") from None
            raise

    # Delivering

    def _metrics(self, rows: Iterable[Row]) -> list[Any]:
        new_metric, keys = self._entities.Metric, self._keys
        metrics = []
        for row in rows:
            when = _milliseconds(row.time)
            step = max(-_INT64, min(row.step, _INT64))
            for name, value in row.values.items():
                metrics.append(new_metric(keys.get(name) or self._key(name), value, when, step))
        return metrics

    def _key(self, name: str) -> str:
        """MLflow's name of a metric, parameter or tag; what was renamed is told by the tag ``quantum.name.KEY``."""
        key = self._keys.get(name)
        if key is None:
            key = mlflow_names.key(name)
            if len(self._keys) >= _KEYS_REMEMBERED:
                self._keys.clear()
            self._keys[name] = key
            self._longest_key = max(self._longest_key, _size(key))
            if key != name and f"quantum.name.{key}" not in self._recorded:
                self._unrecorded[f"quantum.name.{key}"] = name
        return key

    def _deliver_params(self, params: Mapping[str, str], tags: dict[str, str]) -> None:
        """New parameters go where they belong; of one that has changed, which MLflow refuses, the tags tell."""
        new = self._new_params(params)
        try:
            self._send(params=new)
        except RejectedError:
            self._params = dict(
                self._client.get_run(self._run_id).data.params
            )  # the user may have logged some meanwhile
            if self._new_params(params) == new:
                raise
            new = self._new_params(params)
            self._send(params=new)
        self._params |= new
        for name, text in params.items():
            later = self._key(f"quantum.param.{name}")
            if self._params[self._key(name)] != text or later in self._tags:
                tags[later] = text

    def _new_params(self, params: Mapping[str, str]) -> dict[str, str]:
        keyed = {self._key(name): text for name, text in params.items()}
        return {key: text for key, text in keyed.items() if key not in self._params}

    def _deliver_tags(self, tags: Mapping[str, str]) -> None:
        unrecorded, self._unrecorded = self._unrecorded, {}
        try:
            self._send(tags={**unrecorded, **tags})
        except BaseException:
            self._unrecorded |= unrecorded
            raise
        self._recorded |= unrecorded.keys()
        self._tags.update(tags)

    def _deliver_metrics(self, metrics: Sequence[Any]) -> None:
        position = 0
        while position < len(metrics):
            fitting = _BYTES_AT_ONCE // (self._longest_key + _BYTES_OF_A_METRIC)
            piece = metrics[position : position + min(self._at_once, fitting)]
            try:
                self._log(metrics=piece)
            except Exception as error:  # noqa: BLE001 - raised again, unless it turns out to be harmless
                if "timed out" in str(error):  # the server is too slow for so many
                    self._at_once = max(_FEWEST_AT_ONCE, self._at_once // 2)
                self._log(metrics=self._missing(piece, error))
            position += len(piece)
            self._at_once = min(_METRICS_AT_ONCE, self._at_once + self._at_once // 8)

    def _missing(self, metrics: Sequence[Any], error: Exception) -> list[Any]:
        """Which metrics are not there yet, where the server could not tell by itself.

        Where a batch brings a NaN that is there already, or has over a hundred names and one metric is there already,
        servers as old as MLflow 3.0 answer 400 or 500, and take only a part of it.
        """
        if not any(mark in str(error) for mark in ("500", "IntegrityError", "UNIQUE")):
            raise error
        there: set[tuple[str, int, int, str]] = set()
        for key in dict.fromkeys(metric.key for metric in metrics):
            there |= {_identity(metric) for metric in self._client.get_metric_history(self._run_id, key)}
        missing = [metric for metric in metrics if _identity(metric) not in there]
        if len(missing) == len(metrics):
            raise error
        return missing

    def _send(self, *, params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None) -> None:
        """Send parameters and tags under their keys, in as many pieces as it takes."""
        for piece in _pieces(params or {}):
            self._log(params=[self._entities.Param(key, text) for key, text in piece])
        clipped = {key: mlflow_names.clipped(text, mlflow_names.TAG_LENGTH) for key, text in (tags or {}).items()}
        for piece in _pieces(clipped):
            self._log(tags=[self._entities.RunTag(key, text) for key, text in piece])

    def _log(self, **things: Sequence[Any]) -> None:
        with self._refusals():
            self._client.log_batch(self._run_id, synchronous=True, **things)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Tell what MLflow will never take from what it takes when somebody has restored the run."""
        try:
            yield
        except Exception as error:
            if code(error) not in REFUSED:
                raise
            if self._client.get_run(self._run_id).info.lifecycle_stage != "active":
                raise
            raise RejectedError(self._scrubbed(error)) from None

    def _confirm(self) -> None:
        """See that it was MLflow that has just taken what it was sent: its client takes any empty answer for a yes."""
        if self._client.get_experiment(self._experiment_id).experiment_id != self._experiment_id:
            raise MlflowError(NOT_MLFLOW)

    def _end(self, status: str, ended: float) -> None:
        # Not client.set_terminated, which prints, and which ends the asynchronous logging of all users in this process.
        store = self._client._tracking_client.store
        store.update_run_info(self._run_id, self._entities.RunStatus.from_string(status), _milliseconds(ended), None)

    # Errors

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Turn whatever MLflow raises into an error that gives no secret away."""
        try:
            yield
        except (UnusableError, RejectedError, MlflowError):
            raise
        except Exception as error:  # noqa: BLE001 - MLflow, its stores and their drivers raise all sorts of things
            raise MlflowError(self._scrubbed(error)) from None

    def _scrubbed(self, error: Exception) -> str:
        name = type(error).__name__
        text = str(error) if name in {"MlflowException", "RestException"} else f"{name}: {error}"
        return mlflow_uri.scrubbed(text, self._uri)[:_ERROR_LENGTH]


def _milliseconds(seconds: float) -> int:
    return max(0, min(int(seconds * 1_000), _INT64))


def _identity(metric: Any) -> tuple[str, int, int, str]:
    """What makes a metric one and the same to the database, which has no infinity."""
    value = metric.value
    if math.isinf(value):
        value = math.copysign(1.7976931348623157e308, value)
    return metric.key, metric.timestamp, metric.step, repr(float(value))


def _size(text: str) -> int:
    """Bytes of a text in a request, where JSON escapes what is not ASCII."""
    return len(json.dumps(text))


def _pieces(texts: Mapping[str, str]) -> Iterator[list[tuple[str, str]]]:
    """Keys and texts in pieces that one request may bring."""
    piece: list[tuple[str, str]] = []
    size = 0
    for key, text in texts.items():
        bytes_of_it = _size(key) + _size(text) + _BYTES_OF_A_METRIC
        if piece and (len(piece) >= _DESCRIPTIONS_AT_ONCE or size + bytes_of_it > _BYTES_AT_ONCE):
            yield piece
            piece, size = [], 0
        piece.append((key, text))
        size += bytes_of_it
    if piece:
        yield piece
