"""Where MLflow keeps its runs: the tracking URI, in full and without secrets; MLflow itself is not imported."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

_SQLITE_BY_DEFAULT_SINCE = (3, 7)
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST_SECRET = 4
MEND = "write http://USER:PASSWORD@HOST, each of @ : / ? # [ ] in the password as its percent code, such as %40 for @"
_WITHOUT_SCHEME = frozenset({"databricks", "databricks-uc", "uc"})
_USERINFO = re.compile(r"(?<=://)[^/?#\s'\"]*@")
_RELATIVE_SQLITE = re.compile(r"(sqlite(?:\+\w+)?):///(?!/|:|file:)(.+)\Z")
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(/[^?]+)")


def resolved(given: str | None = None) -> str:
    """The tracking URI: as given, else ``MLFLOW_TRACKING_URI``, else what MLflow would take in this working folder.

    Local paths become absolute, for another process may have another working folder.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or _default()
    if match := _RELATIVE_SQLITE.match(uri):
        return f"{match[1]}:///{Path(match[2]).absolute()}"
    if uri.startswith("file:") and not uri.startswith("file:/"):
        uri = uri.removeprefix("file:")
    if ":" in uri.split("/")[0] or uri in _WITHOUT_SCHEME:
        return uri
    return Path(uri).absolute().as_uri()


def public(uri: str) -> str:
    """A URI without user, password, query and fragment; empty where these cannot be told from the rest.

    An ``@`` after the host may be that of a password with a slash in it, and one without a host that of a URI whose
    scheme was forgotten. In the path of a local file it is a letter like others.
    """
    try:
        parts = urlsplit(uri)
        _ = parts.port  # no number where a slash in a password passes for the end of the host
    except ValueError:
        return ""
    local = parts.scheme.startswith(("sqlite", "file")) and not parts.netloc
    if not local and any("@" in part for part in (parts.path, parts.query, parts.fragment)):
        return ""
    cut = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return f"{parts.scheme}://{parts.path}" if uri.startswith("sqlite") and not parts.netloc else cut


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Keep other processes of ours from a database file, in which MLflow may be about to create its tables.

    Two that do so at once hinder each other, and leave half of it to whoever comes next. The lock is on the file's
    folder, so that none is left behind; where it cannot be had, nobody waits.
    """
    folder: int | None = None
    if match := _SQLITE.match(uri):
        with suppress(OSError):
            folder = os.open(Path(match[1]).parent, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if folder is not None:
            os.close(folder)


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Where a person finds a run; empty where no server shows it."""
    if not uri.startswith(("http://", "https://")):
        return ""
    return f"{public(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def scrubbed(text: str, uri: str) -> str:
    """A text, such as an error's, without what it may say of passwords and tokens."""
    text = _USERINFO.sub("", text.replace(uri, public(uri)))
    secrets = [os.environ.get(name, "") for name in _SECRETS]
    with suppress(ValueError):
        parts = urlsplit(uri)
        secrets += [parts.query, parts.password or "", unquote(parts.password or "")]
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def _default() -> str:
    """MLflow's own default: a folder with runs of old if there is one, else a database."""
    folders = Path("mlruns")
    try:
        old_runs = any((folder / "meta.yaml").exists() for folder in folders.iterdir() if folder.name.isdigit())
    except OSError:
        old_runs = False
    return str(folders) if old_runs or not _sqlite_by_default() else "sqlite:///mlflow.db"


def _sqlite_by_default() -> bool:
    for package in ("mlflow", "mlflow-skinny"):
        try:
            version = re.match(r"(\d+)\.(\d+)", metadata.version(package))
        except metadata.PackageNotFoundError:
            continue
        return version is None or (int(version[1]), int(version[2])) >= _SQLITE_BY_DEFAULT_SINCE
    return True
