"""The fast way of a plain request and the long way of all others: they answer alike."""

from collections.abc import Callable

import pytest
from hypothesis import given

from servers.protocol.head import HeadParser
from tests.support.conversations import CORPUS, Conversation, converse
from tests.support.streams import GOOD, Talk, cut, repeatable, streams, talk

PLAIN = [
    GOOD,
    GOOD.replace(b"/", b"/echo?n=1&m", 1),
    GOOD.replace(b"a", b"[::1]:80"),
    GOOD[:-2] + b"Connection: keep-alive\r\nAccept: b\r\nX: y\r\n\r\n",
]
"""Requests that take the fast way."""

NOT_PLAIN = {
    "two namesakes": GOOD[:-2] + b"Host: a\r\n\r\n",
    "a wrong host": GOOD.replace(b"a", b"a b"),
    "no host": GOOD.replace(b"Host", b"Most"),
    "a host in small letters": GOOD.replace(b"Host", b"host"),
    "a connection to close": GOOD[:-2] + b"Connection: close\r\n\r\n",
    "a length in small letters": GOOD[:-2] + b"content-length: 5\r\n\r\nhello",
    "an upgrade": GOOD[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a wrong field": GOOD[:-2] + b"X y\r\n\r\n",
    "too many fields": GOOD[:-2] + b"".join(b"X%d: y\r\n" % n for n in range(100)) + b"\r\n",
}
"""Requests that look plain, and of which only the long way can tell what they are."""


def _the_long_way(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> object:
    with monkeypatch.context() as patch:
        patch.setattr(HeadParser, "parse_fast", lambda self, data: None)
        return act()


@pytest.mark.parametrize("request_bytes", PLAIN)
def test_a_plain_request_takes_the_fast_way(request_bytes: bytes) -> None:
    assert HeadParser(0).parse_fast(request_bytes) is not None


@pytest.mark.parametrize("request_bytes", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_a_request_that_is_not_plain_takes_the_long_way(request_bytes: bytes) -> None:
    assert HeadParser(0).parse_fast(request_bytes) is None


@pytest.mark.parametrize("conversation", CORPUS, ids=lambda conversation: conversation.name)
def test_a_conversation_is_answered_alike_on_the_fast_way_and_the_long_way(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act() -> tuple[bytes, bool]:
        return converse(conversation.turns)

    assert act() == _the_long_way(monkeypatch, act)


@pytest.mark.parametrize("before", [b"", *PLAIN])
@pytest.mark.parametrize("request_bytes", [*PLAIN, *NOT_PLAIN.values()])
def test_a_request_is_answered_alike_on_the_fast_way_and_the_long_way(
    before: bytes, request_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act() -> Talk:
        return talk([before, request_bytes])

    assert act() == _the_long_way(monkeypatch, act)


@given(cut(streams()))
@repeatable
def test_any_stream_is_answered_alike_on_the_fast_way_and_the_long_way(parts: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert talk(parts) == _the_long_way(monkeypatch, lambda: talk(parts))
