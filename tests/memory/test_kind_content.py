"""Bodies that nobody can cut, change or swap unseen, and what takes them keeps no more than it must."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.history.failures import WRONG_BODY
from proxyreload.traffic.content import Digest, content, digest, whose
from proxyreload.traffic.download import Loading

from .connections import parts
from .kinds import INSTANCE, ids_st
from .test_kind_ends import Said

few_examples = settings(max_examples=60)


@few_examples
@given(request_id=ids_st, other=ids_st, size=st.integers(0, 4000))
def test_a_body_is_its_requests_own_and_as_long_as_it_is_to_be(request_id: bytes, other: bytes, size: int) -> None:
    body = content(request_id, size)
    assert len(body) == size
    assert content(request_id, size + 100)[:size] == body
    assert (content(other, size + 100) == content(request_id, size + 100)) == (other == request_id)


@few_examples
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_digest_is_that_of_the_whole_however_it_came(data: bytes, cuts: list[int]) -> None:
    taken = Digest()
    for part in parts(data, cuts):
        taken.take(part)
    assert (taken.length, taken.told()) == (len(data), digest(data))
    assert digest(data) == hashlib.blake2b(data, digest_size=16).hexdigest().encode()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (Said(200, INSTANCE, b"3-7"), ("", "")),
        (Said(200, INSTANCE), ("", "")),  # a proxy may take the field away: the body says whose it is
        (Said(503, INSTANCE, b"3-7"), ("status 503", "")),
        (Said(204, INSTANCE, b"3-7"), ("status 204", "")),
        (Said(200, INSTANCE, b"3-8\n"), (WRONG_BODY, r"the answer to request 3-8\n")),
        (Said(200, b"", b"3-7"), (WRONG_BODY, "not from a backend of ours")),
    ],
)
def test_an_answer_is_from_a_backend_of_ours_to_this_request(said: Said, told: tuple[str, str]) -> None:
    assert whose(said, b"3-7") == told


def test_of_a_download_that_never_ends_the_rest_is_not_even_counted() -> None:
    loading = Loading(b"3-7", 1000)
    for _ in range(100):
        loading.take(b"x" * 600)
    assert loading.judge(Said(200, INSTANCE, b"3-7")) == (WRONG_BODY, "1200 of 1000 bytes")
