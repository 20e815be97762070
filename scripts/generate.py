"""Writes the files that are generated from the code, or says with `--check` which of them are out of step."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from quantum_monitor.alerts import documentation
from quantum_monitor.prometheus import catalog
from quantum_monitor.stack import configuration

ROOT = Path(__file__).resolve().parent.parent

GENERATED: dict[str, Callable[[], str]] = {
    "docs/metrics.md": catalog.markdown,
    "docs/alerts.md": documentation.markdown,
    "alertmanager/alertmanager.local.yml": configuration.with_mailpit,
}
"""File to the function that returns its text."""


def main() -> int:
    """Write what changed, or compare only; the exit status is 1 where `--check` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args().check
    stale = [name for name, text in GENERATED.items() if _refresh(ROOT / name, text(), write=not check)]
    if check and stale:
        print(f"out of step with the code: {', '.join(stale)}; `make generate` mends that", file=sys.stderr)
        return 1
    return 0


def _refresh(path: Path, text: str, *, write: bool) -> bool:
    """Bring one file up to date, or show how it differs; return whether it differed."""
    present = path.read_text(encoding="utf-8") if path.exists() else ""
    if present == text:
        return False
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    else:
        name = str(path.relative_to(ROOT))
        sys.stderr.writelines(
            difflib.unified_diff(
                present.splitlines(keepends=True), text.splitlines(keepends=True), name, f"{name} (generated)"
            )
        )
    return True


if __name__ == "__main__":
    sys.exit(main())
