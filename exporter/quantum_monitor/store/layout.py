"""Where a run lives: folder names that are safe whatever an experiment or a run is called."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

DATABASE = "records.db"
DESCRIPTION = "run.json"
ARTIFACTS = "artifacts"

_LONGEST_SLUG = 80
_NOT_READABLE = re.compile(r"[^A-Za-z0-9._]+")
_LOOKS_HASHED = re.compile(r"-[0-9a-f]{12}\Z")
_RESERVED_BY_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?\Z", re.IGNORECASE)
_FOLDS_CASE = sys.platform in {"darwin", "win32"}


def safe_name(name: str) -> str:
    """A folder name for any text: the text itself where that is safe, else a readable part and a hash.

    Two different names never give the same folder: whatever had to be changed carries twelve hex digits of its
    SHA-256, and so does a harmless name that ends as if it carried them. Where file systems commonly ignore case
    (macOS, Windows) a name with capitals counts as changed.

    Example:
        >>> safe_name("h2_vqe")
        'h2_vqe'
        >>> safe_name("../etc")
        'etc-88cacc03fb1c'
    """
    slug = _NOT_READABLE.sub("-", name)[:_LONGEST_SLUG].strip(".-")
    unchanged = slug == name and slug and not _LOOKS_HASHED.search(slug) and not _RESERVED_BY_WINDOWS.match(slug)
    if unchanged and not (_FOLDS_CASE and slug != slug.lower()):
        return slug
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    if _RESERVED_BY_WINDOWS.match(slug):
        slug = f"_{slug}"
    return f"{slug or 'unnamed'}-{digest}"


def run_directory(storage: str | Path, experiment: str, run_id: str) -> Path:
    """The directory of a run: ``STORAGE/EXPERIMENT/RUN_ID``, always exactly two levels below the storage folder.

    Args:
        storage: the storage folder; taken as it is.
        experiment: the experiment's name, any text; the true name stands in ``run.json``.
        run_id: the run's id, any text.
    """
    return Path(storage) / safe_name(experiment) / safe_name(run_id)


def is_run(directory: Path) -> bool:
    """Whether a directory is a run of ours: a real folder with a real ``run.json`` and ``records.db``."""
    files = (directory / DESCRIPTION, directory / DATABASE)
    return not directory.is_symlink() and all(file.is_file() and not file.is_symlink() for file in files)


def find_runs(path: str | Path) -> list[Path]:
    """All run directories at or below a storage folder, an experiment folder or a run directory.

    Symbolic links below ``path`` are not followed, hidden folders are left out. A folder that does not exist holds
    no runs.

    Returns:
        The run directories, the earliest start first.
    """
    top = Path(path).resolve()
    if is_run(top):
        return [top]
    found: list[Path] = []
    for folder in _folders(top):
        if is_run(folder):
            found.append(folder)
        else:
            found.extend(run for run in _folders(folder) if is_run(run))
    return sorted(found, key=lambda run: (start_time(run), run.name))


def start_time(run: Path) -> float:
    """When a run started, in Unix seconds: from its ``run.json``, else the age of that file, else 0."""
    file = run / DESCRIPTION
    try:
        started = json.loads(file.read_text(encoding="utf-8"))["start_time"]
        return float(started)
    except (OSError, ValueError, KeyError, TypeError):
        return file.stat().st_mtime if file.exists() else 0.0


def _folders(parent: Path) -> list[Path]:
    try:
        children = list(parent.iterdir())
    except OSError:
        return []
    return [child for child in children if not child.name.startswith(".") and not child.is_symlink() and child.is_dir()]
