"""What the tests of the report keep stays theirs."""

import pytest

from hopperbook.report.kept import store


@pytest.fixture(autouse=True, scope="session")
def own_store(tmp_path_factory):
    """Keep executed chapters in a folder of the test run."""
    before, store.ROOT = store.ROOT, tmp_path_factory.mktemp("store")
    yield store.ROOT
    store.ROOT = before
