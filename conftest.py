"""What all tests share: a store, no deadlines; a browser's tests are collected only where Chromium is installed."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two workers with a thread for each processor wait for one another

import pytest
from hypothesis import HealthCheck, settings

from hopperbook.report.browser import find_browser

#: A slow or busy machine fails no test: no time counts where none is measured.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

try:
    find_browser()
    collect_ignore = []
except FileNotFoundError:  # `make browser` installs nothing by itself
    collect_ignore = ["tests/report/test_browser.py"]


@pytest.fixture(autouse=True, scope="session")
def own_store(tmp_path_factory):
    """Keep what is computed in a folder of this run: a simulation is run once, whichever tests and workers ask for it.

    The next run begins with nothing kept, so every simulation is run again by the code as it then is.
    """
    from hopperbook.report.kept import simulations, store

    ours = tmp_path_factory.getbasetemp()
    before, store.ROOT = store.ROOT, (ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours) / "store"
    simulations.install()
    yield store.ROOT
    store.ROOT = before


#: Files that take longest, each in one worker: begun first, so that no worker is left alone with one at the end.
LONGEST = ("tests/test_planner.py", "tests/test_new_part.py", "tests/report/test_kept.py", "tests/drills/test_kills.py")


def pytest_collection_modifyitems(items):
    """Run the longest files first; ``--no-loadscope-reorder`` keeps this order."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
