"""What git knows of a folder, read from git's own files: no program is run, and no address of a remote is looked at."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from quantum_monitor.store.copying import open_regular

_FOLDERS_UP = 64
_REFERENCES_FOLLOWED = 5
_LONGEST_FILE = 4096
_LONGEST_LIST = 16 * 2**20
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REFERENCE = re.compile(r"refs/(?!.*(?:\.\.|//))[^\x00-\x20\x7f~^:?*\[\\]{1,500}")
_BRANCHES = "refs/heads/"


class Checkout(NamedTuple):
    """What is checked out.

    Attributes:
        top: the folder that holds ``.git``.
        commit: the commit, 40 or 64 hex digits; empty before the first, or where git's files are not understood.
        branch: the branch; empty if there is none (a detached HEAD).
    """

    top: Path
    commit: str
    branch: str


def checkout(folder: Path) -> Checkout | None:
    """The checkout that a folder belongs to; None if it belongs to none, or git's files cannot be read."""
    try:
        top = _top(folder.resolve())
        return None if top is None else _read(top)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
        return None


def _top(folder: Path) -> Path | None:
    """The nearest folder with a ``.git``, on the same file system: another may be a server that does not answer."""
    device = folder.stat().st_dev
    for candidate in (folder, *folder.parents)[:_FOLDERS_UP]:
        if candidate.stat().st_dev != device:
            return None
        if (candidate / ".git").exists():
            return candidate
    return None


def _read(top: Path) -> Checkout | None:
    git = top / ".git"
    if not git.is_dir():  # of a worktree or a submodule: a file that says where
        pointer = _text(git).strip()
        if not pointer.startswith("gitdir: "):
            return None
        git = top / pointer.removeprefix("gitdir: ")
    common = git
    if (git / "commondir").exists():
        common = git / _text(git / "commondir").strip()
    head = _text(git / "HEAD").strip()
    reference = head.removeprefix("ref: ") if head.startswith("ref: ") else ""
    branch = reference.removeprefix(_BRANCHES) if reference.startswith(_BRANCHES) else ""
    if branch == ".invalid":  # what stands there where references are kept in tables
        return Checkout(top, "", "")
    return Checkout(top, _commit(head, common), branch if _REFERENCE.fullmatch(reference) else "")


def _commit(value: str, common: Path) -> str:
    for _ in range(_REFERENCES_FOLLOWED):
        if _COMMIT.fullmatch(value):
            return value
        reference = value.removeprefix("ref: ")
        if not _REFERENCE.fullmatch(reference):
            return ""
        value = _loose(common / reference) or _packed(common / "packed-refs", reference)
    return ""


def _loose(file: Path) -> str:
    try:
        return _text(file).strip()
    except (OSError, ValueError):
        return ""


def _packed(file: Path, reference: str) -> str:
    """The commit of a reference in git's list of them, which may have hundreds of thousands: bytes, never decoded."""
    ending = f" {reference}\n".encode()
    try:
        listed = _content(file, _LONGEST_LIST)
    except (OSError, ValueError):
        return ""
    end = listed.find(ending)
    return listed[listed.rfind(b"\n", 0, end) + 1 : end].decode("utf-8", "replace") if end >= 0 else ""


def _text(file: Path) -> str:
    return _content(file, _LONGEST_FILE).decode("utf-8", "replace")


def _content(file: Path, longest: int) -> bytes:
    with os.fdopen(open_regular(file), "rb") as stream:
        return stream.read(longest)
