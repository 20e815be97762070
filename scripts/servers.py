"""Brings the servers that the tests talk to into a local folder, without installing or starting anything.

A program that is on PATH is used as it is. The others come from Debian packages, downloaded with `apt-get download`
and unpacked with `dpkg -x`: no root, no service, no change to the system's own package lists. (Installing the package
`prometheus` would start a server on all interfaces.) Where this is not possible the reason is printed in one line and
kept for the tests, which skip by name with it; with `CI=true` that is a failure.

Debian's programs read pages and templates below /usr/share, and Alertmanager does not start without them. Their
unpacked copies read a file descriptor instead, which a launcher of two lines opens on the unpacked files.
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
    "docker-compose": ("docker-compose",),
}
"""Debian package to the programs it holds, by Debian's names."""

OTHER_NAMES = {"prometheus-alertmanager": "alertmanager", "prometheus-pushgateway": "pushgateway"}
"""What everybody but Debian calls them."""

FILES = {"prometheus": "/usr/share/prometheus/web", "prometheus-alertmanager": "/usr/share/prometheus/alertmanager"}
"""Programs that read files, and the folder of those that Debian has compiled in."""

_REASON = "why-absent.txt"

_FILES_LAUNCHER = """\
#!/bin/sh
# Debian's program reads its files in {path}; this copy reads them through file descriptor 9.
here=$(dirname "$(readlink -f "$0")")/..
exec "$here/libexec/{program}" "$@" 9<"$here/share/{program}"
"""

# The Python of the system, for it is the one that Debian's modules are built for.
_PYTHON_LAUNCHER = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/..
PYTHONPATH="$here/share/{program}" exec /usr/bin/python3 "$here/libexec/{program}" "$@"
"""

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
    complete = program not in FILES or (folder / "share" / program).is_dir()
    return unpacked if complete and os.access(unpacked, os.X_OK) else None


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
    lacking = [tool for tool in ("apt-get", "apt-cache", "dpkg") if not shutil.which(tool)]
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
        modules = _python_modules(conf, cwd=incoming) if "docker-compose" in packages else []
        no_packages = _failure([*apt, "download", *packages, *modules], cwd=incoming)
        if no_packages:
            raise UnavailableError(f"Debian packages cannot be downloaded: {no_lists or no_packages}")
        for archive in incoming.glob("*.deb"):
            failure = _failure(["dpkg", "-x", str(archive), str(incoming / "root")], cwd=incoming)
            if failure:
                raise UnavailableError(f"{archive.name} cannot be unpacked: {failure}")
        for program in (program for package in packages for program in PACKAGES[package]):
            _put(program, incoming / "root", folder)


def _python_modules(conf: Path, *, cwd: Path) -> list[str]:
    """The packages of the Python modules that docker-compose needs; none where it is a program of its own."""
    without = ["--no-" + kind for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    command = ["apt-cache", "-c", str(conf), "depends", "--recurse", *without, "docker-compose"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return sorted({line for line in done.stdout.splitlines() if line.startswith("python3-")})


def _put(program: str, root: Path, folder: Path) -> None:
    """Move an unpacked program to `folder/bin`, last of all, with what it needs beside it."""
    source, target = root / "usr/bin" / program, folder / "bin" / program
    modules = [*root.glob("usr/lib/python3/dist-packages"), *root.glob("usr/lib/python3.*")]
    launcher = None
    if program in FILES:
        path = FILES[program]
        descriptor = "/proc/self/fd/9".ljust(len(path), "/")  # a text in a program cannot change its length
        source.write_bytes(source.read_bytes().replace(path.encode(), descriptor.encode()))
        launcher = _FILES_LAUNCHER.format(program=program, path=path)
        _beside(program, folder, [root / path.lstrip("/")])
    elif modules and source.read_bytes().startswith(b"#!"):
        launcher = _PYTHON_LAUNCHER.format(program=program)
        _beside(program, folder, modules)
    if launcher is not None:
        (folder / "libexec").mkdir(exist_ok=True)
        source.replace(folder / "libexec" / program)
        source = root / "launcher"
        source.write_text(launcher, encoding="utf-8")
        source.chmod(0o755)
    source.replace(target)


def _beside(program: str, folder: Path, sources: list[Path]) -> None:
    share = folder / "share" / program
    shutil.rmtree(share, ignore_errors=True)
    for source in sources:
        shutil.copytree(source, share, dirs_exist_ok=True, symlinks=True)
    if (share / "distutils").is_dir():  # Debian splits this package of the standard library in two
        (share / "distutils/__init__.py").touch()


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
    version = words[words.index("version") + 1].rstrip(",") if "version" in words[:-1] else first_line
    return f"{version:<16} {program}"


if __name__ == "__main__":
    sys.exit(main())
