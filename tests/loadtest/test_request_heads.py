"""Hosts, paths and headers of a user are sent as meant, or refused at once."""

import argparse
import re

import pytest

from loadtest.client.address import Address, address_of, url_of
from loadtest.client.replies import HTTPExchange
from loadtest.client.request import USER_AGENT, field_line, target_of
from loadtest.host.command_line import hidden_in
from loadtest.knobs import checked
from loadtest.measure.errors import NotConnectedError

HERE = Address("127.0.0.1", 8000)


def fields_of(exchange: HTTPExchange) -> list[str]:
    return exchange.request.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")[1:]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("/", "/"),
        ("/a/b.c?x=1&y=%20", "/a/b.c?x=1&y=%20"),
        ("/münchen", "/m%C3%BCnchen"),
        ("/a b?c=d e", "/a%20b?c=d%20e"),
        ("/a\udcff", "/a%FF"),  # an argument that is no UTF-8
        ('/?q=<>"{}|\\^`[]', "/?q=%3C%3E%22%7B%7D%7C%5C%5E%60%5B%5D"),
        ("//two", "//two"),
    ],
)
def test_a_path_is_encoded_as_browsers_do_it(text: str, sent: str) -> None:
    assert target_of(text) == sent
    assert HTTPExchange(HERE, text).request.startswith(f"GET {sent} HTTP/1.1\r\n".encode("ascii"))


@pytest.mark.parametrize(
    "text",
    ["", "a", "http://a/", "/a\r\nX: y", "/a\nb", "/a\tb", "/\x00", "/a#b", "/%", "/%zz", "/a%2"],
)
def test_an_ambiguous_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected .*, got " + re.escape(repr(text))):
        target_of(text)
    with pytest.raises(argparse.ArgumentTypeError, match=r"^expected"):
        checked(target_of)(text)
    with pytest.raises(ValueError, match=r"^expected"):
        HTTPExchange(HERE, text)


@pytest.mark.parametrize(
    ("text", "line"),
    [("X-A: b", "X-A: b"), ("a:b", "a: b"), ("A:", "A: "), ("A: \t b:c \t", "A: b:c")],
)
def test_a_header_is_sent_unchanged(text: str, line: str) -> None:
    assert field_line(text) == line
    assert line in fields_of(HTTPExchange(HERE, headers=[text]))


@pytest.mark.parametrize(
    "text",
    [
        "", "X", ": b", "X Y: b", "X : b", "X: a\r\nY: b", "X: a\n", "X: \x00", "X: é",
        "Content-Length: 5", "transfer-encoding: chunked",
    ],
)  # fmt: skip
def test_a_broken_header_or_one_that_frames_the_request_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected"):
        field_line(text)


def test_a_request_has_our_user_agent_unless_a_header_replaces_it() -> None:
    assert fields_of(HTTPExchange(HERE)) == ["Host: 127.0.0.1:8000", f"User-Agent: {USER_AGENT}"]
    ours = fields_of(HTTPExchange(HERE, headers=["user-agent: mine", "host: a", "X: 1", "X: 2"]))
    assert ours == ["user-agent: mine", "host: a", "X: 1", "X: 2"]


def test_a_connection_close_header_makes_each_request_a_connection_of_its_own() -> None:
    exchange = HTTPExchange(HERE, closes=True, headers=["Connection: Close"])
    assert exchange.closes and fields_of(exchange).count("Connection: Close") == 1
    assert "Connection: close" not in fields_of(exchange)


@pytest.mark.parametrize(
    ("text", "address", "target"),
    [
        ("http://a:1/", ("a", 1), ""),
        ("http://a:1/api/v1?x=1", ("a", 1), "/api/v1?x=1"),
        ("http://a:1?x", ("a", 1), "/?x"),
        ("HTTP://a", ("a", 80), ""),
        ("http://a/ü", ("a", 80), "/%C3%BC"),
        ("http://münchen.de", ("xn--mnchen-3ya.de", 80), ""),
        ("http://[fd00::1]:80", ("fd00::1", 80), ""),
        ("tcp://[::1]", ("::1", 80), ""),
        ("http://[fe80::1%25lo]:8", ("fe80::1%lo", 8), ""),
    ],
)
def test_a_url_is_parsed_with_its_path(text: str, address: tuple[str, int], target: str) -> None:
    url = url_of(text, 80)
    assert url.address == Address(*address) and url.target == target
    again = url_of(f"http://{url.address.authority}{target}", 1)
    assert again.address == url.address and again.target == target


def test_the_host_field_of_an_ipv6_address_has_brackets_and_no_zone() -> None:
    address = address_of("http://[fe80::1%25lo]:8", 80)
    assert "Host: [fe80::1]:8" in fields_of(HTTPExchange(address))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected http://HOST:PORT"),
        ("http://", "expected http://HOST:PORT"),
        ("http://:8000", "expected http://HOST:PORT"),
        ("https://a", "expected http://HOST:PORT"),
        ("http://a:", "a port"),
        ("http://a:0", "a port"),
        ("http://a:x", "expected http://HOST:PORT"),
        ("http://user:secret@a", "no credentials"),
        ("http://a/#b", "no fragment"),
        ("http://a b", "no space"),
        ("http://a/b c", "no space"),
        ("http://a\r\n", "no space"),
        ("http://a/%zz", "two hexadecimal digits"),
        ("tcp://a:1/x", "without a path"),
        ("http://[fd00::x]", "expected"),
        ("http://a|b", "a host of letters"),
    ],
)
def test_a_url_with_a_part_that_would_be_ignored_is_refused(text: str, why: str) -> None:
    with pytest.raises(NotConnectedError, match=r"^expected .*, got ") as raised:
        url_of(text, 80)
    assert why in str(raised.value)


def test_a_command_line_is_kept_without_the_values_of_headers() -> None:
    given = [
        "run",
        "--header",
        "A: secret",
        "--header=B: secret",
        "--head=C: secret",
        "--path",
        "/",
    ]
    kept = hidden_in(given)
    assert "secret" not in " ".join(kept)
    assert [kept[2][:2], kept[3][:10], kept[-1]] == ["A:", "--header=B", "/"]
