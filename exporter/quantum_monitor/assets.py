"""The files that go with the package: dashboards, rules, routing, the compose stack, runbooks.

They stand at the top of the checkout; a wheel carries them in ``quantum_monitor/_assets``.
"""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

GRAFANA_URL = "http://localhost:3000"
"""Where rules, messages and dashboards look for Grafana unless told otherwise."""
DOCS_URL = "https://github.com/quantum-monitor/quantum-monitor/blob/main/docs"
"""Where the pages are that are not written along."""
RUNBOOK_URL = f"{DOCS_URL}/runbooks"
"""The folder of the runbook pages that alerts link to unless told otherwise."""

PATHS = (
    "alertmanager/alertmanager.local.yml",
    "alertmanager/alertmanager.yml",
    "alertmanager/rules",
    "alertmanager/secrets.example",
    "alertmanager/templates",
    "dashboards/json",
    "dashboards/provisioning",
    "dashboards/secrets.example",
    "docker-compose.yml",
    "docs/runbooks",
    "prometheus/prometheus.yml",
    "targets/.gitignore",
)
"""Files and folders, relative to ``root()``. pyproject.toml puts the same ones into the wheel."""

_KNOWN_BY = "prometheus/prometheus.yml"
# Nothing that YAML, a Go template, HTML or JSON would read as more than a part of a text.
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/(?:[A-Za-z0-9._~+/-]|%[0-9A-Fa-f]{2})*)?")
# "](../usage.md" in a runbook, "docs/stack.md" in a comment: pages of the project.
_PAGE = re.compile(r"(?:(?<=\]\()\.\./|(?<![\w/.-])docs/)(?=[a-z_]+\.md\b)")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_COMPOSE_HEAD = f"""\
# Prometheus, Alertmanager, Grafana, Pushgateway and Mailpit, on this machine's loopback only. Once, in this folder:
#
#   mkdir -m 700 alertmanager/secrets dashboards/secrets
#   install -m 644 alertmanager/secrets.example/* alertmanager/secrets/
#   install -m 644 dashboards/secrets.example/* dashboards/secrets/    and write a password of your own into it
#
# Then `docker compose up --detach` starts everything, and `docker compose down` stops it; volumes with its data stay.
# Grafana is {GRAFANA_URL}. Training processes outside of the containers, where data lives, real Slack and e-mail,
# upgrading: docs/stack.md
"""


class AssetsError(Exception):
    """The files are not here, or cannot be written as asked; the text says why and what mends it."""


@dataclass(frozen=True)
class Written:
    """What ``write`` did.

    Attributes:
        written: the files that are new or were replaced.
        unchanged: those that already said the same.
    """

    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]


def root() -> Path:
    """The folder that holds ``PATHS``.

    Raises:
        AssetsError: they were not installed with the package.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_assets", package.parent.parent):
        if (folder / _KNOWN_BY).is_file():
            return folder
    raise AssetsError(f"{package} was installed without its dashboards and rules; install quantum-monitor again")


def texts(*, grafana_url: str = GRAFANA_URL, runbook_url: str = RUNBOOK_URL) -> dict[str, str]:
    """Every file by its path below ``root()``, with the addresses that its links begin with.

    The compose file comes without the demo trainer, whose image is built from a checkout, and with a head that says
    how to start it elsewhere. Links to pages that are not among the files lead to those of the project.

    Args:
        grafana_url: where people open Grafana, http or https.
        runbook_url: the folder of the runbook pages, http or https.

    Raises:
        AssetsError: an address that cannot be used, or files that are missing.
    """
    bases = {
        GRAFANA_URL: checked_url("--grafana-url", grafana_url),
        RUNBOOK_URL: checked_url("--runbook-url", runbook_url),
    }
    found = {name: path.read_text(encoding="utf-8") for name, path in _files(root())}
    found["docker-compose.yml"] = _for_no_checkout(found["docker-compose.yml"])
    return {name: _rebased(_PAGE.sub(f"{DOCS_URL}/", text), bases) for name, text in found.items()}


def write(directory: Path, contents: Mapping[str, str], *, force: bool = False) -> Written:
    """Write files into a folder: all of them, or none.

    Every file is first written beside its place, and they take their places when all of them are there. What is left to
    go wrong between the first and the last of these renamings leaves some of them, and the error counts them.

    Args:
        directory: made if it does not exist.
        contents: path below it to text, as from ``texts()``.
        force: replace files that say something else.

    Raises:
        AssetsError: files say something else, and ``force`` is not given, or a file cannot be written; names them.
    """
    present = {name: _present(directory / name) for name in contents}
    changed = [name for name, text in contents.items() if present[name] not in (None, text.encode())]
    if changed and not force:
        first = f"nothing was written: {len(changed)} files in {directory} say something else; look at them, then give"
        raise AssetsError("\n".join([f"{first} --force or another folder", *(f"  {name}" for name in changed)]))
    new = {directory / name: text.encode() for name, text in contents.items() if present[name] != text.encode()}
    _put(new)
    return Written(tuple(new), tuple(path for path in map(directory.joinpath, contents) if path not in new))


def checked_url(option: str, url: str) -> str:
    """The address without a slash at its end.

    Raises:
        AssetsError: it is not http or https, or holds more than a host, a port and a plain path.
    """
    try:
        parts = urlsplit(url)
        usable = bool(_URL.fullmatch(url) and parts.hostname and parts.port != 0)
    except ValueError:  # a port out of range, half an IPv6 address
        usable = False
    if not usable:
        raise AssetsError(f"{option}: {url!r} cannot be used; give an address such as https://grafana.example.org/base")
    return url.rstrip("/")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for name in PATHS:
        path = folder / name
        if path.is_file():
            yield name, path
        elif path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
            yield from ((file.relative_to(folder).as_posix(), file) for file in inside)
        else:
            raise AssetsError(f"{path} is missing; install quantum-monitor again")


def _rebased(text: str, bases: Mapping[str, str]) -> str:
    for old, new in bases.items():
        # The look-ahead: http://localhost:30000 is another place. The new address has no backslash to expand.
        text = re.sub(re.escape(old) + r"(?!\.?[0-9A-Za-z_-])", new, text)
    return text


def _for_no_checkout(compose: str) -> str:
    """The compose file without the demo, by its lines, so that its comments stay; its head says how to start it."""
    _, _, body = compose.partition("\n\n")
    kept, inside = [], False
    for line in body.splitlines(keepends=True):
        if re.match(r" {0,2}\S", line):
            inside = line.rstrip() == "  trainer:"
        if not inside:
            kept.append(line)
    return "".join([_COMPOSE_HEAD, "\n", *kept])


def _present(path: Path) -> bytes | None:
    """What a file says; None if there is none, and nothing in its way.

    Raises:
        AssetsError: something else is in its way, or it cannot be read.
    """
    with _told(path):
        _check_way(path)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b"" if path.is_symlink() else None  # a link that leads nowhere is not ours to replace unasked


def _check_way(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise AssetsError(f"nothing was written: {path} is to be a file; move what is there, or give another folder")
    for folder in path.parents:
        if folder.is_dir():
            return
        if folder.exists() or folder.is_symlink():
            what = "a link that leads to no folder" if folder.is_symlink() else "no folder"
            raise AssetsError(f"nothing was written: {folder} is {what}; move it away, or give another folder")


def _put(files: Mapping[Path, bytes]) -> None:
    with contextlib.ExitStack() as undo:
        staged = {path: _staged(path, content, undo) for path, content in files.items()}
        for number, (path, temporary) in enumerate(staged.items()):
            with _told(path, done=f"{number} of {len(files)} files were written" if number else "nothing was written"):
                temporary.replace(path)
        undo.pop_all()


def _staged(path: Path, content: bytes, undo: contextlib.ExitStack) -> Path:
    """Write a file beside its place. Everybody may read it: servers in containers have users of their own."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with _told(path):
        for folder in reversed([folder for folder in path.parents if not folder.exists()]):
            folder.mkdir()
            undo.callback(_remove_empty, folder)
            folder.chmod(0o755)
        undo.callback(temporary.unlink, missing_ok=True)
        temporary.write_bytes(content)
        temporary.chmod(0o644)
    return temporary


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # files have taken their places in it
        folder.rmdir()


@contextlib.contextmanager
def _told(path: Path, *, done: str = "nothing was written") -> Iterator[None]:
    """Say of which file a failure is, what mends it, and what was written."""
    try:
        yield
    except OSError as error:
        room = error.errno in _NO_ROOM
        mend = "make room there, or give another folder" if room else "give a folder that you may write to"
        raise AssetsError(f"{done}: {path}: {error.strerror or error}; {mend}") from error
