"""Tests that need a browser are collected where Chromium is installed: `make browser` installs nothing by itself."""

import os
import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
found = os.environ.get("CHROMIUM") or any(map(shutil.which, BROWSERS))
collect_ignore = [] if found else ["tests/report/test_browser.py"]
