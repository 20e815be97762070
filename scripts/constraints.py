"""Writes constraints.txt: the versions that `.[demo,dev]` resolves to today, by name and version only.

    python scripts/constraints.py python3.10 python3.11

Two interpreters, because many packages no longer publish for Python 3.10: a version that only one of them gets
carries a marker. Everything newer than the second interpreter uses the second one's versions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "constraints.txt"

_HEADER = """\
# Versions that the demo, the tests and the checks are run with; `make constraints` renews this file.
# People who install quantum-monitor as a library are bound by the ranges in pyproject.toml, not by this.
"""


def resolve(python: str) -> dict[str, str]:
    """Ask pip of a fresh environment of that interpreter what it would install; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([python, "-m", "venv", f"{folder}/venv"], check=True)
        pip = [f"{folder}/venv/bin/python", "-m", "pip", "--disable-pip-version-check"]
        wanted = ["--quiet", "--dry-run", "--ignore-installed", "--report", str(report), ".[demo,dev]"]
        subprocess.run([*pip, "install", *wanted], cwd=ROOT, check=True)
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in installed}
    del versions["quantum-monitor"]
    return versions


def lines(old: dict[str, str], new: dict[str, str], border: str) -> list[str]:
    """Merge two resolutions; `border` is the first Python version (`3.11`) that takes the new one."""
    merged = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            merged.append(f"{name}=={new[name]}")
            continue
        if name in old:
            merged.append(f'{name}=={old[name]} ; python_version < "{border}"')
        if name in new:
            merged.append(f'{name}=={new[name]} ; python_version >= "{border}"')
    return merged


def main() -> None:
    """Resolve for both interpreters and write the file."""
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/constraints.py OLDEST_PYTHON NEXT_PYTHON, as in python3.10 python3.11")
    oldest, following = sys.argv[1:]
    version = "import sys; print('{}.{}'.format(*sys.version_info))"
    border = subprocess.run([following, "-c", version], check=True, capture_output=True, text=True).stdout.strip()
    pins = lines(resolve(oldest), resolve(following), border)
    TARGET.write_text(_HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {len(pins)} pins")


if __name__ == "__main__":
    main()
