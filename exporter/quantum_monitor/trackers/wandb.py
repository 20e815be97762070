"""Weights & Biases: a run's parameters, curves, alerts, pictures, models and report, online or in offline files.

How nothing is lost, and nothing doubled. A row's ``_step`` is a thousand times its sequence number; pictures and pages
take the steps behind the last row, so they never take the place of a row. W&B drops a step that is not higher than the
last one. When a run is opened again, delivery goes on after the last row that W&B holds: online the server knows it,
offline the files do. The axis of every panel is ``step``, the training step.

What W&B's offline files allow. W&B's own process, wandb-core, writes them 32 KiB at a time and once a second, and when
its client is killed it exits within a tenth of a second without writing the rest. So what was handed over last may be
missing after a kill, and is handed over again: rows by the cursor, parameters and artifacts by a journal beside the
run, which goes when a session has ended well. Each session makes a file of its own; the rows of all
of them together are gapless and without double, and ``wandb sync`` puts them together in the order of their start. An
alert or a picture of a killed session may show twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from quantum_monitor.names import text
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.runfile import plain
from quantum_monitor.trackers import wandb_media, wandb_place, wandb_service
from quantum_monitor.trackers.protocol import Batch, Opened, RejectedError, Row, TrackedRun
from quantum_monitor.trackers.state import FOLDER
from quantum_monitor.trackers.wandb_files import STEPS_A_ROW, RunFile, expect_no_links, offline_files
from quantum_monitor.trackers.wandb_journal import Journal
from quantum_monitor.trackers.wandb_names import STEP, flat, metric_name, path_name, short_tags

_INIT_SECONDS = 20.0
_FINISH_SECONDS = 30.0
_UPLOAD_SECONDS = 300
_FLUSH_SECONDS = 1.0
_STILL_SECONDS = 3.0
_EXIT_CODES = {"completed": 0, "failed": 1, "running": 1, "stopped": 255, "killed": 255}
_LEVELS = {"critical": "ERROR", "high": "ERROR", "warning": "WARN", "medium": "WARN"}
_RESERVED_CONFIG = frozenset({"quantum", "tags", "environment", "metric_names"})


class WandbTracker:
    """One run at Weights & Biases.

    Args:
        options: ``project`` (empty for the experiment's name), ``entity`` (empty for the key's own), ``base_url`` (the
            server), ``mode`` (``online`` or ``offline``), each None for what environment and settings files say;
            ``group``, ``name`` (None for the run's), ``finish_timeout`` (seconds that the end of a run waits for
            uploads, 30 unless given).

    Raises:
        UnusableError: the mode is none that there is, or the server's address is no address.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._place = wandb_place.find(options)
        self._wandb: Any = None
        self._run: Any = None
        self._file: RunFile | None = None
        self._log = Path()
        self._journal = Journal(None, self.destination)
        self._last = self._top = self._handed = 0
        self._names: dict[str, str] = {}
        self._mapped: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def destination(self) -> str:
        """Where it delivers to."""
        return str(self._place)

    def open(self, run: TrackedRun, known: Mapping[str, str]) -> Opened:  # noqa: ARG002 - W&B finds runs by our id
        """Create the run at W&B, or go on with it.

        Raises:
            UnusableError: W&B is missing, too old, switched off, or has no key.
            ConnectionError: the server could not be reached, or refused.
            OSError: the run's folder holds a link where W&B would write.
        """
        self._wandb = wandb_service.package(self._place)
        self._drop_session()
        if run.directory is not None:
            for name in (FOLDER, "wandb"):
                expect_no_links(run.directory / name)
        project = path_name(self._place.project or run.experiment)
        run_id = path_name(run.run_id)
        folder = self._folder(run)
        self._journal = Journal(run.directory, self.destination)
        offline = self._place.mode == "offline"
        before = offline_files(folder, run_id, project) if offline else []
        for file in before:
            file.cut_what_is_torn()
        with self._plainly(f"W&B could not open the run ({self.destination})"):
            try:
                self._run = self._init(run, run_id, project, folder)
            except BaseException:
                wandb_service.start_over()
                raise
        wandb_service.OURS.add(self._run)
        self._handed = 0
        self._log = Path(self._run.settings.log_internal)
        self._file = RunFile(Path(self._run.settings.sync_file)) if offline else None
        self._top = max([file.last_step for file in before] if offline else [self._run.starting_step - 1], default=0)
        self._last = max(self._top, 0) // STEPS_A_ROW
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric("*", step_metric=STEP)
        self._go_on(run)
        return Opened(known={"run_id": run_id}, url=text(self._run.url or ""), cursor=self._last)

    def deliver(self, batch: Batch) -> None:
        """Hand over rows, parameters and tags."""
        if batch.params or batch.tags:
            self._configure(batch.params, batch.tags)
        for row in batch.rows:
            if row.sequence > self._last:
                self._write(row)
        if len(self._mapped) > len(self._run.config.get("metric_names") or {}):
            self._update_config({"metric_names": dict(self._mapped)})
        self._expect_answer()

    def attach(self, artifact: Artifact) -> None:
        """Hand over a file or folder.

        Raises:
            RejectedError: it is gone, cannot be read, or W&B refuses it.
        """
        self._journal.artifact(artifact)
        self._attach(artifact)
        self._expect_answer()

    def close(self, status: str, summary: Mapping[str, Any], *, ended: float) -> None:
        """End the run; ``running`` leaves it preempted, to be gone on with.

        Raises:
            TimeoutError: not all was uploaded in time; it is in W&B's files, and will be tried again.
            ConnectionError: the server refused the upload.
            OSError: W&B's offline file does not hold what was handed over: the disk is full.
        """
        run = self._run
        run.summary.update({**flat(summary), "status": status, "ended": ended})
        if status == "running":
            run.mark_preempting()
        self._run = None
        with self._plainly("W&B could not end the run"):
            run.finish(exit_code=_EXIT_CODES.get(status, 1))
        self._verify()
        self._journal.clear()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _init(self, run: TrackedRun, run_id: str, project: str, folder: Path) -> Any:
        wandb = self._wandb
        settings = wandb.Settings(
            base_url=self._place.url,
            console="off",
            silent=True,
            quiet=True,
            symlink=False,
            use_dot_wandb=False,
            x_transaction_log_flush_interval=_FLUSH_SECONDS,
            stop_fn=lambda: None,  # the stop button of W&B's pages ends no process of ours
            init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or _INIT_SECONDS),
            finish_timeout=float(self._options.get("finish_timeout") or _FINISH_SECONDS),
            finish_timeout_raises=True,
            disable_git=True,
            disable_code=True,
            save_code=False,
            label_disable=True,
            sagemaker_disable=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        return wandb.init(
            project=project,
            entity=self._place.entity,  # an empty one, too: with None, W&B takes that of this process's environment
            id=run_id,
            name=text(self._options.get("name") or run.name)[:128] or run_id,
            group=self._options.get("group") or None,
            mode=self._place.mode,
            dir=str(folder),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )

    def _folder(self, run: TrackedRun) -> Path:
        """Where W&B keeps its files, in a folder ``wandb`` of its own."""
        given = os.environ.get("WANDB_DIR")
        if given:
            folder = Path(given)
        elif run.directory is not None:
            folder = run.directory
        else:
            self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="quantum-monitor-wandb-")
            folder = Path(self._temporary.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder.absolute()

    def _go_on(self, run: TrackedRun) -> None:
        """What W&B knows from the start, and what a session that did not end well may not have brought."""
        config, artifacts = self._journal.read()
        self._tags = dict(config.get("tags") or self._run.config.get("tags") or {})
        self._mapped = dict(config.get("metric_names") or self._run.config.get("metric_names") or {})
        self._run.summary.update({"status": "running", "started": run.started})
        environment = run.info.get("environment")
        self._update_config({**({"environment": environment} if environment else {}), **config})
        self._show_tags()
        for artifact in artifacts:
            with contextlib.suppress(RejectedError):
                self._attach(artifact)

    def _write(self, row: Row) -> None:
        data: dict[str, Any] = {self._name(name): value for name, value in row.values.items()}
        data |= {STEP: row.step, "_timestamp": row.time}
        self._run.log(data, step=row.sequence * STEPS_A_ROW, commit=True)
        self._last, self._top = row.sequence, row.sequence * STEPS_A_ROW
        self._handed += 1
        if row.kind == "alert":
            self._alert(row)

    def _alert(self, row: Row) -> None:
        alert = row.labels.get("alert", "")
        if not row.values.get(f"alert/{alert}"):
            return
        facts = ", ".join(
            f"{name.rpartition('/')[2]} {value:g}" for name, value in row.values.items() if "/" in name[6:]
        )
        level = _LEVELS.get(row.labels.get("severity", ""), "INFO")
        self._run.alert(f"{alert} is firing"[:63], f"step {row.step}: {facts}", level, timedelta(milliseconds=1))

    def _name(self, name: str) -> str:
        mapped = self._names.get(name)
        if mapped is None:
            mapped = self._names[name] = metric_name(name)
            if mapped != name:
                self._mapped[mapped] = name
        return mapped

    def _configure(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        config = {metric_name(name, reserved=_RESERVED_CONFIG): value for name, value in params.items()}
        ours = {name.removeprefix("quantum."): tag for name, tag in tags.items() if name.startswith("quantum.")}
        if ours:
            config["quantum"] = {**(self._run.config.get("quantum") or {}), **ours}
        theirs = {name: tag for name, tag in tags.items() if not name.startswith("quantum.")}
        if theirs:
            config["tags"] = {**self._tags, **theirs}
        self._journal.config(config)
        self._update_config(config)
        if theirs:
            self._show_tags(self._tags | theirs)

    def _update_config(self, config: Mapping[str, Any]) -> None:
        self._run.config.update(plain(config), allow_val_change=True)

    def _show_tags(self, tags: Mapping[str, str] | None = None) -> None:
        """Short tags stand beside the run's name, too."""
        before = set(short_tags(self._tags))
        self._tags = dict(self._tags if tags is None else tags)
        kept = [tag for tag in self._run.tags if tag not in before]
        shown = [*kept, *(tag for tag in short_tags(self._tags) if tag not in kept)]
        if tuple(shown) != tuple(self._run.tags):
            self._run.tags = tuple(shown)

    def _attach(self, artifact: Artifact) -> None:
        try:
            looked_at = wandb_media.shown(self._wandb, artifact)
            versioned = wandb_media.versioned(self._wandb, artifact)
        except (OSError, ValueError, TypeError, self._wandb.Error) as error:
            raise RejectedError(f"W&B cannot take {artifact.kind} {artifact.name!r}: {error}") from error
        full = self._top + 1 == (self._last + 1) * STEPS_A_ROW
        if looked_at is not None and not full:
            self._top += 1
            key, page = looked_at
            self._run.log({key: page, "_timestamp": artifact.time}, step=self._top, commit=True)
        if versioned is not None:
            logged = self._run.log_artifact(versioned, aliases=["latest", self._run.id])
            if self._place.mode == "online":
                logged.wait(timeout=_UPLOAD_SECONDS)
                self._register(logged, artifact)
        if looked_at is not None and full:
            raise RejectedError(
                f"W&B cannot show {artifact.kind} {artifact.name!r}: {STEPS_A_ROW - 1} pictures follow record "
                f"{self._last} already; log pictures along with steps"
            )

    def _register(self, logged: Any, artifact: Artifact) -> None:
        if not artifact.register_as:
            return
        path = wandb_media.registered_as(artifact.register_as)
        try:
            self._run.link_artifact(logged, path)
        except (ValueError, self._wandb.Error) as error:
            raise RejectedError(f"W&B did not register {artifact.name!r} as {path}: {error}") from error

    def _expect_answer(self) -> None:
        """Wait until W&B's process has seen all of it; raises if that is gone."""
        with self._plainly("W&B's process does not answer"):
            self._run.step  # noqa: B018 - asking is the point
        if self._file is not None:
            self._file.read_on()

    def _verify(self) -> None:
        """See whether all has arrived: W&B itself says nothing of a full disk, or of uploads that were refused."""
        file, self._file = self._file, None
        if file is None:
            wandb_service.expect_no_refusal(self._log)
            return
        patience = time.monotonic() + _STILL_SECONDS
        while not file.ended and time.monotonic() < patience:  # finish() returns before the file is complete
            if file.read_on():
                patience = time.monotonic() + _STILL_SECONDS
            else:
                time.sleep(0.01)
        if file.ended and file.rows >= self._handed:
            return
        shutil.rmtree(file.path.parent, ignore_errors=True)
        raise OSError(f"W&B wrote {file.rows} of {self._handed} rows to {file.path}: make room on the disk")

    def _drop_session(self) -> None:
        """Leave a session that went wrong; what it had not brought comes again."""
        run, self._run = self._run, None
        if run is not None:
            with contextlib.suppress(Exception):
                run.finish(exit_code=1)
                self._verify()
        wandb_service.end_if_dead()

    @contextlib.contextmanager
    def _plainly(self, what: str) -> Iterator[None]:
        """W&B's errors as ours, without secrets."""
        try:
            yield
        except TimeoutError as error:
            raise TimeoutError(wandb_place.without_secrets(f"{what}: {error}", self._place)) from None
        except Exception as error:  # noqa: BLE001 - wandb raises from several libraries; all of it may name the key
            raise ConnectionError(wandb_place.without_secrets(f"{what}: {error}", self._place)) from None


def tracker(options: Mapping[str, Any]) -> WandbTracker:
    """The factory that trackers are made by."""
    return WandbTracker(options)
