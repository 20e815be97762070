"""Figures as files: three formats, no network, nothing left behind, and a sentence where no image can be made."""

from __future__ import annotations

import asyncio
import http.server
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import psutil
import pytest
from PIL import Image

from quantum_monitor.extras import MissingExtraError
from quantum_monitor.views import export, theme
from quantum_monitor.views.export import ImageError, images, save_figure
from quantum_monitor.views.figure_bloch import bloch_figure
from tests.browser import page_of
from tests.server_process import eventually

HOSTILE = "<img src=x onerror=alert(1)> =cmd() %{x} $x$"
SENT = {"DNS_TRANSACTION_QUERY", "UDP_BYTES_SENT", "SOCKET_BYTES_SENT", "TCP_CONNECT_ATTEMPT"}


def a_figure(**layout: Any) -> Any:
    title = {"text": theme.label(HOSTILE)}
    return go.Figure(
        go.Scatter(y=[1.0, 3.0, 2.0], name="loss"), {"template": theme.template(), "title": title, **layout}
    )


def pixels(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def a_browser(folder: Path, command: str) -> Path:
    """A program that notes its process group, and then does something else than a browser would."""
    program = folder / "browser"
    program.write_text(f'#!/bin/sh\ncut -d" " -f5 /proc/$$/stat >> "{folder}/groups"\n{command}\n')
    program.chmod(0o755)
    return program


def living(folder: Path) -> list[str]:
    """The processes of the groups that `a_browser` noted; the dead whom nobody buried do not count."""
    groups = set(map(int, (folder / "groups").read_text().split()))
    assert groups
    assert os.getpgid(0) not in groups
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) in groups and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:100])
        except (psutil.Error, ProcessLookupError):
            continue
    return found


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made in a test, and the browser its sockets, whose paths must be short."""
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class Recorded(NamedTuple):
    """What a real browser drew, and what it did beside."""

    png: bytes
    svg: list[bytes]
    events: set[str]
    known: set[str]
    wanted: set[str]
    asked: list[str]
    left: list[Path]
    sessions: int
    living: list[str]
    escaped: list[str]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """As in a notebook: a PNG file drawn while an event loop runs, and two SVG images in a thread beside it.

    The figure names an image on a server, the browser logs its network, and the temporary folder has a long name.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium here")
        pytest.skip("no chromium here")
    folder = tmp_path_factory.mktemp("recorded")
    asked: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    foreign = {"source": f"http://127.0.0.1:{server.server_port}/x.png", "x": 0, "y": 1, "sizex": 1, "sizey": 1}
    wrapper = a_browser(folder, f'exec "{program}" --log-net-log="{folder}/net-$$.json" "$@"')
    temporary = folder / ("x" * 100)
    temporary.mkdir()
    two = [a_figure(), a_figure(width=300)]

    async def cell() -> list[bytes]:
        beside = asyncio.get_running_loop().run_in_executor(None, images, two, "svg", [(200, 100), (None, None)])
        save_figure(a_figure(images=[foreign]), folder / "a.PNG", width=400, height=300)
        return await beside

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as escaped:
        warnings.simplefilter("always")
        patch.setattr(tempfile, "tempdir", str(temporary))
        patch.setenv("BROWSER_PATH", str(wrapper))
        # In a thread of its own: where a test before has started playwright, this one has a loop that runs.
        with ThreadPoolExecutor(1) as notebook:
            svg = notebook.submit(asyncio.run, cell()).result()
    server.shutdown()
    server.server_close()
    networks = [json.loads(file.read_text()) for file in folder.glob("net-*.json")]
    names = {number: name for name, number in networks[0]["constants"]["logEventTypes"].items()}
    events = [event for network in networks for event in network["events"]]
    return Recorded(
        (folder / "a.PNG").read_bytes(),
        svg,
        {names[event["type"]] for event in events},
        set(names.values()),
        {event["params"]["url"] for event in events if "url" in event.get("params", {})},
        asked,
        list(temporary.iterdir()),
        len((folder / "groups").read_text().split()),
        living(folder),
        [str(warning.message) for warning in escaped],
    )


def test_a_png_opens_and_has_twice_as_many_pixels(recorded: Recorded) -> None:
    assert pixels(recorded.png) == (800, 600)


def test_an_svg_is_xml_without_scripts_and_without_references_to_outside(recorded: Recorded) -> None:
    picture = ET.fromstring(recorded.svg[0])  # noqa: S314 - of our own making
    tags = {element.tag.rpartition("}")[2] for element in picture.iter()}
    assert tags.isdisjoint({"script", "foreignObject", "a", "image", "use"})
    attributes = [(name, value) for element in picture.iter() for name, value in element.attrib.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name.endswith("href")]
    links = re.findall(rb"url\(([^)]*)\)", recorded.svg[0]) + re.findall(rb"\w+:/[^\s\"']*", recorded.svg[0])
    outside = [link for link in links if not link.strip(b"&quot;'\"").startswith((b"#", b"http://www.w3.org/"))]
    assert not outside
    assert HOSTILE in "".join(picture.itertext())


def test_nothing_leaves_the_machine_while_an_image_is_drawn(recorded: Recorded) -> None:
    assert recorded.known >= SENT
    assert any(url.endswith("/x.png") for url in recorded.wanted)  # the figure did ask
    assert not [url for url in recorded.wanted if "mathjax" in url.lower() or "plot" in url.lower()]
    assert not recorded.events & SENT
    assert not recorded.asked


def test_drawing_leaves_no_process_no_file_and_no_warning(recorded: Recorded) -> None:
    assert not recorded.living
    assert not recorded.left
    assert not recorded.escaped


def test_several_figures_are_drawn_in_one_session_in_their_sizes(recorded: Recorded) -> None:
    pictures = [ET.fromstring(each) for each in recorded.svg]  # noqa: S314 - of our own making
    sizes = [(picture.get("width"), picture.get("height")) for picture in pictures]
    assert sizes == [("200", "100"), ("300", "560")]
    assert recorded.sessions == 2  # one of these two, one of the PNG file


def test_each_scene_of_a_figure_is_drawn_whole(recorded: Recorded) -> None:
    """Also what is further away than something that stood there in the scene before: that one's depth is forgotten."""
    assert recorded.png  # there is a browser
    eye = np.array([1.3, 0.7, 0.5]) / np.linalg.norm([1.3, 0.7, 0.5])
    x, y, z = np.array([1.0, 0.0, 0.0]) - 2 * eye[0] * eye  # looks like |+>, from behind
    near, far = np.array([1, 1]), np.array([1 + z, x + 1j * y])
    figure = bloch_figure(np.kron(np.kron(near, far), far))
    assert figure.layout.scene.camera.eye.to_plotly_json() == {"x": 1.3, "y": 0.7, "z": 0.5}
    (content,) = images([figure], "png", [(400, None)])
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    colours = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in theme.template().layout.colorway[:3]]
    third = picture.shape[0] // 3
    drawn = [
        int((np.abs(picture[place * third : (place + 1) * third] - colour).max(axis=2) < 30).sum())
        for place, colour in enumerate(colours)
    ]
    assert min(drawn) > 300  # 20 where most of it is cut out


def test_a_picture_too_large_for_the_browser_is_an_error(recorded: Recorded) -> None:
    assert recorded.png
    with pytest.raises(ImageError, match="Figure 1 is too large to draw at 60 by 40000 pixels: give it a smaller size"):
        images([a_figure(), a_figure()], "png", [(60, 40), (60, 40_000)])


def test_no_figures_take_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    assert images([], "png") == []


def test_without_a_browser_the_error_says_what_to_install_and_what_works_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path
) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "gone"))
    (tmp_path / "a.svg").write_text("before")
    with pytest.raises(ImageError, match=r"there is none at BROWSER_PATH='.*gone': install one .*\.html works without"):
        save_figure(a_figure(), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == "before"
    assert not list(temporary.iterdir())
    assert save_figure(a_figure(), tmp_path / "a.html").exists()


def test_without_kaleido_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(MissingExtraError, match=r"unlike HTML ones, take the package kaleido.*\[views\]"):
        images([a_figure()], "png")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("exit 1", r"set BROWSER_PATH to one that works; a path that ends in .html"),
        ("sleep 1000 & sleep 1000", r"not done after 3 seconds: set BROWSER_PATH to one that works; a path that ends"),
        # A browser that does not hear signals, and whose worker is killed from outside.
        ("trap '' TERM; sleep 1000 & kill -9 $(ps -o ppid= $(ps -o ppid= $$)); sleep 1000", "ended without an image"),
    ],
    ids=["dies", "hangs", "is orphaned"],
)
def test_a_bad_browser_is_an_error_in_bounded_time_and_leaves_nothing(
    command: str, error: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path
) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(a_browser(tmp_path, command)))
    monkeypatch.setattr(export, "SECONDS", 3.0 if "not done" in error else 30.0)
    with pytest.raises(ImageError, match=error):
        images([a_figure()], "png")
    eventually(lambda: not living(tmp_path), what="the end of all its processes")
    assert not list(temporary.iterdir())


def test_a_program_that_is_killed_while_it_saves_a_figure_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    program = a_browser(tmp_path, 'kill -9 $(cat "$MAIN")')
    main = "import os, sys; open(os.environ['MAIN'], 'w').write(str(os.getpid())); import plotly.graph_objects as go; "
    main += "from quantum_monitor.views.export import save_figure; save_figure(go.Figure(), 'a.png')"
    env = {**os.environ, "MAIN": str(tmp_path / "main"), "BROWSER_PATH": str(program), "TMPDIR": str(temporary)}
    ended = subprocess.run([sys.executable, "-c", main], env=env, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    eventually(lambda: not living(tmp_path), what="the end of all its processes")
    eventually(lambda: not list(temporary.iterdir()), what="the end of its folder")
    assert not (tmp_path / "a.png").exists()


def test_a_browser_that_is_killed_while_it_draws_is_an_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path
) -> None:
    chromium = shutil.which("chromium") or pytest.skip("no chromium here")
    killed = f'"{chromium}" "$@" <&3 & browser=$!; (sleep 0.4; kill -9 $browser) & wait $browser'
    monkeypatch.setenv("BROWSER_PATH", str(a_browser(tmp_path, killed)))
    monkeypatch.setattr(export, "SECONDS", 10.0)
    with pytest.raises(ImageError, match=r"a path that ends in \.html works without a browser"):
        images([a_figure()] * 3, "png")
    eventually(lambda: not living(tmp_path), what="the end of all its processes")
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("path", ["a.pdf", "a", "a.html.gz", ".png"])
def test_another_ending_is_refused_with_the_three_that_work(path: str) -> None:
    with pytest.raises(ValueError, match=r"path: '.*' ends in neither of \.html, \.png, \.svg"):
        save_figure(a_figure(), path)


def test_sizes_and_formats_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="width: 0 is not a positive number"):
        save_figure(a_figure(), "a.png", width=0)
    with pytest.raises(ValueError, match="format: 'pdf' is neither"):
        images([a_figure()], "pdf")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sizes: 1 for 2 figures"):
        images([a_figure()] * 2, "png", [(1, 1)])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    for ending in ("html", "png"):  # for an image before a browser takes its time
        with pytest.raises(FileNotFoundError, match=r"no folder '.*none'; make it first"):
            save_figure(a_figure(), tmp_path / "none" / f"a.{ending}")


def test_a_full_disk_leaves_the_file_that_was_there(mount: Callable[..., Path]) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    (disk / "a.html").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        save_figure(a_figure(), disk / "a.html")
    assert [file.name for file in disk.iterdir()] == ["a.html"]
    assert (disk / "a.html").read_text() == "before"


def test_an_html_file_is_complete_and_shows_hostile_text_as_text(chromium: Any, tmp_path: Path) -> None:
    file = save_figure(a_figure(), tmp_path / "a.html", height=333)
    with page_of(chromium, file.as_uri(), width=390) as watched:
        watched.page.wait_for_selector(".main-svg .scatterlayer path")
        assert watched.page.title() == HOSTILE
        assert HOSTILE in watched.page.inner_text("body")
        assert watched.page.locator("img").count() == 0
        assert watched.page.locator(".main-svg").first.bounding_box()["height"] == 333
        assert not watched.overflow()
        assert not watched.complaints
        assert [address for address in watched.foreign if address != file.as_uri()] == []
