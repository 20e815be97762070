"""A real browser for tests: Debian's chromium, headless, with everything noted that a page does wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    if (box.width && box.right > wide + 1) {
      let inside = element.parentElement, scrolls = false;
      for (; inside && inside !== document.body; inside = inside.parentElement)
        if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(inside).overflowX)) scrolls = true;
      if (!scrolls) found.push(element.tagName + '.' + element.getAttribute('class') + ' to ' + Math.round(box.right));
    }
  }
  if (document.documentElement.scrollWidth > wide) found.push('the page scrolls sideways');
  return found;
}"""


@dataclass
class Watched:
    """A page, and what went wrong on it."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def overflow(self) -> list[str]:
        """Elements that stick out of the window to the right."""
        found: list[str] = self.page.evaluate(_OVERFLOW)
        return found


@contextmanager
def page_of(
    browser: Any, address: str, *, width: int = 1600, height: int = 1000, scheme: str = "light", wait: str = "load"
) -> Iterator[Watched]:
    """Open an address (``http:``, ``file:``) in a window of its own; what asks another host is refused and noted."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    watched = Watched(page)
    own = urlsplit(address).netloc

    def asked(route: Any) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in {"data", "blob"} or parts.netloc == own:
            route.continue_()
        else:
            watched.foreign.append(route.request.url)
            route.abort()

    def said(message: Any) -> None:
        if message.type == "error":
            watched.complaints.append(message.text)

    page.route("**/*", asked)
    page.on("console", said)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    try:
        page.goto(address, wait_until=wait)
        yield watched
    finally:
        context.close()
