"""Figures as files: HTML as they are, PNG and SVG drawn by kaleido in a browser that reaches no network.

kaleido runs in a process of its own, so that it works inside a running event loop and from any thread, its warnings
and logs stay away, and one signal ends it with its browser, whatever became of them.
"""

from __future__ import annotations

import contextlib
import html
import importlib.util
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from quantum_monitor.extras import missing
from quantum_monitor.store.runfile import replacing
from quantum_monitor.trackers.child import path as module_path

ImageFormat = Literal["png", "svg"]

DEFAULT_SIZE = (900, 560)
"""Width and height in CSS pixels of a figure that has no size of its own."""

PNG_SCALE = 2
"""Pixels of a PNG for each CSS pixel, each way: sharp in print and on dense screens."""

SECONDS = 60.0
"""How long the browser may take, start included; 20 more for each figure after the first.

Figures in space are drawn without graphics hardware: ten seconds each on a busy machine.
"""

ENDINGS = (".html", ".png", ".svg")
_BEGINNING = {"png": b"\x89PNG\r\n", "svg": b"<svg"}
_WITHOUT = "a path that ends in .html works without a browser"


class ImageError(RuntimeError):
    """A PNG or SVG image could not be drawn; the message says what to install or set, and what works without."""


def save_figure(
    figure: Any, path: str | os.PathLike[str], *, width: int | None = None, height: int | None = None
) -> Path:
    """Write a plotly figure as the ending of the path says; an existing file is replaced in one piece.

    Args:
        figure: a plotly figure.
        path: ends in ``.html`` (interactive, self-contained), ``.png`` or ``.svg``; its folder must exist.
        width: in CSS pixels; a PNG has twice as many pixels. None: the figure's own, else 900. HTML: unless given, or
            fixed by the figure (``autosize`` False), the window's.
        height: as the width; else 560.

    Returns:
        The path.

    Raises:
        ValueError: another ending, or a size that is not positive.
        ImageError: PNG and SVG: no browser was found, or it failed or did not end in time.
        MissingExtraError: PNG and SVG: kaleido is not installed.
        OSError: the file cannot be written; what was there before is still there.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(
            f"path: {str(target)!r} ends in neither of {', '.join(ENDINGS)}; the ending decides the format"
        )
    for name, size in (("width", width), ("height", height)):
        if size is not None and size <= 0:
            raise ValueError(f"{name}: {size!r} is not a positive number of pixels")
    check_folder(target)
    if ending == ".html":
        content = _page(figure, target, width, height)
    else:
        (content,) = images([figure], "png" if ending == ".png" else "svg", [(width, height)])
    with replacing(target) as stream:
        stream.buffer.write(content)
    return target


def check_folder(path: Path, name: str = "path") -> None:
    """Check that a file could be made at a path, before the work that fills it.

    Args:
        path: of the file.
        name: what the person calls it.

    Raises:
        FileNotFoundError: its folder does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {str(path.parent)!r}; make it first")


def images(
    figures: Sequence[Any],
    format: ImageFormat,  # noqa: A002 - the word that the callers use
    sizes: Sequence[tuple[int | None, int | None]] | None = None,
) -> list[bytes]:
    """Draw plotly figures in one session of the browser.

    Args:
        figures: plotly figures.
        format: ``png`` (twice as many pixels each way) or ``svg``.
        sizes: width and height of each in CSS pixels; None (also inside a pair): its own, else 900 by 560.

    Returns:
        The content of a file for each figure.

    Raises:
        ValueError: another format, or as many sizes as there are no figures.
        ImageError: no browser was found, or it failed or did not end in time.
        MissingExtraError: kaleido is not installed.
    """
    if format not in get_args(ImageFormat):
        raise ValueError(f"format: {format!r} is neither 'png' nor 'svg'")
    wanted = [(None, None)] * len(figures) if sizes is None else list(sizes)
    if len(wanted) != len(figures):
        raise ValueError(f"sizes: {len(wanted)} for {len(figures)} figures; give each figure one")
    if not figures:
        return []
    if importlib.util.find_spec("kaleido") is None:
        raise missing("views", "kaleido", "PNG and SVG files, unlike HTML ones,")
    seconds = SECONDS + 20 * (len(figures) - 1)
    with _folder() as folder:
        job: dict[str, Any] = {
            "path": module_path(),
            "format": format,
            "scale": PNG_SCALE if format == "png" else 1,
            "sizes": [_size(figure, size) for figure, size in zip(figures, wanted, strict=True)],
            "seconds": seconds,
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        for number, figure in enumerate(figures):
            (folder / f"{number}.json").write_text(figure.to_json(), encoding="utf-8")
        in_time = _run(folder, seconds)
        drawn = [folder / str(number) for number in range(len(figures))]
        if not all(map(Path.exists, drawn)):
            raise ImageError(_failure(folder, seconds, in_time=in_time))
        contents = [file.read_bytes() for file in drawn]
    for number, (content, size) in enumerate(zip(contents, job["sizes"], strict=True)):
        if not content.startswith(_BEGINNING[format]):  # a browser says so in no other way
            pixels = " by ".join(f"{pixel:g}" for pixel in size)
            raise ImageError(f"Figure {number} is too large to draw at {pixels} pixels: give it a smaller size.")
    return contents


def _size(figure: Any, wanted: tuple[int | None, int | None]) -> tuple[float, float]:
    own = (figure.layout.width, figure.layout.height)
    width, height = [given or has or default for given, has, default in zip(wanted, own, DEFAULT_SIZE, strict=True)]
    return width, height


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder that takes everything the drawing writes, and goes with it."""
    usual = tempfile.gettempdir()
    # The browser makes a socket in it, 46 characters further on, whose path may have 103.
    parent = usual if len(usual) <= 45 or not os.access("/tmp", os.W_OK | os.X_OK) else "/tmp"  # noqa: S108 - mkdtemp's way
    folder = Path(tempfile.mkdtemp(prefix="qm-", dir=parent))
    try:
        yield folder
    finally:
        for _ in range(50):  # a process that was just ended may be about to write a last file
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.02)


def _run(folder: Path, seconds: float) -> bool:
    """Run the drawing process until it is done; whether it was in time. Nothing of it is left either way."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise ImageError(f"This program is no Python interpreter, which PNG and SVG files take; {_WITHOUT}.")
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
        [sys.executable, "-I", str(Path(__file__).with_name("rendering.py")), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,  # nothing is written to it: that it closes is the sign of the end
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]  # a pipe, as asked for
            return bool(selector.select(seconds))
    finally:
        # Before its status is read, which would set its number free for another process.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _failure(folder: Path, seconds: float, *, in_time: bool) -> str:
    """Why there is no image, in a sentence."""
    mend = f"set BROWSER_PATH to one that works; {_WITHOUT}."
    try:
        failed = json.loads((folder / "failed.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if not in_time:
            return f"The browser that draws PNG and SVG files was not done after {seconds:g} seconds: {mend}"
        return f"The process that draws PNG and SVG files ended without an image: {mend}"
    if failed["kind"] == "ChromeNotFoundError":
        named = os.environ.get("BROWSER_PATH")
        where = f"at BROWSER_PATH={named!r}" if named is not None else "on this machine"
        return (
            f"PNG and SVG files take a Chromium or Chrome, and there is none {where}: install one "
            f"(Debian: apt install chromium) or set BROWSER_PATH to its program; {_WITHOUT}."
        )
    reason = " ".join(failed["reason"].split())[:300]
    if failed["figure"] >= 0 and not failed["kind"].startswith("Browser"):
        return f"Figure {failed['figure']} could not be drawn ({failed['kind']}: {reason}); {_WITHOUT}."
    return f"The browser that draws PNG and SVG files failed ({failed['kind']}: {reason}): {mend}"


def _page(figure: Any, target: Path, width: int | None, height: int | None) -> bytes:
    from quantum_monitor.views.pages import figure_box, interactive_page

    figure = type(figure)(figure)  # a copy: the person's own stays as it is
    figure.update_layout(height=height or figure.layout.height or DEFAULT_SIZE[1])
    if width:
        figure.update_layout(width=width, autosize=False)
    title = html.unescape(re.sub("<[^>]*>", " ", figure.layout.title.text or "")).strip() or target.stem
    return interactive_page(title, [figure_box(figure, title=title)]).encode("utf-8", "backslashreplace")
