"""python -m loadtest run against servers that are not ours."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.commands import folder_of, run

RUN = [sys.executable, "-m", "loadtest", "run"]
QUICK = ["--duration", "1", "--warmup", "0.2"]


@contextmanager
def python_http_server(folder: Path, version: str = "HTTP/1.0") -> Iterator[tuple[str, int]]:
    """Run Python's own server for the length of a block; yield its URL and its pid."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--protocol", version],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port is not None
            yield f"http://127.0.0.1:{port[1]}", server.pid
        finally:
            server.kill()


def only_class_of(output: str) -> dict[str, Any]:
    (path,) = folder_of(output).glob("*/cell.json")
    (class_,) = json.loads(path.read_text())["classes"].values()
    return dict(class_)


def test_a_server_that_closes_after_each_reply_is_measured_flat_out(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"x" * 100)
    with python_http_server(tmp_path) as (url, _):
        argv = [*RUN, *QUICK, "--target", url, "--scenario", "get", "--path", "/page"]
        ended = run([*argv, "--connections", "4", "--out", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    seen = only_class_of(ended.stdout)
    assert seen["errors"] == {} and seen["requests"] > 0
    assert seen["reconnects"] > seen["requests"] / 2
    assert re.search(r"connected anew [\d,]+ times, as the server closed", ended.stdout)
