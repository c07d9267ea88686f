"""What the tests against real proxies share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import Place
from .proxies import is_built

#: pingap takes half an hour to build (make pingap), and there is no package of it: where it is, it is tested.
collect_ignore = [] if is_built("pingap") else ["test_mechanisms_pingap.py"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.close()
