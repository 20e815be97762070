"""What was handed to W&B and may not have arrived, kept beside the run until W&B has finished a session well."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.runfile import plain


class Journal:
    """Settings and artifacts of a session that has not ended yet.

    Args:
        directory: the run's directory; None to remember nothing.
        destination: where they go; each place has a journal of its own.
    """

    def __init__(self, directory: Path | None, destination: str) -> None:
        digest = hashlib.sha256(destination.encode()).hexdigest()[:12]
        self._file = None if directory is None else directory / "trackers" / f"wandb-{digest}.jsonl"

    def config(self, config: Mapping[str, Any]) -> None:
        """Note settings."""
        self._append({"config": config})

    def artifact(self, artifact: Artifact) -> None:
        """Note an artifact."""
        self._append({"artifact": {**artifact._asdict(), "path": str(artifact.path)}})

    def read(self) -> tuple[dict[str, Any], list[Artifact]]:
        """The settings, later ones over earlier ones, and the artifacts that still exist."""
        config: dict[str, Any] = {}
        artifacts: dict[str, Artifact] = {}
        for entry in self._entries():
            if isinstance(entry.get("config"), dict):
                config.update(entry["config"])
            elif isinstance(entry.get("artifact"), dict):
                artifact = Artifact(**{**entry["artifact"], "path": Path(entry["artifact"]["path"])})
                artifacts[str(artifact.path)] = artifact
        return config, [artifact for artifact in artifacts.values() if artifact.path.exists()]

    def clear(self) -> None:
        """Forget all of it: it has arrived."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain(entry), allow_nan=False) + "\n")

    def _entries(self) -> list[dict[str, Any]]:
        if self._file is None or not self._file.exists():
            return []
        entries = []
        for line in self._file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the last line of a process that was killed
                continue
            if isinstance(entry, dict):
                entries.append(entry)
        return entries
