"""The corpus: conversations kept as named files, and how to have them in memory.

A file holds what a client sends (``>``, escaped as in Python, ``<<9000*a>>`` for a repeat), ``=``
where it waits for an answer first, and what must come back (``<``): statuses with, after a space,
the content; at last ``open`` or ``closed``, whether the server ends the connection by itself.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers.app import App
from servers.process.log import log_handler_failure
from servers.protocol.connection import State, Wait
from servers.protocol.http11 import HTTPConnection

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY_BYTES_MAX = 1024 * 1024
_APP = App(lambda with_pss: b"")  # it keeps nothing of a connection


@dataclass(frozen=True)
class Conversation:
    """What a client sends, in turns, and the replies that it must get."""

    name: str
    turns: tuple[bytes, ...]
    replies: tuple[str, ...]
    closed: bool

    @property
    def sent(self) -> bytes:
        """All that the client sends."""
        return b"".join(self.turns)

    @property
    def malformed(self) -> bool:
        """Whether some of it must be answered with an error."""
        return any(reply[0] in "45" for reply in self.replies)


def load(path: Path) -> Conversation:
    """Read one file of the corpus."""
    turns, replies = [b""], []
    for line in path.read_text("ascii").splitlines():
        if line.startswith(">"):
            text = re.sub(r"<<(\d+)\*(.)>>", lambda m: m[2] * int(m[1]), line[1:])
            turns[-1] += text.encode("ascii").decode("unicode_escape").encode("latin-1")
        elif line == "=":
            turns.append(b"")
        elif line.startswith("<"):
            replies.append(line[1:].encode("ascii").decode("unicode_escape"))
        else:
            assert line.startswith("#"), f"{path.name}: {line!r}"
    end = replies.pop()
    assert end in ("open", "closed"), f"{path.name}: {end!r}"
    return Conversation(path.stem, tuple(filter(None, turns)), tuple(replies), end == "closed")


CORPUS = [load(path) for path in sorted((Path(__file__).parent.parent / "corpus").glob("*.txt"))]


def new_connection() -> HTTPConnection:
    """Return a connection whose clock stands still and that has no metrics."""
    app = App(lambda with_pss: b"")
    return HTTPConnection(app, lambda: DATE, [0] * 8, BODY_BYTES_MAX, log_handler_failure)


def converse(parts: Iterable[bytes]) -> tuple[bytes, bool]:
    """Feed parts of a stream and then its end to a new connection.

    Returns:
        All it answers, and whether it had closed before the stream ended.
    """
    connection = new_connection()
    answer = bytearray()
    for part in parts:
        for step in connection.receive_data(part):
            if not isinstance(step, Wait):
                answer += step
        if connection.state is State.CLOSED:
            return bytes(answer), True
    for step in connection.receive_data(b""):
        assert not isinstance(step, Wait)
        answer += step
    assert connection.state is State.CLOSED
    return bytes(answer), False


def split_replies(answer: bytes, methods: Sequence[str]) -> list[str]:
    """Return "STATUS content" of each reply; a reply to HEAD has none, despite its length."""
    replies, asked = [], iter(methods)
    while answer:
        head, _, answer = answer.partition(b"\r\n\r\n")
        status = head[9:12].decode("ascii")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        content = b""
        if status != "100" and next(asked, "?") != "HEAD" and length:
            content, answer = answer[: int(length[1])], answer[int(length[1]) :]
            assert len(content) == int(length[1])
        replies.append(f"{status} {content.decode('latin-1')}")
    return replies


def mask_date(answer: bytes) -> bytes:
    """Replace every Date line by that of ``new_connection``."""
    return re.sub(
        rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n", DATE, answer
    )
