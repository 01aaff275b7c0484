"""Headless Chromium, led through its DevTools pipe: what a page shows, and typing into it."""

from __future__ import annotations

import base64
import io
import json
import os
import select
import subprocess
import time

from PIL import Image

_SECONDS = 30
_QUIET = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-device-scale-factor=1",
]  # fmt: skip


class Chromium:
    """One browser with one page; `with Chromium(tmp_path, 800, 600) as browser`."""

    def __init__(self, folder, width, height):
        self._folder = folder
        self._size = width, height
        self._count = 0
        self._buffer = b""
        self.complaints = []  # what pages write to the console

    def __enter__(self):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def place():  # DevTools reads from 3 and writes to 4
            high = os.dup2(theirs_in, 200), os.dup2(theirs_out, 201)
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            ["chromium", *_QUIET, "--remote-debugging-pipe", f"--user-data-dir={self._folder}"],
            preexec_fn=place,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._session = None
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        attached = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.do("Runtime.enable")
        width, height = self._size
        self.resize(width, height)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def do(self, method, **parameters):
        """Give a command; return its result."""
        self._count += 1
        said = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            said["sessionId"] = self._session
        os.write(self._out, json.dumps(said).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == self._count:
                assert "error" not in heard, heard
                return heard["result"]
            if heard.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(heard["params"])[:500])

    def _next(self):
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, until - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def visit(self, url):
        """Load a page."""
        self.do("Page.enable")
        self.do("Page.navigate", url=url)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def resize(self, width, height):
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def evaluate(self, expression):
        result = self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"]
        return result.get("value")

    def picture(self):
        """Return what the window shows."""
        data = self.do("Page.captureScreenshot", format="png")["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def key(self, name, code, text="", modifiers=0):
        """Press a key and let it go."""
        common = {"key": name, "code": code, "modifiers": modifiers}
        self.do("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.do("Input.dispatchKeyEvent", type="keyUp", **common)

    def mouse(self, kind, x, y, button="none", **more):
        self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, **more)
