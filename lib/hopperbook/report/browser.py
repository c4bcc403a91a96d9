"""Look at a built site as a reader does: headless Chromium, every page from its file, without a network.

``python -m hopperbook.report.browser SITE [SCREENSHOTS]`` prints what is wrong and ends with an error if anything is.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WIDTHS, THEMES = (1400, 390), ("light", "dark")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --disable-dev-shm-usage --mute-audio"
    " --host-resolver-rules=MAP\u00a0*\u00a0~NOTFOUND --remote-debugging-pipe"
)
# The browser reads commands from file descriptor 3 and answers on 4.
LAUNCH = (
    "import fcntl, os, sys; a, b = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]);"
    "os.dup2(a, 3); os.dup2(b, 4); os.close(a); os.close(b); os.execv(sys.argv[3], sys.argv[3:])"
)
#: What is looked for in a page: scripts that return one line a problem.
LOOKS = tuple(
    (Path(__file__).parent / "looks" / name).read_text(encoding="utf-8") for name in ("layout.js", "labels.js")
)


class Browser:
    """A headless Chromium spoken to over a pipe, with one page.

    Parameters
    ----------
    program : str, optional
        The browser; ``chromium`` or what the environment names in ``CHROMIUM``.
    """

    def __init__(self, program: str | None = None):
        self._profile = tempfile.mkdtemp(prefix="hopperbook-browser-")
        from_browser, to_us = os.pipe()
        from_us, to_browser = os.pipe()
        command = [find_browser(program), *(flag.replace("\u00a0", " ") for flag in FLAGS.split(" "))]
        command += [f"--user-data-dir={self._profile}", "about:blank"]
        launch = [sys.executable, "-S", "-E", "-c", LAUNCH, str(from_us), str(to_us), *command]
        self._process = subprocess.Popen(launch, pass_fds=(from_us, to_us), stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self._read, self._write = from_browser, to_browser
        self._buffer, self._count, self.events = b"", 0, []  # type: tuple[bytes, int, list[dict[str, Any]]]
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(120.0)
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def _receive(self, limit_s: float) -> dict[str, Any]:
        """Return the next message of the browser."""
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], limit_s)[0]:
                raise TimeoutError("the browser did not answer")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser ended")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def wait_for(self, event: str, limit_s: float = 30.0) -> None:
        """Wait for an event, keeping those before it."""
        while not any(each.get("method") == event for each in self.events):
            self.events.append(self._receive(limit_s))

    def evaluate(self, script: str) -> Any:
        """Return the value of a script, waiting for a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"].get("exception", {}).get("description", script))[:400])
        return answer["result"].get("value")

    def open(self, url: str, width: int = 1400, theme: str = "light", media: str = "") -> None:
        """Open a page at a width and in a theme, and scroll through it so that everything has loaded."""
        self.events.clear()
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")
        self.evaluate(
            """(async () => {
              const rest = ms => new Promise(done => setTimeout(done, ms));
              for (let y = 0; y < document.body.scrollHeight; y += 700) { scrollTo(0, y); await rest(15); }
              scrollTo(0, 0); await document.fonts.ready;
              if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
              const waiting = () => document.querySelector('.hb-svg[data-live=yes]:not(:has(.vega-embed))');
              for (let i = 0; i < 100 && waiting(); i++) await rest(50);
              await rest(60); })()"""
        )

    def screenshot(self, path: Path) -> None:
        """Save the whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000), "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path: Path, footer: str = "") -> None:
        """Save the page as an A4 PDF with bookmarks, by its own print style; with a footer, on every sheet."""
        made = self.call(
            "Page.printToPDF",
            preferCSSPageSize=True,
            printBackground=True,
            generateTaggedPDF=True,
            generateDocumentOutline=True,
            displayHeaderFooter=bool(footer),
            headerTemplate="<span></span>",
            footerTemplate=footer,
        )
        path.write_bytes(base64.b64decode(made["data"]))

    def problems(self) -> list[str]:
        """Return what went wrong since the page was opened: errors, network requests, missing files, bad layout."""
        looks = [line for look in LOOKS for line in self.evaluate(look)]
        return [*filter(None, map(_problem, self.events)), *looks]

    def close(self) -> None:
        """End the browser and remove its profile."""
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _problem(event: dict[str, Any]) -> str:
    """Return what is wrong with an event of the browser, or nothing."""
    method, about = event.get("method"), event.get("params", {})
    if method == "Network.requestWillBeSent" and not about["request"]["url"].startswith(("file:", "data:", "blob:")):
        return f"asks the network for {about['request']['url']}"
    if method == "Network.loadingFailed" and not about.get("canceled"):
        return f"a file did not load: {about.get('errorText')}"
    if method == "Runtime.exceptionThrown":
        details = about["exceptionDetails"]
        return f"script error: {details.get('exception', {}).get('description', details.get('text'))}"
    if method == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
        return "console error: " + " ".join(str(arg.get("value", arg.get("description"))) for arg in about["args"])
    if method == "Log.entryAdded" and about["entry"]["level"] == "error":
        return f"console error: {about['entry']['text']} {about['entry'].get('url', '')}"
    return ""


def find_browser(program: str | None = None) -> str:
    """Return the path of a Chromium.

    Parameters
    ----------
    program : str, optional
        A name or path to use.

    Returns
    -------
    str
        The path.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    for name in (program, os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "chrome"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise FileNotFoundError("no Chromium was found; install one or name it in the environment variable CHROMIUM")


def check_site(
    site: Path,
    shots: Path | None = None,
    widths: Sequence[int] = WIDTHS,
    themes: Sequence[str] = THEMES,
    also: Callable[[Browser], list[str]] | None = None,
) -> list[str]:
    """Open every page of a site at every width and in every theme and return what is wrong.

    Parameters
    ----------
    site : Path
        A built site.
    shots : Path, optional
        Folder for screenshots.
    widths : sequence of int
        Widths of the window in CSS pixels.
    themes : sequence of str
        ``light``, ``dark``.
    also : callable, optional
        What else to look for on each open page, such as :func:`hopperbook.report.access.findings`.

    Returns
    -------
    list of str
        One line a problem; empty when all is well.
    """
    found = []
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for page in sorted(site.glob("*.html")):
            for width in widths:
                for theme in themes:
                    browser.open(page.resolve().as_uri(), width, theme)
                    seen = [*browser.problems(), *(also(browser) if also else [])]
                    found += [f"{page.name} at {width} px, {theme}: {problem}" for problem in seen]
                    if shots:
                        browser.screenshot(shots / f"{page.stem}-{width}-{theme}.png")
    return found


if __name__ == "__main__":
    begun = time.monotonic()
    wrong = check_site(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    print("\n".join(wrong) or f"all pages are well ({time.monotonic() - begun:.0f} s)")
    sys.exit(bool(wrong))
