"""The page at the root of the endpoint, for a person who opens it in a browser."""

from __future__ import annotations

import html
from collections.abc import Mapping

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>quantum-monitor</title>
<style>
body {{ font: 1rem/1.5 sans-serif; margin: 2rem auto; max-width: 48rem; padding: 0 1rem }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem 2rem .2rem 0; border-bottom: 1px solid #8886 }}
th {{ font-weight: normal; overflow-wrap: anywhere }}
</style>
<h1>quantum-monitor</h1>
<p>What Prometheus reads: <a href="metrics">/metrics</a></p>
<h2>Runs</h2>
{runs}
</html>
"""


def index_page(runs: Mapping[str, str]) -> bytes:
    """The page, encoded.

    Args:
        runs: names of runs and how they stand; both are data, and escaped.
    """
    rows = [
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(status))}</td></tr>\n"
        for name, status in runs.items()
    ]
    table = f"<table>\n{''.join(rows)}</table>" if rows else "<p>None yet.</p>"
    return _PAGE.format(runs=table).encode("utf-8", "replace")
