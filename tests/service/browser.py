"""A real browser without a screen, which can reach this machine and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

#: Text of a page as people see it: Bokeh's widgets are in shadow roots.
_TEXT = """
const seen = (node) => {
  if (node.nodeType === Node.TEXT_NODE) return node.textContent;
  if (node.nodeType !== Node.ELEMENT_NODE && node.nodeType !== Node.DOCUMENT_FRAGMENT_NODE) return "";
  if (node.tagName === "STYLE" || node.tagName === "SCRIPT") return "";
  const own = [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes].map(seen).join(" ");
  return own;
};
return seen(document.body).replace(/\\s+/g, " ");
"""


class Browser:
    """Chromium, driven through its own driver."""

    def __init__(self, driver: Chrome) -> None:
        # selenium has no types for the logs
        self.driver: Any = driver

    def open(self, url: str, width: int = 1366, height: int = 900) -> None:
        """Open a page in a window of a size; what the page before it said is forgotten."""
        self.driver.get("about:blank")
        self.driver.set_window_size(width, height)
        self.complaints(), self.hosts()
        self.driver.get(url)

    def text(self) -> str:
        """All text of the page, inside of Bokeh's widgets too."""
        return str(self.driver.execute_script(_TEXT))

    def wait_for(self, *words: str, seconds: float = 60.0) -> str:
        """The text of the page once it has all these words."""
        late = time.monotonic() + seconds
        while True:
            text = self.text()
            absent = [word for word in words if word not in text]
            if not absent:
                return text
            assert time.monotonic() < late, f"{absent} not on the page after {seconds} s: {text!r}"
            time.sleep(0.1)

    def source(self, name: str) -> dict[str, list[Any]]:
        """Columns of a Bokeh data source by its name, as the browser has them."""
        script = (
            "const source = Bokeh.documents[0].get_model_by_name(arguments[0]);"
            "return Object.fromEntries([...Object.entries(source.data)].map(([k, v]) => [k, Array.from(v)]))"
        )
        found: dict[str, list[Any]] = self.driver.execute_script(script, name)
        return found

    def complaints(self) -> list[str]:
        """Warnings and errors of the browser's console since the last call."""
        entries = self.driver.get_log("browser")
        return [f"{entry['level']} {entry['message']}" for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def hosts(self) -> set[str]:
        """Hosts that were asked for anything, since the last call."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(urlsplit(message["params"]["request"]["url"]).hostname or "")
        return found - {""}

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save what is seen; ``whole`` makes the window as high as the page."""
        if whole:
            height, frame = self.driver.execute_script(
                "return [document.documentElement.scrollHeight, window.outerHeight - window.innerHeight]"
            )
            self.driver.set_window_size(self.driver.get_window_size()["width"], max(height, 300) + frame)
            time.sleep(1.0)
        self.driver.save_screenshot(str(path))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; without one the test is skipped on a laptop and fails in CI."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        message = "no chromium with its driver: on Debian, install chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    options = ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars",
        # whatever is not on this machine does not exist
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = Chrome(options=options, service=ChromeService(driver))
    try:
        yield Browser(running)
    finally:
        running.quit()
