"""The files that go with the package: dashboards, rules, routing, the compose stack, runbooks.

They stand at the top of the checkout; a wheel carries them in ``quantum_monitor/_assets``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

GRAFANA_URL = "http://localhost:3000"
"""Where rules, messages and dashboards look for Grafana unless told otherwise."""
RUNBOOK_URL = "https://github.com/quantum-monitor/quantum-monitor/blob/main/docs/runbooks"
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
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%+/-]*)?")


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

    The compose file comes without the demo trainer, whose image is built from a checkout.

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
    found = {name: _rebased(path.read_text(encoding="utf-8"), bases) for name, path in _files(root())}
    found["docker-compose.yml"] = _without_service(found["docker-compose.yml"], "trainer")
    return found


def write(directory: Path, contents: Mapping[str, str], *, force: bool = False) -> Written:
    """Write files into a folder; all or, where one of them would be lost, none.

    Args:
        directory: made if it does not exist.
        contents: path below it to text, as from ``texts()``.
        force: replace files that say something else.

    Raises:
        AssetsError: files say something else, and ``force`` is not given; names them.
        OSError: a file or folder cannot be written.
    """
    present = {name: _present(directory / name) for name in contents}
    changed = [name for name, text in contents.items() if present[name] not in (None, text.encode())]
    if changed and not force:
        first = f"nothing was written: {len(changed)} files in {directory} say something else; look at them, then give"
        raise AssetsError("\n".join([f"{first} --force or another folder", *(f"  {name}" for name in changed)]))
    written, unchanged = [], []
    for name, text in contents.items():
        if present[name] == text.encode():
            unchanged.append(directory / name)
        else:
            _replace(directory / name, text.encode())
            written.append(directory / name)
    return Written(tuple(written), tuple(unchanged))


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


def _without_service(compose: str, service: str) -> str:
    """The compose file without one service: by its lines, so that its comments stay."""
    kept, inside = [], False
    for line in compose.splitlines(keepends=True):
        if re.match(r" {0,2}\S", line):
            inside = line.rstrip() == f"  {service}:"
        if not inside:
            kept.append(line)
    return "".join(kept)


def _present(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step. Everybody may read it: servers in containers have users of their own."""
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
