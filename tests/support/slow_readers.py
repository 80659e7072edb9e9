"""Clients that read little, or nothing, of what they request."""

import contextlib
import socket
import time

from tests.support.running import DEADLINE_S, Server


def send_until_blocked(socks: list[socket.socket], content: bytes) -> list[int]:
    """Send the content on each socket until none takes more; return the bytes sent on each."""
    sent = [0] * len(socks)
    for sock in socks:
        sock.setblocking(False)
    rounds_without_progress = 0
    while rounds_without_progress < 20:
        rounds_without_progress += 1
        for at, sock in enumerate(socks):
            with contextlib.suppress(BlockingIOError):
                size = sock.send(memoryview(content)[sent[at] :])
                sent[at] += size
                rounds_without_progress = 0 if size else rounds_without_progress
        time.sleep(0.01)  # leaves a core to the server
    return sent


def small_window(server: Server, protocol: str = "http", window_bytes: int = 4096) -> socket.socket:
    """Return a connection whose kernel buffers little, so that the rest stays with the server."""
    address = server.http if protocol == "http" else server.echo
    assert address is not None
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    sock.settimeout(DEADLINE_S)
    sock.connect(address)
    return sock
