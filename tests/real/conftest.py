"""What the tests against real proxies share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.close()
