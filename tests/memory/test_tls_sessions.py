"""What clients offer over TLS, what they are shown, and how a connection ends there."""

from pathlib import Path
from typing import cast

import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.outcome import connection_failure
from proxyreload.client.tls import Trust, over_tls, trusting, unverified
from proxyreload.history import failures
from proxyreload.history.events import UNCLEAN, Ending, Shown
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import Settings, Target, TlsSettings
from proxyreload.run.encryption import Encryption

from .authority import NAME, authority, context_of, server_context
from .clocks import error_of
from .connections import Owner, answer_bytes
from .secured import Ends, SecureFront

BY_ITS_END = b"HTTP/1.1 200 OK\r\nBackend-Id: 0\r\n\r\nwhole"


def front(version: int = SSL.TLS1_3_VERSION) -> SecureFront:
    return SecureFront(context_of(authority().issue(), version), trusting(NAME, [authority().pem]))


def shown(ends: Ends) -> Shown:
    assert ends.secured.shown is not None
    return ends.secured.shown


def answered(ends: Ends) -> Ends:
    """Let one request be answered."""
    ends.wire.send(b"GET 0!\n", b"0")
    ends.goes_on()
    assert ends.got.endswith(b"GET 0!\n")
    ends.answers()
    assert ends.secured._owner.heard[-1] == ("answered",)  # type: ignore[attr-defined]
    return ends


@pytest.mark.parametrize(("version", "name"), [(SSL.TLS1_3_VERSION, "TLSv1.3"), (SSL.TLS1_2_VERSION, "TLSv1.2")])
def test_a_client_that_connects_again_resumes_its_session(version: int, name: str) -> None:
    there = front(version)
    owner, another = Owner(), Owner()
    first = answered(there.connect(owner))
    assert (shown(first).resumed, shown(first).offered, shown(first).version) == (False, False, name)
    first.secured.close()
    again = there.connect(owner)
    assert shown(again) == Shown(shown(first).serial, resumed=True, offered=True, version=name)
    assert not shown(there.connect(another)).offered, "it is another's"
    answered(again)
    assert shown(there.connect(owner)).resumed


def test_a_session_is_offered_once_there_was_an_answer_with_which_its_ticket_comes() -> None:
    there = front()
    owner = Owner()
    there.connect(owner)
    assert shown(there.connect(owner)) == Shown(shown(there.connect(owner)).serial, False, False, "TLSv1.3")  # noqa: FBT003


def test_who_has_no_tickets_is_shown_the_certificate_each_time() -> None:
    there = front()
    there.tickets = None
    owner = Owner()
    for _time in range(2):
        ends = answered(there.connect(owner))
        assert (shown(ends).resumed, shown(ends).offered) == (False, False)
        ends.secured.close()


def test_a_proxy_that_keeps_its_tickets_goes_on_with_the_certificate_of_before() -> None:
    there = front()
    owner = Owner()
    first = answered(there.connect(owner))
    new = there.shows = authority().issue()
    resumed = answered(there.connect(owner))
    assert (shown(resumed).resumed, shown(resumed).serial) == (True, shown(first).serial)
    assert shown(there.connect()) == Shown(new.serial, resumed=False, offered=False, version="TLSv1.3")


def test_a_proxy_that_forgets_its_tickets_shows_the_new_certificate_to_all() -> None:
    there = front()
    owner = Owner()
    answered(there.connect(owner))
    new = authority().issue()
    there.context = context_of(new)
    assert shown(there.connect(owner)) == Shown(new.serial, resumed=False, offered=True, version="TLSv1.3")


def test_a_session_is_not_offered_again_whose_connection_ended_without_close_notify() -> None:
    there = front()
    owner = Owner()
    answered(there.connect(owner)).finishes()
    assert not shown(there.connect(owner)).resumed


def test_an_http11_client_offers_nothing_else() -> None:
    there = front()
    offers: list[list[bytes]] = []

    def choose(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
        offers.append(offered)
        return offered[0]

    there.context.set_alpn_select_callback(choose)
    there.connect()
    there.connect(kind=over_tls(HTTP11Connection))
    assert offers == [[b"http/1.1"]] * 2


class Speaks(HTTP11Connection):
    """One that speaks something else."""

    ALPN = (b"h2",)


def test_who_speaks_nothing_but_h2_has_no_connection_to_a_proxy_that_does_not() -> None:
    there = front()
    assert refused(there.connect(kind=over_tls(Speaks))).endswith("the proxy does not speak h2.")
    there.context = context_of(authority().issue())
    there.context.set_alpn_select_callback(lambda _connection, _offered: b"h2")
    assert shown(there.connect(kind=over_tls(Speaks)))


# Whom it believes.


def refused(ends: Ends) -> str:
    """Return what a connection that could not be opened says."""
    ends.finishes()
    secured = cast("Deferred[object]", ends.secured.secured)
    failure, message = connection_failure(Failure(error_of(secured, Exception)))
    assert failure == failures.CONNECT_ERROR
    assert ends.secured.shown is None
    return message


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        (lambda: trusting("another.test", [authority().pem]), "VerificationError"),
        (lambda: trusting("127.0.0.2", [authority().pem]), "VerificationError"),
        (lambda: trusting(NAME, None), "certificate verify failed"),
    ],
)
def test_a_certificate_of_somebody_else_is_no_connection(trust: object, words: str) -> None:
    there = SecureFront(context_of(authority().issue()), cast(Trust, trust()))  # type: ignore[operator]
    assert words in refused(there.connect())


def test_an_address_is_a_name_too_and_any_certificate_will_do_where_that_is_said() -> None:
    assert shown(SecureFront(context_of(authority().issue()), trusting("127.0.0.1", [authority().pem])).connect())
    assert shown(SecureFront(server_context(), unverified("it")).connect()).serial == "7"


def test_a_proxy_that_has_no_certificate_or_closes_in_the_handshake_is_no_connection() -> None:
    there = front()
    assert refused(there.connect(says=False)) == "An error occurred while connecting: closed in the handshake."
    there.context = SSL.Context(SSL.TLS_SERVER_METHOD)
    assert "handshake failure" in refused(there.connect())


def test_a_run_has_what_it_needs_for_the_tls_that_is_asked_for(tmp_path: Path) -> None:
    def made(target: Target, tls: TlsSettings) -> Encryption:
        return Encryption.of(Settings(target, default(), tls=tls))

    plain = made(Target.front(8080), TlsSettings())
    assert (plain.trust, plain.tickets, plain.authority) == (None, None, None)
    ours = made(Target.front(8443, tls=True), TlsSettings(front=True))
    assert ours.trust is not None
    assert ours.tickets is not None
    assert ours.authority is not None
    assert shown(SecureFront(context_of(ours.authority.issue()), ours.trust).connect())
    theirs = Target.parse("https://127.0.0.1:8443/")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority().pem)
    for tls in (TlsSettings(ca=ca), TlsSettings(insecure=True)):
        encryption = made(theirs, tls)
        assert encryption.authority is None
        assert encryption.trust is not None
        assert shown(SecureFront(context_of(authority().issue()), encryption.trust).connect())


# How it ends.


@pytest.mark.parametrize("notified", [True, False])
def test_an_end_at_rest_is_one_with_close_notify_or_without(*, notified: bool) -> None:
    ends = answered(front().connect())
    if notified:
        ends.notifies()
    ends.finishes()
    told = "" if notified else UNCLEAN
    assert ends.secured._owner.heard[-1] == ("closed", Ending.IDLE.value, told)  # type: ignore[attr-defined]


def test_a_reset_is_one() -> None:
    ends = answered(front().connect())
    ends.resets()
    assert ends.secured._owner.heard[-1] == ("closed", Ending.IDLE.value, "reset")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("how", "failure", "message"),
    [
        ("notified", failures.CLOSED_REUSED, "request 2 on this connection"),
        ("finished", failures.CLOSED_REUSED, "request 2 on this connection, without close_notify"),
        ("reset", failures.RESET_REUSED, "request 2 on this connection"),
    ],
)
def test_a_request_under_way_is_lost_by_what_the_kernel_has_read(how: str, failure: str, message: str) -> None:
    ends = answered(front().connect())
    ends.wire.send(b"GET 1!\n", b"1")
    ends.goes_on()
    if how == "notified":
        ends.notifies()
    if how == "reset":
        ends.resets()
    else:
        ends.finishes()
    assert ends.secured._owner.heard[1:] == [("broken", failure, message)]  # type: ignore[attr-defined]


def test_a_reset_behind_close_notify_is_what_came_of_closing() -> None:
    ends = answered(front().connect())
    ends.wire.send(b"GET 1!\n", b"1")
    ends.goes_on()
    ends.notifies()
    ends.resets()
    assert ends.secured._owner.failures == [failures.CLOSED_REUSED]  # type: ignore[attr-defined]


@pytest.mark.parametrize("notified", [True, False])
def test_an_answer_that_ends_with_its_connection_is_whole_if_that_was_told(*, notified: bool) -> None:
    ends = front().connect()
    ends.wire.send(b"GET 0!\n", b"0")
    ends.goes_on()
    ends.answers(BY_ITS_END)
    if notified:
        ends.notifies()
    ends.finishes()
    told = ("broken", failures.TRUNCATED, "the connection was closed in the answer, without close_notify")
    assert ends.secured._owner.heard == [("answered",) if notified else told]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reason", "failure"), [(ConnectionDone, failures.TRUNCATED), (ConnectionLost, failures.RESET_MID_RESPONSE)]
)
def test_an_answer_that_breaks_off_is_truncated_or_reset(reason: type[Exception], failure: str) -> None:
    ends = front().connect()
    ends.wire.send(b"GET 0!\n", b"0")
    ends.goes_on()
    ends.answers(answer_bytes(b"0")[:-5])
    ends.client.connectionLost(Failure(reason()))
    assert ends.secured._owner.failures == [failure]  # type: ignore[attr-defined]
