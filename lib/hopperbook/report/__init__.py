"""From chapters with parameters to a published report: execute, render, publish."""

from __future__ import annotations

from hopperbook.report.execute import ChapterError
from hopperbook.report.pipeline import CHAPTERS, build, check, store_outputs
from hopperbook.report.render import RenderError

__all__ = ["CHAPTERS", "ChapterError", "RenderError", "build", "check", "store_outputs"]
