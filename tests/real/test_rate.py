"""An open loop: requests are due when they are due."""

from itertools import pairwise

import pytest

from .command import Place

pytestmark = pytest.mark.real


def test_requests_are_due_at_the_rate_and_each_has_its_row(place: Place) -> None:
    result = place.run("--plugin", "haproxy", "--rate", "500", "--clients", "5", "--duration", "6", *place.ports)
    assert result.status == 0
    result.assert_complete()
    for client in range(5):
        dues = [row.due for row in result.rows if row.client == client]
        # Every fifth of the 500, to the whole µs; of the last ones, those still waiting at the end are not sent.
        assert all(9999 <= after - before <= 10001 for before, after in pairwise(dues))
        assert 400 < len(dues) <= result.summary["duration_us"] // 10_000 + 1
        assert abs(dues[-1] - dues[0] - (len(dues) - 1) * 10_000) <= 1
    firsts = [next(row.due for row in result.rows if row.client == client) for client in range(5)]
    assert all(1999 <= after - before <= 2001 for before, after in pairwise(firsts))
    assert all(row.due <= int(row.written) for row in result.rows)
    assert place.left() == []
