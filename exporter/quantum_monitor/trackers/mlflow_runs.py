"""The run in MLflow: found again, attached to, or created, in an experiment that is created where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from quantum_monitor.store.layout import safe_name
from quantum_monitor.trackers import mlflow_names as names
from quantum_monitor.trackers.mlflow_errors import EXISTS, MISSING, NOT_MLFLOW, REFUSED, MlflowError, code
from quantum_monitor.trackers.protocol import TrackedRun

_ALL = 3  # ViewType.ALL: the deleted ones too
_SHORT_ID = 8
_ATTACHED = "quantum.attached"
TOP = "."
"""The folder of the first of our runs in a run of the user's."""


def find_or_create(
    client: Any, run: TrackedRun, options: Mapping[str, Any], *, known: str | None = None
) -> tuple[Any, bool]:
    """The run as MLflow describes it, and whether it was created just now.

    Args:
        client: an ``MlflowClient``.
        run: the run to be tracked.
        options: of the tracker: ``attach_to``, ``attached_to``, ``experiment``, ``parent_run_id``.
        known: MLflow's id of the run, if there was one before. Like ``attached_to`` it may come from anywhere, and
            counts only where the run there carries our id.

    Raises:
        MlflowError: the run or its experiment was deleted in MLflow, or this is no MLflow.
    """
    attach_to = options.get("attach_to")
    candidates = [options.get("attached_to"), known]
    found = client.get_run(attach_to) if attach_to else _by_id(client, filter(None, candidates), own_id(run))
    created = False
    if found is None:
        experiment_id = _experiment(client, str(options.get("experiment") or run.experiment))
        # A process may have been killed after it had created the run, and before anybody had written that down.
        found = _by_tag(client, experiment_id, own_id(run))
        created = found is None
        if found is None:
            name = names.clipped(run.name, names.RUN_NAME_LENGTH)
            tags = _first_tags(run, options.get("parent_run_id"))
            found = client.create_run(experiment_id, int(run.started * 1_000), tags, name)
    if not found.info.run_id:
        raise MlflowError(NOT_MLFLOW)
    if found.info.lifecycle_stage == "deleted":
        mend = f"`mlflow runs restore --run-id {found.info.run_id}` brings it back"
        raise MlflowError(f"the run {run.name!r} was deleted in MLflow: {mend}")
    return found, created


def own_id(run: TrackedRun) -> str:
    """Our id of the run, as the tag ``quantum.run_id`` has it."""
    unnamed = run.directory.name if run.directory else "unnamed"
    return names.clipped(run.run_id or unnamed, names.RUN_NAME_LENGTH)


def is_attached(tags: Mapping[str, str]) -> bool:
    """Whether a run with these tags is one of the user's that runs of ours are in."""
    return _ATTACHED in tags


def attached_tag(own: str) -> str:
    """The tag that one of our runs has in a run of the user's: its value is the folder of that run's artifacts."""
    return names.key(f"{_ATTACHED}.{own}")


def claims(tags: Mapping[str, str], own: str) -> dict[str, str]:
    """The tags with which one of our runs takes its place in a run of the user's that has these tags.

    The first has the top to itself, a later one a folder named by its short id, so that none replaces what another has.
    """
    claimed = {_ATTACHED: "true", "quantum.run_id": own}
    folders = {folder for tag, folder in tags.items() if tag.startswith(f"{_ATTACHED}.")}
    before = tags.get("quantum.run_id", own)
    if before != own and attached_tag(before) not in tags:  # a run that was ours alone, and that the user went on with
        claimed[attached_tag(before)] = TOP
        folders.add(TOP)
    short = safe_name(own)[:_SHORT_ID]
    claimed[attached_tag(own)] = (short if short not in folders else safe_name(own)) if folders else TOP
    return claimed


def _is_ours(found: Any, own: str) -> bool:
    tags = found.data.tags
    return bool(tags.get("quantum.run_id") == own or attached_tag(own) in tags)


def _by_id(client: Any, candidates: Iterable[str], own: str) -> Any | None:
    for candidate in candidates:
        try:
            found = client.get_run(candidate)
        except Exception as error:
            if code(error) not in {MISSING, *REFUSED}:
                raise
            continue
        if not found.info.run_id:
            raise MlflowError(NOT_MLFLOW)
        if _is_ours(found, own):
            return found
    return None


def _by_tag(client: Any, experiment_id: str, run_id: str) -> Any | None:
    quote = '"' if "'" in run_id else "'"
    condition = f"tags.`quantum.run_id` = {quote}{run_id}{quote}"
    return next(iter(client.search_runs([experiment_id], condition, _ALL, max_results=1)), None)


def _experiment(client: Any, given: str) -> str:
    """The id of the experiment of this name."""
    name = names.clipped(given, names.EXPERIMENT_LENGTH) or "unnamed"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except Exception as error:
            if code(error) != EXISTS:
                raise
        experiment = client.get_experiment_by_name(name)  # another process was faster
    if experiment is None or not experiment.experiment_id:
        raise MlflowError(NOT_MLFLOW)
    if experiment.lifecycle_stage == "deleted":
        mend = f"`mlflow experiments restore --experiment-id {experiment.experiment_id}` brings it back"
        raise MlflowError(f"the experiment {name!r} was deleted in MLflow: {mend}; or choose another name")
    return str(experiment.experiment_id)


def _first_tags(run: TrackedRun, parent: str | None) -> dict[str, str]:
    """What a run needs from its first moment on; all else comes with the deliveries."""
    environment = run.info.get("environment")
    environment = environment if isinstance(environment, Mapping) else {}
    git = environment.get("git")
    facts = {
        "quantum.run_id": own_id(run),
        "mlflow.user": environment.get("user"),
        "mlflow.source.name": environment.get("script"),
        "mlflow.source.type": "LOCAL" if environment.get("script") else None,
        "mlflow.source.git.commit": git.get("commit") if isinstance(git, Mapping) else None,
        "mlflow.parentRunId": parent,
    }
    return {name: names.clipped(str(fact), names.RUN_NAME_LENGTH) for name, fact in facts.items() if fact}
