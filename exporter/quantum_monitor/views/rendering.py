"""The process that draws images: run as a script by ``export.py``, which gives it a folder and ends it and its browser.

It imports kaleido and nothing of ours. Its folder holds ``job.json`` (``path``: where to import from, ``format``,
``sizes``: pairs of pixels, ``scale``, ``seconds``) and ``0.json``, ``1.json``: figures; it adds an image to each of
them (``0``, ``1``) or, where that fails, ``failed.json``: ``kind``, ``reason`` and which ``figure`` it was.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

OFFLINE = (
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name and no address leads anywhere
    "--no-proxy-server",  # ... not by way of a proxy either, who would resolve them
    "--disable-background-networking",
)

CLEARING = """\
for (const kind of [WebGLRenderingContext, WebGL2RenderingContext]) {
  const {clear, depthMask} = kind.prototype;
  kind.prototype.clear = function (what) {
    const locked = !this.getParameter(this.DEPTH_WRITEMASK);
    if (locked) depthMask.call(this, true);
    clear.call(this, what);
    if (locked) depthMask.call(this, false);
  };
}
"""
"""Makes WebGL clear depths also while they are locked.

In an image all scenes of a figure are drawn on one canvas. plotly.js leaves the depths locked at the end of a scene, so
that its clearing before the next one does nothing to them: what stood in one scene would be cut out of the next.
"""


def main(folder: Path) -> None:
    """Draw all figures of the folder."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    sys.path[:] = job["path"]
    signal.alarm(int(job["seconds"]) + 5)  # should nobody be left to end it
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    at = [-1]
    try:
        asyncio.run(_draw(job, folder, at))
    except Exception as error:  # noqa: BLE001 - kaleido, its browser and plotly.js raise what they like
        first = error.args[0] if error.args else ""  # what comes after it tells how to download a browser
        reason = first if isinstance(first, str) else str(error)
        failed = {"kind": type(error).__name__, "reason": reason, "figure": at[0]}
        (folder / "failed.json").write_text(json.dumps(failed), encoding="utf-8")


async def _draw(job: dict[str, Any], folder: Path, at: list[int]) -> None:
    import kaleido
    import plotly
    from choreographer.browsers.chromium import Chromium

    class Offline(Chromium):
        def get_cli(self) -> list[str]:
            return [*super().get_cli(), *OFFLINE]

        def get_popen_args(self) -> dict[str, Any]:
            # The browser stays in the process group of this script, so that one signal ends all of it.
            return {**super().get_popen_args(), "start_new_session": False}

    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    clearing = folder / "clearing.js"
    clearing.write_text(CLEARING, encoding="utf-8")
    # By default it asks a server for MathJax.
    page = kaleido.PageGenerator(plotly=script.as_uri(), mathjax=False, others=[clearing.as_uri()])
    async with kaleido.Kaleido(page_generator=page, timeout=job["seconds"], browser_cls=Offline) as drawing:
        for number, (width, height) in enumerate(job["sizes"]):
            at[0] = number
            figure = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
            options = {"format": job["format"], "width": width, "height": height, "scale": job["scale"]}
            (folder / str(number)).write_bytes(await drawing.calc_fig(figure, opts=options))


if __name__ == "__main__":
    parent = os.getppid()
    main(Path(sys.argv[1]))
    if os.getppid() != parent:  # it was killed: nobody else puts the folder away
        shutil.rmtree(sys.argv[1], ignore_errors=True)
    os._exit(0)  # kaleido's threads may wait for a browser that hangs
