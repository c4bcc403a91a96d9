"""Pictures of charts, made by vl-convert in a process of its own: its engine must never be loaded before a fork."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from hopperbook.errors import InputError


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
    return {"wide": wide, "narrow": shared | narrow}


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
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>c{digest(spec)[:8]}-", svg)


class Drawer:
    """A process that draws charts while others work; pictures land in a folder under their specification's name.

    Parameters
    ----------
    folder : Path
        Where pictures go.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._asked: set[str] = set()
        command = [sys.executable, "-m", "hopperbook.report.svg", str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def ask(self, spec: dict[str, Any]) -> None:
        """Ask for the pictures of a chart, unless they were asked for before."""
        for each in variants(spec).values():
            name = digest(each)
            if name not in self._asked:
                self._asked.add(name)
                _pipe(self._process).write(json.dumps(each) + "\n")
                _pipe(self._process).flush()

    def close(self) -> None:
        """Say that no more will be asked; drawing goes on."""
        _pipe(self._process).close()

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        _pipe(self._process).close()


def _pipe(process: subprocess.Popen[str]) -> TextIO:
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
        if path.with_suffix(".error").exists():
            raise InputError("chart", digest(spec), path.with_suffix(".error").read_text(encoding="utf-8"))
        if time.monotonic() > end:
            raise TimeoutError("the charts were not drawn in time")
        time.sleep(0.01)
    return path.read_text(encoding="utf-8")


def _serve(folder: Path) -> None:
    """Draw the specifications that come in, one a line, each written aside and renamed."""
    for line in sys.stdin:
        spec = json.loads(line)
        target = folder / f"{digest(spec)}.svg"
        try:
            text = draw(spec)
        except InputError as error:
            text, target = str(error), target.with_suffix(".error")
        aside = target.with_suffix(".part")
        aside.write_text(text, encoding="utf-8")
        aside.rename(target)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
