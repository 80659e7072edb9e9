"""Back-pressure: a client that requests much and reads nothing costs little, and loses nothing."""

import contextlib
import os
import re
import socket

import pytest

from servers.registry import MODELS
from tests.support.asking import HELLO, ask, clients
from tests.support.running import DEADLINE_S, running
from tests.support.slow_readers import send_until_blocked

STREAM = b"GET /bytes?n=10000000000 HTTP/1.1\r\nHost: a\r\n\r\n"
IN_A_READ = 20_000
"""Requests; the largest read of any model holds fewer."""

ECHOED = 16 * os.urandom(1 << 20)


@pytest.mark.parametrize(
    ("protocol", "content"),
    [("http", STREAM), ("http", 1_000_000 * HELLO), ("echo", ECHOED)],
    ids=["a stream", "many replies", "echo"],
)
def test_client_that_requests_much_and_reads_nothing_costs_little_and_loses_nothing(
    model: str, protocol: str, content: bytes
) -> None:
    # Goal: a server stops reading from a client that does not read, and resumes later. Method:
    # clients send until the server takes no more; its memory is read; then some of them read.
    # uvloop holds two of its reads of 256,000 bytes; all others hold less than 200,000. A child
    # process also copies pages that it would share if it were idle.
    count, each_max = 8, 1_200_000 if MODELS[model].own_process else 600_000
    with running(model, "--timeout-write=600") as server, contextlib.ExitStack() as stack:
        with clients(server, count):  # the cost of connections alone
            before = server.metrics("?memory=pss")["server_proportional_bytes"]
        socks = [stack.enter_context(server.connect(protocol)) for _ in range(count)]
        sent = send_until_blocked(socks, content)
        held = server.metrics("?memory=pss")
        during = held["server_proportional_bytes"]
        assert during - before < count * each_max, (during - before) / count
        for sock, size in zip(socks[:5], sent, strict=False):  # and then they read
            sock.settimeout(DEADLINE_S)
            if content is ECHOED:
                assert received(sock, size) == ECHOED[:size]
            elif content is STREAM:
                head, _, begun = received(sock, 1000).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                wanted = server.get("/bytes?n=5000000")
                assert begun + received(sock, len(wanted) - len(begun)) == wanted
            else:
                assert len(HELLO) <= size < len(content)
                reply = server.ask(HELLO)
                whole = size // len(HELLO)
                if sock is not socks[0]:  # one client reads to the last byte: seconds of work
                    # Beyond all replies that the server had sent, or had in hand, when it stopped.
                    sent_before = held["server_sent_bytes_total{http}"] / count / len(reply)
                    whole = min(whole, 4 * int(sent_before) + IN_A_READ)
                replies = received(sock, whole * len(reply))
                assert undated(replies) == whole * undated(reply)
        assert ask(stack.enter_context(server.connect())).startswith(b"HTTP/1.1 200 ")


def undated(replies: bytes) -> bytes:
    """Remove the Date lines."""
    return re.sub(rb"\r\nDate: [^\r]*", b"", replies)


def received(sock: socket.socket, size: int) -> bytes:
    """Return the next ``size`` bytes."""
    parts = []
    while size and (part := sock.recv(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
