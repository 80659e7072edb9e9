"""h11 as a second opinion on where a request ends and what it says.

Two parsers that read the same bytes differently are what request smuggling is made of. So, on the
corpus and on what chance makes of it, this holds to the letter: we take a request if, and only if,
h11 takes it and no entry of ``REASONS`` speaks against it; and then with h11's method, target and
content, in h11's order. ``REASONS`` (h11 takes it, we do not), ``OURS_ALONE`` and the docstring of
``h11_verdict`` (we take it, h11 does not) are the reviewed list of differences. Nothing else may
differ.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given, settings

from servers.app import App
from servers.protocol.connection import Wait
from servers.protocol.messages import Handler, Request, Response
from tests.support.conversations import CORPUS, Conversation
from tests.support.h11_differences import BODY_BYTES_MAX, OURS_ALONE, REASONS, Reason
from tests.support.h11_verdict import Message, Taken, h11_verdict
from tests.support.streams import connect, repeatable, split_answer, streams


@dataclass(frozen=True)
class Refusal:
    """A request, or the start of one, that was answered with an error."""

    status: int
    detail: str


class Recorder(App):
    """Stands in for the application: answers all there is with 200 and remembers it."""

    def __init__(self) -> None:
        super().__init__(lambda with_pss: b"")
        self.taken: list[Taken] = []

    def find(self, method: bytes, path: bytes) -> Handler | Response:
        return self._record

    def _record(self, request: Request) -> Response:
        self.taken.append(Taken(request.method, request.path, request.query, request.content))
        return Response(200)


def our_verdict(parts: Iterable[bytes]) -> list[Taken | Refusal]:
    """Return what becomes of each request in the stream, in order."""
    recorder = Recorder()
    connection = connect(recorder, BODY_BYTES_MAX)
    answer = bytearray()
    for part in [*parts, b""]:
        for step in connection.receive_data(part):
            assert not isinstance(step, Wait)
            answer += step
    taken = iter(recorder.taken)
    verdict: list[Taken | Refusal] = []
    for reply in split_answer(bytes(answer)):
        head, _, body = reply.partition(b"\r\n\r\n")
        status = int(head[9:12])
        assert status != 500, "an exception is no verdict"
        if status == 200:
            verdict.append(next(taken))
        elif status != 100:
            verdict.append(Refusal(status, body.decode("ascii").rstrip()))
    assert next(taken, None) is None, "a request was handled and not answered"
    return verdict


def assert_no_unexplained_difference(stream: bytes) -> None:
    messages, error = h11_verdict(stream)
    ends = [0, *(message.end for message in messages), len(stream)]
    message_by_message = [stream[start:end] for start, end in pairwise(ends) if end > start]
    # A head that arrives by itself is read by a faster parser than one with something behind it.
    for parts in ([stream], message_by_message):
        difference = _difference(our_verdict(parts), messages, error, stream)
        assert difference is None, (
            f"{difference}\nstream: {stream!r}\nours:   {our_verdict(parts)}\n"
            f"h11's:  {[message.meaning() for message in messages]}, then {error or 'nothing'}"
        )


def _difference(
    ours: list[Taken | Refusal], messages: list[Message], error: str, stream: bytes
) -> str | None:
    """Say where our verdict is not what h11's and the list make us expect."""
    rest = iter(ours)
    for number, message in enumerate(messages):
        verdict = next(rest, None)
        reasons = [reason for reason in REASONS if reason.applies(message)]
        if verdict is None:
            return f"request {number} is taken by h11 and not answered by us"
        if isinstance(verdict, Taken):
            if reasons:
                return f"request {number} must not be taken: {reasons[0].why}"
            if verdict != message.meaning():
                return f"request {number} is another one for h11"
        elif verdict.status not in [reason.status for reason in reasons]:
            return f"request {number} is refused for no reviewed reason"
        elif verdict.status != 417 or message.has_body:
            return "something follows a refusal" if next(rest, None) else None
    refusal = f"{error}\n{stream[messages[-1].end if messages else 0 :].decode('latin-1')}"
    if any(pattern.match(refusal) for pattern, _ in OURS_ALONE.values()):
        return None
    for verdict in rest:
        if isinstance(verdict, Taken):
            return "a request is taken that h11 does not take"
        if not error:
            return "an error is answered where h11 sees nothing wrong"
        return "something follows a refusal" if next(rest, None) else None
    return "what h11 has something against is not answered" if error else None


@pytest.mark.parametrize("conversation", CORPUS, ids=lambda conversation: conversation.name)
def test_the_corpus_holds_no_unexplained_difference(conversation: Conversation) -> None:
    assert_no_unexplained_difference(conversation.sent)


@given(streams())
@example(b"GET / HTTP/2.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")  # its 0 is not 1.0's
@settings(repeatable, max_examples=1500)
def test_chance_finds_no_unexplained_difference(stream: bytes) -> None:
    assert_no_unexplained_difference(stream)


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.why)
def test_each_reason_stands_for_a_difference_that_is_there(reason: Reason) -> None:
    messages, error = h11_verdict(reason.example)
    assert len(messages) == 1
    assert not error
    assert [other.why for other in REASONS if other.applies(messages[0])] == [reason.why]
    (verdict,) = our_verdict([reason.example])
    assert isinstance(verdict, Refusal)
    assert verdict.status == reason.status
    assert_no_unexplained_difference(reason.example)


@pytest.mark.parametrize(("pattern", "example"), OURS_ALONE.values(), ids=OURS_ALONE)
def test_requests_that_only_this_parser_accepts_are_accepted(
    pattern: re.Pattern[str], example: bytes
) -> None:
    messages, error = h11_verdict(example)
    assert messages == []
    assert pattern.match(f"{error}\n{example.decode('latin-1')}")
    (verdict,) = our_verdict([example])
    assert isinstance(verdict, Taken)
