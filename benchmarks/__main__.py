"""Runs the benchmarks, each in a process of its own: `python -m benchmarks [part of a name]`.

A benchmark is a module `bench_NAME.py` here with a function `main()`. Its own process keeps what one of them imports,
allocates or starts away from the numbers of the next.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_CHILD = "--in-this-process"


def names(part: str = "") -> list[str]:
    """List the benchmarks whose name contains `part`, without the prefix `bench_`."""
    every = sorted(path.stem.removeprefix("bench_") for path in _FOLDER.glob("bench_*.py"))
    return [name for name in every if part in name]


def main(arguments: list[str]) -> int:
    """Run the chosen benchmarks one after the other; the exit status says whether one of them failed."""
    if arguments[:1] == [_CHILD]:
        result: int | None = importlib.import_module(f"benchmarks.bench_{arguments[1]}").main()
        return result or 0
    part = arguments[0] if arguments else ""
    chosen = names(part)
    if not chosen:
        print(f"no benchmark is called {part!r}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    for name in chosen:
        print(f"== {name}", flush=True)
        child = [sys.executable, "-m", "benchmarks", _CHILD, name]
        if subprocess.run(child, cwd=_FOLDER.parent, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
