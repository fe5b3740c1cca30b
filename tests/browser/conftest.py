"""One browser for all pages."""

import pytest

from . import chromium


@pytest.fixture(scope="session")
def driver():
    """A headless Chromium; whoever gets it forgets first what others have asked for."""
    with chromium.browser() as found:
        yield found
