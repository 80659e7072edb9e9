"""More connections than one source address has ports."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.running import DEADLINE_S

_BEYOND = """
import json, socket
from pathlib import Path
from loadtest.client.source_addresses import SourceAddresses
Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40009")
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
sources = SourceAddresses()
socks = [sources.connect(socket.AF_INET, listener.getsockname()) for _ in range(35)]
print(json.dumps(sorted({sock.getsockname()[0] for sock in socks})))
"""


def test_connections_beyond_the_ports_of_one_address_come_from_others() -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare (util-linux)")
    script = (
        f"ip link set lo up 2>/dev/null || ifconfig lo up; exec {sys.executable} -c '{_BEYOND}'"
    )
    ended = subprocess.run(
        [unshare, "--net", "--map-root-user", "sh", "-c", script],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    if "unshare failed" in ended.stderr or "Network is unreachable" in ended.stderr:
        pytest.skip(f"no network namespace to be had: {ended.stderr.strip()[-80:]}")
    assert ended.returncode == 0, ended.stderr
    assert len(json.loads(ended.stdout)) >= 3
