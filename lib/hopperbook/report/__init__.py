"""From chapters with parameters to a published report: execute, render, publish.

What it needs to do so is loaded when it is first asked for: a command that only reads facts starts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hopperbook.report.execute import ChapterError
    from hopperbook.report.pipeline import CHAPTERS, build, check, store_outputs
    from hopperbook.report.render import RenderError

__all__ = ["CHAPTERS", "ChapterError", "RenderError", "build", "check", "store_outputs"]
_ELSEWHERE = {"ChapterError": "execute", "RenderError": "render"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"hopperbook.report.{_ELSEWHERE.get(name, 'pipeline')}"), name)
