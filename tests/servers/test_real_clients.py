"""Real clients against every model: aiohttp, asyncio, http.client, curl, wrk and ab."""

import asyncio
import hashlib
import http.client
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.running import DEADLINE_S, Server, read_to_end

MIB = 1 << 20
NUMBERS = b"".join(b"%07d\n" % i for i in range(MIB // 8))
"""A mebibyte of which no part is like another."""


def base_of(server: Server) -> str:
    assert server.http is not None
    return "http://{}:{}".format(*server.http)


def tool(name: str) -> str:
    """Return where a program is; skip the test if it is nowhere."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str, stdin: bytes = b"") -> tuple[bytes, str]:
    """Run a client that must succeed; return its standard output and standard error."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done
    return done.stdout, done.stderr.decode()


# -- aiohttp -----------------------------------------------------------------------------------


class Connections(aiohttp.TraceConfig):
    """Counts how a session came by its connections."""

    def __init__(self) -> None:
        super().__init__()
        self.made = self.reused = 0
        self.on_connection_create_end.append(self._on_made)
        self.on_connection_reuseconn.append(self._on_reused)

    async def _on_made(self, *_: object) -> None:
        self.made += 1

    async def _on_reused(self, *_: object) -> None:
        self.reused += 1


def session_of(server: Server, *traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        base_of(server),
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(DEADLINE_S),
        raise_for_status=True,
        trace_configs=list(traces),
    )


@pytest.mark.asyncio
async def test_aiohttp_is_answered_on_every_route(server: Server) -> None:
    zeros = hashlib.sha256(bytes(3 << 10)).hexdigest().encode() + b"\n"
    async with session_of(server) as session:
        for path, type_, content in [
            ("/", "text/plain", b"Hello, World!"),
            ("/json", "application/json", b'{"message": "Hello, World!"}'),
            ("/wait?ms=1", "text/plain", b"waited 1 ms\n"),
            ("/cpu?n=0", "text/plain", b"1\n"),
            ("/hash?kib=3", "text/plain", zeros),
            ("/healthz", "text/plain", b"ok\n"),
        ]:
            async with session.get(path) as reply:
                assert (reply.content_type, await reply.read()) == (type_, content)
        async with session.get("/bytes?n=3000001") as reply:
            assert len(await reply.read()) == 3_000_001
        async with session.get("/metrics?memory=pss") as reply:
            assert "server_proportional_bytes" in await reply.text()
        async with session.post("/echo", data=NUMBERS) as reply:
            assert await reply.read() == NUMBERS
    async with session_of(server) as session:
        for method, path, status in [("GET", "/no", 404), ("PUT", "/", 405), ("GET", "/echo", 405)]:
            async with session.request(method, path, raise_for_status=False) as reply:
                assert reply.status == status


@pytest.mark.asyncio
async def test_100_aiohttp_clients_wait_at_the_same_time(server: Server) -> None:
    async def wait(session: aiohttp.ClientSession) -> bytes:
        async with session.get("/wait?ms=500") as reply:
            return await reply.read()

    connections = Connections()
    async with session_of(server, connections) as session:
        start_s = time.monotonic()
        replies = await asyncio.gather(*(wait(session) for _ in range(100)))
        took_s = time.monotonic() - start_s
    assert replies == [b"waited 500 ms\n"] * 100
    assert connections.made == 100
    assert 0.5 <= took_s < 25  # one after the other: 50


@pytest.mark.asyncio
async def test_aiohttp_keeps_its_connection_for_every_request(server: Server) -> None:
    connections = Connections()
    async with session_of(server, connections) as session:
        for path in ["/", "/json", "/wait?ms=0", "/bytes?n=100000"] * 5:
            async with session.get(path) as reply:
                await reply.read()
        async with session.head("/bytes?n=5000000000") as reply:
            assert reply.headers["Content-Length"] == "5000000000"
            assert await reply.read() == b""
        async with session.options("/echo") as reply:
            assert (reply.status, reply.headers["Allow"]) == (204, "POST, OPTIONS")
        async with session.get("/nope", raise_for_status=False) as reply:
            assert (reply.status, await reply.read()) == (404, b"not found\n")
        async with session.get("/wait?ms=no", raise_for_status=False) as reply:
            assert (reply.status, await reply.read() != b"") == (400, True)
        async with session.post("/echo", data=b"hello", expect100=True) as reply:
            assert await reply.read() == b"hello"
    assert (connections.made, connections.reused) == (1, 24)


@pytest.mark.asyncio
async def test_aiohttp_uploads_content_of_unknown_length_in_chunks(
    server: Server,
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, MIB, 50_000):
            yield NUMBERS[start : start + 50_000]
            await asyncio.sleep(0)

    connections = Connections()
    async with session_of(server, connections) as session:
        for _ in range(2):
            async with session.post("/echo", data=pieces()) as reply:
                assert reply.request_info.headers["Transfer-Encoding"] == "chunked"
                assert await reply.read() == NUMBERS
    assert (connections.made, connections.reused) == (1, 1)


@pytest.mark.asyncio
async def test_50_asyncio_streams_are_echoed_to_the_last_byte(server: Server) -> None:
    assert server.echo is not None
    host, port = server.echo

    async def talk(number: int) -> bool:
        content = NUMBERS[number * 8 : number * 8 + 200_000]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(content)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(-1), DEADLINE_S)
        writer.close()
        await writer.wait_closed()
        return answer == content

    assert await asyncio.gather(*map(talk, range(50))) == [True] * 50


# -- http.client, HTTP/1.0, socket.makefile ----------------------------------------------------


def test_http_client_keeps_its_connection(server: Server) -> None:
    assert server.http is not None
    connection = http.client.HTTPConnection(*server.http, timeout=DEADLINE_S)
    connection.connect()
    sock = connection.sock
    try:
        for method, path, body, expected in [
            ("GET", "/", None, b"Hello, World!"),
            ("POST", "/echo", NUMBERS, NUMBERS),
            ("POST", "/echo", iter([b"in ", b"chunks"]), b"in chunks"),
            ("HEAD", "/", None, b""),
            ("GET", "/healthz", None, b"ok\n"),
        ]:
            connection.request(method, path, body, encode_chunked=False)
            reply = connection.getresponse()
            assert (reply.status, reply.version, reply.read()) == (200, 11, expected)
            assert connection.sock is sock
    finally:
        connection.close()


def test_http_1_0_is_closed_unless_keep_alive_is_requested(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert read_to_end(sock).endswith(b"Hello, World!")
    with server.connect() as sock, sock.makefile("rb") as stream:
        for _ in range(3):
            sock.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            fields = http.client.parse_headers(stream)
            assert fields["Connection"] == "keep-alive"
            assert stream.read(int(fields["Content-Length"])) == b"Hello, World!"


def test_lines_are_echoed_to_a_file_like_client(server: Server) -> None:
    with server.connect("echo") as sock, sock.makefile("rwb") as stream:
        for line in (b"one\n", b"\n", b"\xff\x00\r\n", b"x" * 100_000 + b"\n"):
            stream.write(line)
            stream.flush()
            assert stream.readline() == line
        sock.shutdown(socket.SHUT_WR)
        assert stream.read() == b""


# -- curl, wrk, ab -----------------------------------------------------------------------------


def test_curl_speaks_http_1_0(server: Server) -> None:
    out, log = run(tool("curl"), "-sSv", "--http1.0", base_of(server) + "/json")
    assert out == b'{"message": "Hello, World!"}'
    assert "> GET /json HTTP/1.0" in log


def test_curl_waits_for_100_continue(server: Server, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(NUMBERS)
    out, log = run(
        tool("curl"), "-sSv", "-H", "Expect: 100-continue", "--expect100-timeout", "20",
        "--data-binary", f"@{content}", base_of(server) + "/echo",
    )  # fmt: skip
    assert out == NUMBERS
    assert re.findall(r"(?m)^< HTTP/1.1 (\d+)", log) == ["100", "200"]


def test_curl_uploads_a_pipe_in_chunks(server: Server) -> None:
    url = base_of(server) + "/echo"
    out, log = run(tool("curl"), "-sSv", "-X", "POST", "-T", "-", url, stdin=NUMBERS)
    assert out == NUMBERS
    assert "> Transfer-Encoding: chunked" in log


def test_curl_is_refused_a_body_that_is_too_large(server: Server) -> None:
    url = base_of(server) + "/echo"
    out, log = run(tool("curl"), "-sSv", "--data-binary", "@-", url, stdin=NUMBERS + b"1")
    assert out.endswith(b" bytes of content\n")
    assert re.findall(r"(?m)^< HTTP/1.1 (\d+)", log) == ["413"]


def test_curl_uses_its_connection_again(server: Server) -> None:
    base = base_of(server)
    out, log = run(tool("curl"), "-sSv", f"{base}/healthz", f"{base}/nope", f"{base}/")
    assert out == b"ok\nnot found\nHello, World!"
    assert log.count("Re-using existing connection") == 2
    assert re.findall(r"(?m)^< HTTP/1.1 (\d+)", log) == ["200", "404", "200"]


def test_wrk_meets_no_error(server: Server) -> None:
    out, _ = run(tool("wrk"), "-t1", "-c20", "-d1s", "--latency", base_of(server) + "/")
    requests = re.search(rb"(\d+) requests in", out)
    assert requests is not None
    assert int(requests[1]) > 20
    assert b"Socket errors" not in out
    assert b"Non-2xx" not in out


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
def test_ab_meets_no_error(server: Server, keep_alive: bool) -> None:
    flags = ["-k"] if keep_alive else []
    out, _ = run(tool("ab"), "-q", "-n", "400", "-c", "20", *flags, base_of(server) + "/")
    counts = dict(re.findall(r"(?m)^([\w -]+): +(\d+)", out.decode()))
    assert (counts["Complete requests"], counts["Failed requests"]) == ("400", "0")
    assert counts["HTML transferred"] == str(400 * 13)
    assert counts.get("Keep-Alive requests", "0") == ("400" if keep_alive else "0")
    assert "Non-2xx responses" not in counts
