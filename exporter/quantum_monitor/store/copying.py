"""Copies of files and folders that a person names, whatever they turn out to be: links, pipes, far too much."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from quantum_monitor.store.layout import safe_name

FILE_LIMIT = 10 * 2**30
"""Bytes that a file may have, and all files of a folder together."""
FOLDER_LIMIT = 10_000
"""Files that a folder may hold."""

_DEEPEST = 50
_AT_ONCE = 64 * 2**20
_BLOCK = 2**20
_SUFFIX = re.compile(r"\.[a-z0-9]{1,16}\Z")
_TROUBLESOME = re.compile(r'[\\/:*?"<>|]')
_LONGEST_NAME = 200
_TOO_LARGE = "{size:,} bytes are more than the {limit:,} that may be copied: log a part of it"


class Copied(NamedTuple):
    """What became of a folder's content.

    Attributes:
        files: how many files were copied.
        size: their bytes.
        skipped: what was not, each with the reason.
    """

    files: int
    size: int
    skipped: list[str]


def open_regular(path: str | Path, *, follow: bool = True) -> int:
    """A descriptor of a regular file, to be read; never waits for the other end of a pipe.

    Raises:
        ValueError: it is something else: a folder, a pipe, a device, a socket; or a link, where those do not count.
        OSError: it is not there, or may not be read.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    _check_regular(path, Path(path).stat(follow_symlinks=follow))  # even opening a device may do something
    descriptor = os.open(path, flags)
    try:
        _check_regular(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(path: str | Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFLNK: "link"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "device")
        raise ValueError(f"{path} is a {kind}, not a file")


def file_name(name: str) -> str:
    """A file name for any text, like `safe_name`, that keeps a plain ending such as ``.png``."""
    suffix = _SUFFIX.search(name)
    if suffix is None:
        return safe_name(name)
    return safe_name(name[: suffix.start()]) + suffix[0]


def copy_file(source: int, target: Path, *, limit: int = FILE_LIMIT) -> int:
    """Copy an open file from its beginning into a new one.

    Returns:
        The number of bytes.

    Raises:
        ValueError: it has more than ``limit`` bytes.
        OSError: the disk refuses.
    """
    _check_room(target.parent, os.fstat(source).st_size, limit)
    descriptor = _create(target, os.fstat(source).st_mode)
    try:
        size = _copy_in_the_kernel(source, descriptor, limit)
        os.lseek(source, size, os.SEEK_SET)
        while block := os.read(source, _BLOCK):  # what the kernel did not copy: mostly nothing
            size += len(block)
            if size > limit:
                raise ValueError(_TOO_LARGE.format(size=size, limit=limit))
            _write(descriptor, block)
    finally:
        os.close(descriptor)
    return size


def write_file(data: bytes, target: Path, mode: int) -> None:
    """Write a new file that nobody may read who could not read one of that mode.

    Raises:
        OSError: the disk refuses.
    """
    _check_room(target.parent, len(data), FILE_LIMIT)
    descriptor = _create(target, mode)
    try:
        _write(descriptor, data)
    finally:
        os.close(descriptor)


def _create(target: Path, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.open(target, flags, 0o400 | (0o666 & mode))  # the copy is ours, and ours to read


def _check_room(folder: Path, size: int, limit: int) -> None:
    """Refuse a copy that cannot succeed before it fills a disk that the training needs as well."""
    if size > limit:
        raise ValueError(_TOO_LARGE.format(size=size, limit=limit))
    if size and size >= shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, f"{size:,} bytes do not fit on the disk of {folder}")


def _copy_in_the_kernel(source: int, target: int, limit: int) -> int:
    size = 0
    if hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):  # another file system, an old kernel; a full disk, which writing will tell
            while copied := os.copy_file_range(source, target, min(_AT_ONCE, limit - size), size):
                size += copied
    return size


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def copy_folder(source: Path, target: Path, *, without: Sequence[Path], limit: int = FILE_LIMIT) -> Copied:
    """Copy a folder's files into an existing folder.

    Links are not followed, except those to files inside the folder; pipes, devices and the like are left out. Names
    stay as they are, as pages and checkpoints refer to them, except those that no other system would take. What
    vanishes meanwhile is left out, too.

    Args:
        source: the folder.
        target: an empty folder.
        without: folders that are left out wherever they come up, such as the one where the copy goes.
        limit: the bytes that all files together may have.

    Raises:
        ValueError: there are more files or more bytes than the limits allow.
        OSError: the folder cannot be read, or the disk refuses.
    """
    skipped: list[str] = []
    files: list[Path] = []
    for relative in _files(source, without, skipped):
        files.append(relative)
        if len(files) > FOLDER_LIMIT:
            raise ValueError(f"{source} holds more than {FOLDER_LIMIT:,} files: log a part of it, or one archive")
    _check_room(target, sum(_size(source / relative) for relative in files), limit)
    copied = size = 0
    for relative in files:
        goal = _folder_in(target, relative.parts[:-1]) / _kept(relative.name)
        try:
            descriptor = open_regular(source / relative)
        except (OSError, ValueError) as error:  # gone by now, or not ours to read
            skipped.append(f"{relative}: {error}")
            continue
        try:
            size += copy_file(descriptor, goal, limit=limit - size)
        finally:
            os.close(descriptor)
        copied += 1
    return Copied(copied, size, skipped)


def _folder_in(top: Path, parts: Sequence[str]) -> Path:
    """Make folders, but never the one at the top, which is gone when all this is given up."""
    for part in parts:
        top /= _kept(part)
        top.mkdir(exist_ok=True)
    return top


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # gone by now
        return 0


def _files(top: Path, without: Sequence[Path], skipped: list[str]) -> Iterator[Path]:
    inside = top.resolve()
    folders = [Path()]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(top / folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:  # gone by now, or not ours to read
            if folder == Path():
                raise
            skipped.append(f"{folder}: {error}")
            continue
        for entry in entries:
            relative = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                if any(_is_same(Path(entry.path), left_out) for left_out in without):
                    continue
                if len(relative.parts) < _DEEPEST:
                    folders.append(relative)
                else:
                    skipped.append(f"{relative}: more than {_DEEPEST} folders deep")
            elif entry.is_file(follow_symlinks=False) or _links_inside(entry, inside):
                yield relative
            else:
                skipped.append(f"{relative}: a link that leads out of the folder, or no file")


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:  # gone by now
        return False


def _links_inside(entry: os.DirEntry[str], top: Path) -> bool:
    if not entry.is_symlink():
        return False
    try:
        return entry.is_file() and Path(entry.path).resolve().is_relative_to(top)
    except OSError:
        return False


def _kept(name: str) -> str:
    """A name from a file system, as every other one takes it."""
    if name.isprintable() and len(name) <= _LONGEST_NAME and not _TROUBLESOME.search(name):
        return name
    return file_name(name)
