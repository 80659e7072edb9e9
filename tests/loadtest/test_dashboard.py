"""The dashboard as a server: lists, pages, events and refusals."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from loadtest.bundle.state import FINISHED, RUNNING, State
from tests.support.bundles import Cell, make_bundle, matrix, write
from tests.support.commands import started
from tests.support.running import DEADLINE_S

LONG = "x" * 300
"""Too long for a file name: the kernel refuses it, as it refuses another user's files."""

pytestmark = pytest.mark.xdist_group("dashboard")  # one server answers all its tests

DASHBOARD = [sys.executable, "-m", "loadtest", "dashboard"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    make_bundle(out / "one", matrix(), lambda cell: Cell())
    make_bundle(out / "other", matrix(), lambda cell: Cell(cpu_us=200.0))
    make_bundle(out / "unlike", matrix(duration_s=9.0), lambda cell: Cell())
    make_bundle(out / "broken", matrix(), lambda cell: Cell())
    (out / "broken" / "run.json").write_text("{")
    (out / "2026-11-23T12-00-00Z-bench").mkdir()
    (out / "not-to-be-looked-into").symlink_to(LONG)
    (out / "one" / "nor-this").symlink_to(LONG)
    return out


@pytest.fixture(scope="module")
def dashboard(results: Path) -> Iterator[str]:
    """Return the URL of a dashboard that runs as a user runs it; it must end as well as it ran."""
    with started([*DASHBOARD, "--results", str(results), "--port", "0"]) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("dashboard: ").strip()
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors


@pytest_asyncio.fixture
async def client(dashboard: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Return a client of the dashboard."""
    async with aiohttp.ClientSession(dashboard) as session:
        yield session


@pytest.mark.asyncio
async def test_the_list_has_every_comparison_and_nothing_else(
    client: aiohttp.ClientSession,
) -> None:
    text = await (await client.get("/")).text()
    for name in ("one", "other", "unlike", "broken"):
        assert f'href="/runs?run={name}"' in text
    assert "bench" not in text


@pytest.mark.asyncio
async def test_a_run_has_the_same_page_as_its_report(client: aiohttp.ClientSession) -> None:
    reply = await client.get("/runs?run=one")
    text = await reply.text()
    assert reply.status == 200
    assert "Small requests: CPU per request" in text and "When to choose which" in text
    catalogue = json.loads(text.split('id="catalogue">')[1].split("</script>")[0])
    part = catalogue["scenarios"][0]["blocks"][-1]["part"]
    charts = (await (await client.get(f"/part?run=one&part={part}")).json())["charts"]
    assert [chart["name"] for chart in charts] == ["spectrum", "cpu", "memory", "switches"]


@pytest.mark.asyncio
async def test_runs_can_be_shown_side_by_side(client: aiohttp.ClientSession) -> None:
    text = await (await client.get("/runs?run=one&run=other")).text()
    assert "uvloop · one" in text and "uvloop · other" in text


@pytest.mark.asyncio
async def test_different_runs_are_refused_with_a_link_to_show_them_anyway(
    client: aiohttp.ClientSession,
) -> None:
    reply = await client.get("/runs?run=one&run=unlike")
    text = await reply.text()
    assert reply.status == 409
    assert "expected runs under the same conditions, got different duration" in text
    again = text.split('<a href="')[-1].split('"')[0].replace("&amp;", "&")
    assert (await client.get(again)).status == 200


@pytest.mark.asyncio
async def test_a_broken_bundle_is_reported_and_hides_no_other(
    client: aiohttp.ClientSession,
) -> None:
    reply = await client.get("/runs?run=broken")
    assert reply.status == 404
    assert "run.json" in await reply.text()
    reply = await client.get("/runs?run=broken&run=one")
    text = await reply.text()
    assert reply.status == 200
    assert "run.json" in text and "Small requests" in text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path",
    [
        "/runs", "/runs?run=none", "/runs?run=..", "/runs?run=../results/one", "/part?run=one",
        "/part?run=one&part=none", f"/runs?run={LONG}", "/runs?run=%00",
        f"/part?run={LONG}", f"/events?run={LONG}", "/events?run=%00", "/events?run=..",
        "/static/page.html", "/static/..%2fpage.py", "/nothing",
    ],
    ids=lambda path: path.replace(LONG, "LONG"),
)  # fmt: skip
async def test_unknown_paths_get_404(client: aiohttp.ClientSession, path: str) -> None:
    assert (await client.get(path)).status == 404


@pytest.mark.asyncio
async def test_the_content_policy_forbids_other_hosts(client: aiohttp.ClientSession) -> None:
    for path in ("/", "/runs?run=one", "/runs?run=none"):
        policy = (await client.get(path)).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "http" not in policy


@pytest.mark.asyncio
async def test_a_foreign_host_name_is_refused(
    client: aiohttp.ClientSession,
) -> None:
    reply = await client.get("/", headers={"Host": "evil.example"})
    assert reply.status == 421


@pytest.mark.asyncio
async def test_an_event_announces_every_finished_cell(
    client: aiohttp.ClientSession, results: Path
) -> None:
    wanted = matrix(models=["asyncio", "uvloop"])
    live = make_bundle(results / "live", wanted, lambda cell: None, state=RUNNING)
    async with asyncio.timeout(DEADLINE_S):
        async with client.get("/events?run=live") as events:
            assert events.headers["Content-Type"] == "text/event-stream"
            assert await events.content.readuntil(b"\n\n") == b"data: more\n\n"
            assert "No two contenders" in await (await client.get("/runs?run=live")).text()
            for cell in wanted.cells()[:3]:
                write(live, wanted, cell, Cell())
            State(RUNNING, done=3, total=len(wanted.cells())).write(live)
            assert await events.content.readuntil(b"\n\n") == b"data: more\n\n"
            text = await (await client.get("/runs?run=live")).text()
            assert f"running, 3 of {len(wanted.cells())} cells" in text
            State(FINISHED, done=3, total=3).write(live)
            assert await events.content.readuntil(b"\n\n") == b"data: more\n\n"
            assert await events.content.read() == b""  # no more will come


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_dashboard_with_0(results: Path, signum: signal.Signals) -> None:
    with started([*DASHBOARD, "--results", str(results), "--port", "0"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("dashboard: http://127.0.0.1:")
        process.send_signal(signum)
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors


def test_a_taken_port_exits_with_3_and_one_line(results: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with started([*DASHBOARD, "--results", str(results), "--port", port]) as process:
            _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3
    assert errors.count("\n") == 1 and "choose another --port" in errors


def test_a_missing_folder_exits_with_2_and_one_line(tmp_path: Path) -> None:
    with started([*DASHBOARD, "--results", str(tmp_path / "none")]) as process:
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert errors.count("\n") == 1 and "expected a folder with bundles" in errors


@pytest.mark.asyncio
async def test_a_folder_name_that_is_no_utf_8_hides_no_other_run(
    client: aiohttp.ClientSession, results: Path
) -> None:
    make_bundle(results / "\udcff", matrix(), lambda cell: Cell())
    reply = await client.get("/")
    assert reply.status == 200 and 'href="/runs?run=one"' in await reply.text()


RUNNER = """
import sys, time
from pathlib import Path
from loadtest.bundle.alive import beating
from loadtest.bundle.state import State
folder = Path(sys.argv[1])
State(total=2).write(folder)
with beating(folder):
    print("running", flush=True)
    time.sleep(600)
"""


@pytest.mark.asyncio
async def test_a_killed_run_is_shown_as_interrupted_at_once(
    client: aiohttp.ClientSession, results: Path
) -> None:
    bundle = make_bundle(results / "killed", matrix(), lambda cell: None)
    with started([sys.executable, "-c", RUNNER, str(bundle)]) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "running\n"
        async with asyncio.timeout(DEADLINE_S), client.get("/events?run=killed") as events:
            assert await events.content.readuntil(b"\n\n") == b"data: more\n\n"
            assert ">running, 0 of 2 cells" in await shown(client, "killed")
            process.kill()  # a zombie, as long as nothing waits for it
            assert await events.content.readuntil(b"\n\n") == b"data: more\n\n"
            assert await events.content.read() == b""  # no more will come
        assert "interrupted after 0 of 2 cells" in await shown(client, "killed")
        assert "interrupted, 0 of 2 cells" in await (await client.get("/")).text()


async def shown(client: aiohttp.ClientSession, name: str) -> str:
    """Return the page of a run."""
    return await (await client.get(f"/runs?run={name}")).text()
