"""Brings the servers that the tests talk to into a local folder, without installing or starting anything.

A program that is on PATH is used as it is. The others come from Debian packages, downloaded with `apt-get download`
and unpacked with `dpkg -x`: no root, no service, no change to the system's own package lists. (Installing the package
`prometheus` would start a server on all interfaces.) Where this is not possible the reason is printed in one line and
kept for the tests, which skip by name with it; with `CI=true` that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".servers"
"""Where programs are unpacked to: `bin/` inside of it."""

PACKAGES = {
    "prometheus": ("prometheus", "promtool"),
    "prometheus-alertmanager": ("prometheus-alertmanager", "amtool"),
    "prometheus-pushgateway": ("prometheus-pushgateway",),
}
"""Debian package to the programs it holds, by Debian's names."""

OTHER_NAMES = {"prometheus-alertmanager": "alertmanager", "prometheus-pushgateway": "pushgateway"}
"""What everybody but Debian calls them."""

_REASON = "why-absent.txt"

# Own lists and cache, and none of the system's hooks: those clean up or notify as if the system had been updated.
_APT_CONF = """\
#clear APT::Update;
#clear DPkg;
Dir::State::Lists "{folder}/lists";
Dir::Cache "{folder}/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""


class UnavailableError(Exception):
    """The servers cannot be brought here; the text says why, in one line."""


def find(program: str, folder: Path = FOLDER) -> Path | None:
    """Find a server program by its Debian name: on PATH under either name, or unpacked in `folder`."""
    names = (program, OTHER_NAMES.get(program, program))
    on_path = next((path for path in map(shutil.which, names) if path), None)
    if on_path:
        return Path(on_path)
    unpacked = folder / "bin" / program
    return unpacked if os.access(unpacked, os.X_OK) else None


def why_absent(folder: Path = FOLDER) -> str:
    """Say why a program is missing, as the last attempt found it."""
    reason = folder / _REASON
    return reason.read_text(encoding="utf-8").strip() if reason.exists() else "`make servers` brings it"


def main(folder: Path = FOLDER) -> int:
    """Bring what is missing, say where each program is, and return the exit status."""
    programs = [program for held in PACKAGES.values() for program in held]
    missing = [name for name, held in PACKAGES.items() if not all(find(program, folder) for program in held)]
    try:
        if missing:
            _unpack(missing, folder)
        for program in programs:
            print(f"{program:<24} {_version(find(program, folder))}")
    except UnavailableError as error:
        folder.mkdir(exist_ok=True)
        (folder / _REASON).write_text(f"{error}\n", encoding="utf-8")
        skipped = f"; tests that need {', '.join(missing)} are skipped" if missing else ""
        print(f"servers: {error}{skipped}", file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    (folder / _REASON).unlink(missing_ok=True)
    return 0


def _unpack(packages: list[str], folder: Path) -> None:
    """Download the packages and move their programs to `folder/bin`, each in one step."""
    lacking = [tool for tool in ("apt-get", "dpkg") if not shutil.which(tool)]
    if lacking:
        raise UnavailableError(f"no {' and no '.join(lacking)} here, so no Debian packages; put the servers on PATH")
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    print(f"servers: downloading {', '.join(packages)} into {folder.name}/ (once; nothing is installed or started)")
    with tempfile.TemporaryDirectory(dir=folder, prefix="incoming-") as name:
        incoming = Path(name)
        for part in ("lists/partial", "cache/archives/partial", "root"):
            (incoming / part).mkdir(parents=True)
        conf = incoming / "apt.conf"
        conf.write_text(_APT_CONF.format(folder=incoming), encoding="utf-8")
        apt = ["apt-get", "-c", str(conf), "-q"]
        # A third-party source that does not answer makes an update fail, so the download decides, not the update.
        no_lists = _failure([*apt, "update"], cwd=incoming)
        no_packages = _failure([*apt, "download", *packages], cwd=incoming)
        if no_packages:
            raise UnavailableError(f"Debian packages cannot be downloaded: {no_lists or no_packages}")
        for archive in incoming.glob("*.deb"):
            failure = _failure(["dpkg", "-x", str(archive), str(incoming / "root")], cwd=incoming)
            if failure:
                raise UnavailableError(f"{archive.name} cannot be unpacked: {failure}")
        for program in (program for package in packages for program in PACKAGES[package]):
            (incoming / "root/usr/bin" / program).replace(folder / "bin" / program)


def _failure(command: list[str], *, cwd: Path) -> str:
    """Run a command; return an empty text, or its last line where it failed."""
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} took more than 300 s"
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")] or lines or ["it gave no message"]
    # apt-get update calls a source that cannot be reached a warning, and ends well.
    unreached = [line for line in lines if line.startswith("W: Failed to fetch")]
    if done.returncode:
        return errors[-1]
    return unreached[-1] if unreached else ""


def _version(program: Path | None) -> str:
    """Run a program for its version, so that one that cannot run here is found now and not in a test."""
    if program is None:
        raise UnavailableError("the Debian packages lack a program that they are known for")
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{program} does not run here: {error}") from error
    first_line = (done.stdout or done.stderr).splitlines()[0]
    words = first_line.split()
    version = words[words.index("version") + 1] if "version" in words[:-1] else first_line
    return f"{version:<16} {program}"


if __name__ == "__main__":
    sys.exit(main())
