"""The corpus, answered by a connection in memory: whole, byte by byte, and at every cut."""

import re
from collections.abc import Iterator

import pytest

from tests.support.conversations import CORPUS, Conversation, converse, split_replies

each_conversation = pytest.mark.parametrize("conversation", CORPUS, ids=lambda c: c.name)


def test_the_corpus_is_large_and_mostly_malformed() -> None:
    assert len(CORPUS) >= 150
    assert sum(conversation.malformed for conversation in CORPUS) >= len(CORPUS) / 2


@each_conversation
def test_a_conversation_gets_the_replies_it_must_get(conversation: Conversation) -> None:
    answer, closed = converse(conversation.turns)
    methods = re.findall(r"(?:^|\n)([A-Z]+) [^\r\n]* HTTP/", conversation.sent.decode("latin-1"))
    replies = split_replies(answer, methods)
    for reply, expected in zip(replies, conversation.replies, strict=False):
        assert reply[: len(expected)] == expected if len(expected) == 3 else reply == expected
    assert len(replies) == len(conversation.replies)
    assert closed == conversation.closed


@each_conversation
def test_the_answer_does_not_depend_on_where_the_stream_is_cut(
    conversation: Conversation,
) -> None:
    whole = converse(conversation.turns)
    for turn, sent in enumerate(conversation.turns):
        before, after = conversation.turns[:turn], conversation.turns[turn + 1 :]
        for cut in _cuts(len(sent)):
            assert converse([*before, sent[:cut], sent[cut:], *after]) == whole, f"cut at {cut}"


def _cuts(length: int) -> Iterator[int]:
    """Yield each cut; in the filling of what is long those around each KiB, and every 13th.

    All of 16 KiB took 20 s, and told nothing more: limits are whole KiB.
    """
    for cut in range(1, length):
        around_limit = (cut + 16) % 1024 < 32
        if cut < 1024 or cut > length - 1024 or around_limit or cut % 13 == 0:
            yield cut


@each_conversation
def test_the_answer_is_the_same_byte_by_byte(conversation: Conversation) -> None:
    single = [sent[i : i + 1] for sent in conversation.turns for i in range(len(sent))]
    assert converse(single) == converse(conversation.turns)


@each_conversation
def test_every_reply_has_the_fields_it_must_have(conversation: Conversation) -> None:
    answer, closed = converse(conversation.turns)
    heads = [head for head in re.split(rb"(?=HTTP/1\.1 \d{3} [A-Z])", answer) if head]
    for head in heads:
        if head.startswith(b"HTTP/1.1 100"):
            assert b"Date" not in head
            continue
        assert head.count(b"\r\nDate: ") == 1  # RFC 9110 section 6.6.1
        assert head.startswith(b"HTTP/1.1 204") != (b"\r\nContent-Length: " in head)
        if head.startswith(b"HTTP/1.1 405"):
            assert b"\r\nAllow: " in head  # RFC 9110 section 15.5.6
    if closed:
        assert heads[-1].count(b"\r\nConnection: close\r\n") == 1  # RFC 9112 section 9.6
