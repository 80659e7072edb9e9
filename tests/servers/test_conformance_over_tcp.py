"""The connection in memory is the oracle: every model answers over TCP as it does."""

import socket

import pytest

from tests.support.conversations import (
    CORPUS,
    DATE,
    Conversation,
    converse,
    mask_date,
    new_connection,
)
from tests.support.running import Server, read_to_end

each_conversation = pytest.mark.parametrize("conversation", CORPUS, ids=lambda c: c.name)


def converse_over_tcp(server: Server, turns: tuple[bytes, ...]) -> bytes:
    """Send the turns, waiting after each for what memory says it is answered with."""
    with server.connect() as sock:
        answer = b""
        for count, turn in enumerate(turns, 1):
            sock.sendall(turn)
            if count < len(turns):
                expected = len(_answer_so_far(turns[:count]))
                while len(answer) < expected:
                    answer += sock.recv(expected - len(answer))
        sock.shutdown(socket.SHUT_WR)
        return mask_date(answer + read_to_end(sock))


def _answer_so_far(turns: tuple[bytes, ...]) -> bytes:
    connection, answer = new_connection(), b""
    for turn in turns:
        answer += b"".join(step for step in connection.receive_data(turn) if type(step) is bytes)
    return answer


@each_conversation
def test_a_model_answers_as_the_connection_in_memory_does(
    server: Server, conversation: Conversation
) -> None:
    assert converse_over_tcp(server, conversation.turns) == converse(conversation.turns)[0]


def test_a_model_answers_the_same_when_the_stream_comes_in_single_bytes(server: Server) -> None:
    for conversation in CORPUS:
        if len(conversation.turns) != 1 or len(conversation.sent) > 200:
            continue
        with server.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in conversation.sent:
                sock.send(bytes((byte,)))
            sock.shutdown(socket.SHUT_WR)
            answer = mask_date(read_to_end(sock))
        assert answer == converse(conversation.turns)[0], conversation.name


def test_dates_are_equal_only_because_they_are_masked(server: Server) -> None:
    answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert DATE not in answer
    assert DATE in mask_date(answer)
