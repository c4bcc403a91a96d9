"""Pictures of charts, made by vl-convert in a process of its own: its engine must never be loaded before a fork."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from hopperbook.errors import InputError
from hopperbook.report.kept.store import Store

FINISHED = "finished"


def variants(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the wide specification of a chart and, where it has one, its narrow twin, as the page draws them.

    Parameters
    ----------
    spec : dict
        The specification in a notebook.

    Returns
    -------
    dict of dict
        ``wide`` and perhaps ``narrow``: without the title, which the page writes itself.

    Examples
    --------
    >>> sorted(variants({"mark": "bar", "title": "x", "usermeta": {"hopperbook": {"narrow": {"mark": "bar"}}}}))
    ['narrow', 'wide']
    """
    wide = {key: value for key, value in spec.items() if key not in ("title", "usermeta")}
    narrow = spec.get("usermeta", {}).get("hopperbook", {}).get("narrow")
    if narrow is None:
        return {"wide": wide}
    shared = {key: wide[key] for key in ("$schema", "config") if key in wide}
    sets = wide.get("datasets", {})
    narrow = shared | ({"datasets": sets} if sets else {}) | narrow
    return {
        kind: spec | {"datasets": _used(spec, sets)} if sets else spec
        for kind, spec in (("wide", wide), ("narrow", narrow))
    }


def _used(spec: dict[str, Any], sets: dict[str, Any]) -> dict[str, Any]:
    """Return the sets of rows that a specification draws."""
    text = json.dumps({key: value for key, value in spec.items() if key != "datasets"})
    return {name: rows for name, rows in sets.items() if json.dumps(name) in text}


def digest(spec: dict[str, Any]) -> str:
    """Return a short name for a specification, the same for the same content.

    Parameters
    ----------
    spec : dict
        A Vega-Lite specification.

    Returns
    -------
    str
        Twenty hexadecimal digits.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:20]


def draw(spec: dict[str, Any]) -> str:
    """Return a chart as SVG; in this process, which must not fork afterwards.

    Parameters
    ----------
    spec : dict
        A Vega-Lite specification.

    Returns
    -------
    str
        SVG whose ids are its own on a page with many.

    Raises
    ------
    InputError
        If the specification cannot be drawn.
    """
    import vl_convert

    try:
        svg = vl_convert.vegalite_to_svg(spec, vl_version="6.4", allowed_base_urls=["file:///nowhere/"])
    except ValueError as error:
        raise InputError("chart", digest(spec), f"a specification that Vega-Lite draws ({str(error)[:200]})") from error
    return own_names(lean(svg), f"c{digest(spec)[:8]}")


def lean(svg: str) -> str:
    """Return a picture without words for each mark, and to a hundredth of a pixel: half the bytes, the same picture.

    A page names a picture as a whole, in words written for it; what the library says of each mark nobody would hear.

    Parameters
    ----------
    svg : str
        SVG.

    Returns
    -------
    str
        SVG.

    Examples
    --------
    >>> lean('<path aria-label="ms: 1.234" role="graphics-symbol" d="M0.125,3.4641L1,2"/><text>1.234</text>')
    '<path d="M0.12,3.46L1,2"/><text>1.234</text>'
    """
    quiet = re.sub(r' (?:aria-[a-z]+|role)="[^"]*"', "", svg)
    return re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), quiet)


def own_names(svg: str, prefix: str) -> str:
    """Return a picture whose parts are named by its prefix and their order.

    The library counts on from picture to picture, so that its own names hang on what was drawn before.

    Parameters
    ----------
    svg : str
        SVG.
    prefix : str
        Of all names.

    Returns
    -------
    str
        SVG.

    Examples
    --------
    >>> own_names('<g clip-path="url(#clip7)"/><clipPath id="clip7"/>', "a")
    '<g clip-path="url(#a-0)"/><clipPath id="a-0"/>'
    """
    names = {name: f"{prefix}-{place}" for place, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))}
    named = re.compile(r'(\bid="|url\(#|href="#)([^")]+)')
    return named.sub(lambda hit: hit[1] + names.get(hit[2], f"{prefix}-{hit[2]}"), svg)


def write(chart: Any, path: Path) -> None:
    """Write a chart as an SVG file that stands alone.

    Parameters
    ----------
    chart : altair chart or dict
        The chart.
    path : Path
        A file that ends in ``.svg``.

    Raises
    ------
    InputError
        If the file has another ending, or the chart cannot be drawn.
    """
    if path.suffix.lower() != ".svg":
        raise InputError("chart", str(path), "a file that ends in .svg")
    spec = chart if isinstance(chart, dict) else chart.to_dict(validate=False)
    picture = draw(variants(spec)["wide"])
    path.write_text(picture.replace("<svg ", '<svg style="color:#1b1f24;background:#ffffff" ', 1), encoding="utf-8")


class Drawer:
    """A process that draws charts while others work; pictures land in a folder under their specification's name.

    It is started when the first picture is asked for that is not known.  A picture that was drawn before is taken from
    the store, where it is what was put there and holds nothing but a picture.

    Parameters
    ----------
    folder : Path
        Where pictures go.
    store : Store, optional
        Where pictures are kept; the book's own by default.
    """

    def __init__(self, folder: Path, store: Store | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.store = folder, store or Store()
        self._known: set[str] = set()
        self._asked: set[str] = set()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, spec: dict[str, Any]) -> None:
        """Ask for the pictures of a chart, unless they were asked for before."""
        for each in variants(spec).values():
            name = digest(each)
            if name not in self._asked:
                self._asked.add(name)
                if self._is_known(name):
                    continue
                self._process = self._process or self._started()
                _pipe(self._process).write(json.dumps(each) + "\n")
                _pipe(self._process).flush()

    def _started(self) -> subprocess.Popen[str]:
        """Start the process."""
        command = [sys.executable, "-m", "hopperbook.report.drawer", str(self.folder), str(os.getpid())]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
        return subprocess.Popen(command, **pipes, process_group=0)  # Ctrl-C is for this process, which ends it

    def _is_known(self, name: str) -> bool:
        """Take a picture from the store; return whether it was there."""
        picture = self.store.get("pictures", _key(name))
        if not isinstance(picture, str) or not harmless(picture):
            return False
        part = self.folder / f"{name}.part"
        part.write_text(picture, encoding="utf-8")
        os.rename(part, self.folder / f"{name}.svg")
        self._known.add(name)
        return True

    def close(self) -> None:
        """Say that no more will be asked; drawing goes on."""
        if self._process is None:
            (self.folder / FINISHED).touch()
        else:
            _pipe(self._process).close()

    def stop(self) -> None:
        """End the process and keep what it has drawn."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(BrokenPipeError):
                _pipe(self._process).close()
        for path in self.folder.glob("*.svg"):
            if path.stem not in self._known:
                self.store.put("pictures", _key(path.stem), path.read_text(encoding="utf-8"))


def _key(name: str) -> str:
    """Return the name of a picture in the store: that of its specification, and who drew it."""
    from importlib.metadata import version

    return hashlib.sha256(f"{name}, lean, own names, {version('vl-convert-python')}".encode()).hexdigest()


def harmless(picture: str) -> bool:
    """Return whether an SVG is only a picture: no script, no handler, no page in it, nothing loaded from anywhere.

    Parameters
    ----------
    picture : str
        SVG.

    Returns
    -------
    bool
        False in any doubt.

    Examples
    --------
    >>> harmless('<svg><text>a</text></svg>'), harmless('<svg onload="x()"></svg>'), harmless("<svg><script/></svg>")
    (True, False, False)
    """
    bad = r"<\s*(script|foreignobject|iframe|object|embed|animate|set|style)\b|<[^>]*\son\w+\s*=|javascript:|<!|<\?"
    links = re.findall(r"""(?:href|url)\s*[=(]\s*["']?\s*([^"')\s>]*)""", picture, re.IGNORECASE)
    return picture.startswith("<svg") and not re.search(bad, picture, re.IGNORECASE) and all(map(_own, links))


def _own(link: str) -> bool:
    """Return whether a link stays within its picture."""
    return link.startswith(("#", "data:image/png;base64,"))


def _pipe(process: subprocess.Popen[str]) -> IO[str]:
    """Return the pipe into a process."""
    assert process.stdin is not None
    return process.stdin


def find(spec: dict[str, Any], folder: Path | None, wait_s: float = 120.0) -> str:
    """Return a picture: from a drawer's folder, as soon as it is there, or drawn here and now.

    Parameters
    ----------
    spec : dict
        A Vega-Lite specification.
    folder : Path or None
        The folder of a drawer that was asked for it; None to draw it in this process.
    wait_s : float
        Seconds to wait for the drawer.

    Returns
    -------
    str
        SVG.

    Raises
    ------
    InputError
        If the specification cannot be drawn.
    TimeoutError
        If the drawer did not deliver in time.
    """
    if folder is None:
        return draw(spec)
    path, end = folder / f"{digest(spec)}.svg", time.monotonic() + wait_s
    while not path.exists():
        if (folder / FINISHED).exists() and not path.exists():
            return draw(spec)
        if path.with_suffix(".error").exists():
            raise InputError("chart", digest(spec), path.with_suffix(".error").read_text(encoding="utf-8"))
        if time.monotonic() > end:
            raise TimeoutError("the charts were not drawn in time")
        time.sleep(0.01)
    return path.read_text(encoding="utf-8")
