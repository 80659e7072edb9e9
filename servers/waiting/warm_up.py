"""What a parent does before it forks, so that its children share as many of its pages as can be."""

import gc
import logging
import socket
from collections.abc import Sequence

from servers.sockets.listeners import Listener
from servers.waiting.blocking import serve_client
from servers.waiting.client import Client

_WARM_UP_REQUESTS = 20  # more than the runs after which CPython 3.11 to 3.13 have specialised code

_PIPELINED = 40  # as one batch they take the long ways, of parsing and of sending

_GAP_BYTES = range(0, 480, 16)  # Python's own allocator: one size class every 16 bytes, to 512
_GAPS = 100  # of each size: more than a start leaves behind, and less than 1 MB in all

_log = logging.getLogger("servers")


def prepare_pages(listeners: Sequence[Listener]) -> list[bytes]:
    """Warm up, and leave nothing in the parent's memory that makes a child copy its pages.

    Returns:
        What fills the gaps in the pages; to be kept for as long as the process forks.
    """
    warm_up(listeners)
    gc.collect()
    # Else what is allocated after a fork fills gaps all over the pages, and copies each.
    gaps_filled = [bytes(size) for size in _GAP_BYTES for _ in range(_GAPS)]
    gc.freeze()  # a collection would touch, and so copy, every page that a child shares
    return gaps_filled


def warm_up(listeners: Sequence[Listener]) -> None:
    """Serve a few clients of each protocol within the parent, before there are any.

    What Python specialises and caches at first use is then shared by all children; else each of
    them would do it anew, in pages of its own. Where it cannot be done, that is all that is lost.
    """
    one_of_each = {listener.protocol: listener for listener in listeners}
    try:
        for listener in one_of_each.values():
            for requests in (_PIPELINED, 1) * _WARM_UP_REQUESTS:
                ours, theirs = socket.socketpair()
                with ours, theirs:
                    theirs.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * requests)
                    theirs.shutdown(socket.SHUT_WR)
                    serve_client(Client(ours, listener, [0] * 8))
    except OSError as error:  # no descriptor, no memory, or such sockets are forbidden
        _log.warning("no warm-up (%s): each child takes more memory", error.strerror)
