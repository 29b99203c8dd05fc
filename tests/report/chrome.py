"""A real Chromium for the page's tests, driven by the DevTools protocol through two pipes: no port, no dependency.

`Browser` starts it (skips the test where it is not installed), `Tab` is one open page.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb", "--remote-debugging-pipe",
]  # fmt: skip
PATIENCE_S = 90.0


class Browser:
    """One Chromium process. Use `open_browser`."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self.process, self._write, self._read = process, write, read
        self._buffer, self._number = b"", 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Calls a method and waits for its result; events that arrive meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self._number:
                assert "error" not in found, f"{method}: {found['error']}"
                return dict(found["result"])
            self.events.append(found)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "Chromium closed its pipe"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))

    @contextmanager
    def page(
        self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, first: str = ""
    ) -> Iterator[Tab]:
        """Opens a page at a width in CSS pixels and waits until its script is done. `first` = a script that runs before it."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.send(f"{domain}.enable")
        tab.media("screen", dark=dark)
        tab.resize(width, height)
        if first:
            tab.send("Page.addScriptToEvaluateOnNewDocument", source=first)
        tab.send("Page.navigate", url=url)
        tab.wait("document.readyState === 'complete' && document.documentElement.dataset.ready === 'yes'")
        try:
            yield tab
        finally:
            self.send("Target.closeTarget", targetId=target)


class Tab:
    """One open page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A method of this page."""
        return self.browser.send(method, self.session, **params)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.run(f"!!({condition})"):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.03)

    def resize(self, width: int, height: int = 900) -> None:
        """A window of this size in CSS pixels; below 500 as a phone."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def media(self, kind: str, *, dark: bool = False) -> None:
        """screen | print, light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=kind, features=[scheme])

    def press(self, key: str) -> None:
        """One key, as a person presses it."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, and requests that are not for the page's own file."""
        found = []
        for event in self.browser.events:
            method, params = event.get("method", ""), event.get("params", {})
            if event.get("sessionId") != self.session:
                continue
            if method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                found.append(str(params["args"]))
            elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:")):
                found.append("request to " + params["request"]["url"])
        return found

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A PNG of the page, or of the window."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def paper(self, path: Path) -> None:
        """The page as PDF on A4."""
        self.send("Emulation.setEmulatedMedia", media="", features=[])
        data = self.send(
            "Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False, preferCSSPageSize=True
        )
        path.write_bytes(base64.b64decode(data["data"]))


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Starts Chromium with an empty profile; skips the test where there is none."""
    found = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = " ".join(
        [f"exec '{found}'", *FLAGS, f"--user-data-dir='{profile}' 3</dev/fd/{theirs_in} 4>/dev/fd/{theirs_out}"]
    )
    process = subprocess.Popen(
        ["sh", "-c", command], pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(process, ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(30)
        os.close(ours_out)
        os.close(ours_in)
