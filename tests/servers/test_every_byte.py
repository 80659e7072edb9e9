"""Every byte value in every place of a request, against the sets of characters of the RFCs.

The sets are written out here once more, from the texts and not from ``servers``: a regular
expression that is wrong by one character is found by nothing but an independent list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from tests.support.conversations import new_connection
from tests.support.streams import connect, joined, single_bytes, statuses

# RFC 5234 appendix B.1.
DIGIT = frozenset(b"0123456789")
UPPER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
LOWER = frozenset(b"abcdefghijklmnopqrstuvwxyz")
VCHAR = frozenset(range(0x21, 0x7F))
WHITE_SPACE = frozenset(b"\t ")
# RFC 9110 section 5.6.2 (token), 5.5 (field value), 5.6.4 (quoted string).
TCHAR = frozenset(b"!#$%&'*+-.^_`|~") | DIGIT | UPPER | LOWER
OBS_TEXT = frozenset(range(0x80, 0x100))
IN_A_VALUE = VCHAR | OBS_TEXT | WHITE_SPACE
QDTEXT = IN_A_VALUE - frozenset(b'"\\')
# RFC 3986 section 2.2 and 2.3; the comma is left out, for it joins two Hosts into one.
IN_A_HOST = frozenset(b"-._~!$&'()*+;=") | DIGIT | UPPER | LOWER
HEX_DIGIT = DIGIT | frozenset(b"ABCDEFabcdef")

LINE = b"GET / HTTP/1.1\r\nHost: a\r\n"
ASK = b"GET / HTTP/1.1\r\nHost: x"
SIZE = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: "
CODING = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
EXPECT = b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue"
CHUNKS = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

Verdict = Callable[[int], int]
"""The status that a byte must be answered with."""

NOTHING_YET = 0
"""Not a status: the request is well so far, and not at its end."""


def only(allowed: bytes | frozenset[int], status: int = 200) -> Verdict:
    return lambda byte: status if byte in allowed else 400


def so_far(allowed: bytes | frozenset[int]) -> Verdict:
    return only(allowed, NOTHING_YET)


def _method(byte: int) -> int:
    if byte == ord("E"):
        return 200
    return 501 if byte in TCHAR else 400  # RFC 9110 section 9.1: small letters are others


def _in_a_path(byte: int) -> int:
    # RFC 3986 section 3.3: pchar and the slash; "%y" encodes nothing; "?" begins a query.
    return 404 if byte in frozenset(b"-._~!$&'()*+,;=:@/?") | DIGIT | UPPER | LOWER else 400


def _minor_version(byte: int) -> int:
    return 200 if byte in DIGIT else 400  # RFC 9110 section 2.5: 1.2 is read as 1.1


def _major_version(byte: int) -> int:
    if byte == ord("1"):
        return 200
    return 505 if byte in DIGIT else 400


def _behind_a_coding(byte: int) -> int:
    if byte in WHITE_SPACE:
        return 200  # RFC 9110 section 5.5: no part of the value
    return 400  # another coding, and so not chunked at last


def _behind_an_expectation(byte: int) -> int:
    if byte in WHITE_SPACE | frozenset(b","):  # RFC 9110 section 5.6.1.2: an empty member
        return 200
    return 417 if byte in IN_A_VALUE else 400


@dataclass(frozen=True)
class Place:
    """Somewhere in a request: what stands before and behind the byte, and what must come of it."""

    name: str
    before: bytes
    behind: bytes
    verdict: Verdict


END = b"\r\nHost: a\r\n\r\n"
NAME_OR_COLON = TCHAR | frozenset(b":")
IN_A_QUERY = VCHAR - frozenset(b'#"<>')  # all that browsers do not encode there

PLACES = [
    # The request line (RFC 9112 section 3): one space, no other, between its parts.
    Place("first of a method", b"", b"PUT / HTTP/1.1" + END, only(TCHAR, 501)),
    Place("in a method", b"G", b"T / HTTP/1.1" + END, _method),
    Place("before the target", b"GET", b"/ HTTP/1.1" + END, only(b" ")),
    Place("first of a target", b"GET ", b"? HTTP/1.1" + END, only(b"/")),
    Place("in a path", b"GET /x", b"y HTTP/1.1" + END, _in_a_path),
    Place("in a query", b"GET /?x", b"y HTTP/1.1" + END, only(IN_A_QUERY)),
    Place("last of a query", b"GET /?", b" HTTP/1.1" + END, only(IN_A_QUERY)),
    Place("before the version", b"GET /", b"HTTP/1.1" + END, only(b" ")),
    Place("for the H", b"GET / ", b"TTP/1.1" + END, only(b"H")),
    Place("for the P", b"GET / HTT", b"/1.1" + END, only(b"P")),
    Place("for the slash", b"GET / HTTP", b"1.1" + END, only(b"/")),
    Place("major version", b"GET / HTTP/", b".1" + END, _major_version),
    Place("for the dot", b"GET / HTTP/1", b"1" + END, only(b".")),
    Place("minor version", b"GET / HTTP/1.", END, _minor_version),
    Place("behind the version", b"GET / HTTP/1.1", END, only(b"")),
    Place("for a line's CR", b"GET / HTTP/1.1", END[1:], only(b"\r")),
    Place("for a line's LF", b"GET / HTTP/1.1\r", END[2:], only(b"\n")),
    # Fields (RFC 9112 section 5): no white space before the colon, no line that begins with any.
    Place("first of a name", LINE, b"X: y\r\n\r\n", only(TCHAR)),
    Place("in a name", LINE + b"X", b"Y: z\r\n\r\n", only(NAME_OR_COLON)),
    Place("last of a name", LINE + b"X", b": y\r\n\r\n", only(NAME_OR_COLON)),
    Place("for the colon", LINE + b"X", b" y\r\n\r\n", only(b":")),
    Place("first of a value", LINE + b"X:", b"y\r\n\r\n", only(IN_A_VALUE)),
    Place("in a value", LINE + b"X: y", b"z\r\n\r\n", only(IN_A_VALUE)),
    Place("last of a value", LINE + b"X: y", b"\r\n\r\n", only(IN_A_VALUE)),
    Place("for a field's CR", LINE + b"X: y", b"\n\r\n", only(b"\r")),
    Place("for a field's LF", LINE + b"X: y\r", b"\r\n", only(b"\n")),
    Place("for the last CR", LINE, b"\n", only(b"\r")),
    Place("for the last LF", LINE + b"\r", b"", only(b"\n")),
    # Two that we read ourselves: Host (RFC 3986 section 3.2) and Content-Length.
    Place("in a host", ASK, b"y\r\n\r\n", only(IN_A_HOST)),
    Place("last of a host", ASK, b"\r\n\r\n", only(IN_A_HOST | frozenset(b": \t"))),
    Place("in a port", ASK + b":", b"0\r\n\r\n", only(DIGIT)),
    Place("first of a length", SIZE, b"\r\n\r\n" + b"x" * 9, only(DIGIT)),
    Place("last of a coding", CODING, b"\r\n\r\n0\r\n\r\n", _behind_a_coding),
    Place("last of an expectation", EXPECT, b"\r\n\r\n", _behind_an_expectation),
    Place("last of a length", SIZE + b"1", b"\r\n\r\n" + b"x" * 19, only(DIGIT | WHITE_SPACE)),
    # Chunks (RFC 9112 section 7.1): a chunk begun well is answered with nothing yet.
    Place("first of a size", CHUNKS, b"\r\n", so_far(HEX_DIGIT)),
    Place("last of a size", CHUNKS + b"1", b"\r\n", so_far(HEX_DIGIT)),
    Place("for a size's CR", CHUNKS + b"1", b"\n", so_far(b"\r")),
    Place("for a size's LF", CHUNKS + b"1\r", b"x", so_far(b"\n")),
    Place("for a chunk's CR", CHUNKS + b"1\r\nx", b"\n", so_far(b"\r")),
    Place("for a chunk's LF", CHUNKS + b"1\r\nx\r", b"", so_far(b"\n")),
    # Chunk extensions (RFC 9112 section 7.1.1): BWS ";" BWS name [ BWS "=" BWS value ].
    Place("for the semicolon", CHUNKS + b"1", b"x\r\n", so_far(b";")),
    Place("before the semicolon", CHUNKS + b"1", b";x\r\n", so_far(HEX_DIGIT | WHITE_SPACE)),
    Place("first of an extension", CHUNKS + b"1;", b"x\r\n", so_far(TCHAR | WHITE_SPACE)),
    Place("in an extension", CHUNKS + b"1;x", b"y\r\n", so_far(TCHAR | frozenset(b";="))),
    Place("last of an extension", CHUNKS + b"1;x", b"\r\n", so_far(TCHAR)),
    Place("before the equals sign", CHUNKS + b"1;x", b"=y\r\n", so_far(TCHAR | WHITE_SPACE)),
    Place("first of its value", CHUNKS + b"1;x=", b"y\r\n", so_far(TCHAR | WHITE_SPACE)),
    Place("in its value", CHUNKS + b"1;x=y", b"z\r\n", so_far(TCHAR | frozenset(b";"))),
    Place("in quotes", CHUNKS + b'1;x="y', b'z"\r\n', so_far(QDTEXT | frozenset(b"\\"))),
    Place("behind a backslash", CHUNKS + b'1;x="\\', b'"\r\n', so_far(IN_A_VALUE)),
    Place("behind quotes", CHUNKS + b'1;x="y"', b"\r\n", only(b"")),
    # Trailers (RFC 9112 section 7.1.2), which are fields like others.
    Place("for the very last CR", CHUNKS + b"0\r\n", b"\n", only(b"\r")),
    Place("for the very last LF", CHUNKS + b"0\r\n\r", b"", only(b"\n")),
    Place("first of a trailer", CHUNKS + b"0\r\n", b"X: y\r\n\r\n", only(TCHAR)),
    Place("in a trailer's name", CHUNKS + b"0\r\nX", b"Y: z\r\n\r\n", only(NAME_OR_COLON)),
    Place("in a trailer's value", CHUNKS + b"0\r\nX: y", b"z\r\n\r\n", only(IN_A_VALUE)),
    Place("for a trailer's CR", CHUNKS + b"0\r\nX: y", b"\n\r\n", only(b"\r")),
    Place("for a trailer's LF", CHUNKS + b"0\r\nX: y\r", b"\r\n", only(b"\n")),
]  # fmt: skip


def answered(parts: Iterable[bytes]) -> int:
    connection = connect()
    answer = b"".join(joined(connection, connection.receive_data(part)) for part in parts)
    status, *others = statuses(answer) or [NOTHING_YET]
    assert not others
    return status


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_each_byte_is_accepted_or_refused_as_the_grammar_says(place: Place) -> None:
    wrong = {}
    for value in range(256):
        stream = place.before + bytes((value,)) + place.behind
        verdicts = answered([stream]), answered(single_bytes(stream))
        expected = place.verdict(value)
        if verdicts != (expected, expected):
            wrong[bytes((value,))] = expected, verdicts
    assert not wrong


@pytest.mark.parametrize("stream", [SIZE + b"256\r\n\r\n%b", CHUNKS + b"100\r\n%b\r\n0\r\n\r\n"])
def test_content_may_be_any_bytes(stream: bytes) -> None:
    content = bytes(range(256))
    connection = new_connection()
    answer = joined(connection, connection.receive_data(stream % content))
    assert answer.endswith(b"\r\n\r\n" + content)
