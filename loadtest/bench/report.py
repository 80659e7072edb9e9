"""The tables of the benchmark, from its raw measurements."""

import statistics
from collections.abc import Sequence

from rich.table import Table

from loadtest.bench.contestants import PEERS, comparisons, missing_peers
from loadtest.bench.cost import (
    CONNECTIONS,
    Run,
    Spread,
    cpu_us_per_request,
    ratio,
)
from loadtest.bench.generators import NAMES, RATIO_MIN, USERS, Sent
from loadtest.bench.generators import ratio as generator_ratio
from loadtest.bench.holding import IDLE_MAX_SHARE, Holding
from loadtest.bench.many_clients import AT_ONCE

OTHERS_MAX_SHARE = 0.1
"""This process itself takes about 3 % of a core."""

_COST_CAPTION = f"""\
wrk -t1 -c{CONNECTIONS}, GET / on kept connections, 13 bytes back; server and wrk on a core \
each. CPU time of the server's whole process tree, over a window of {{duration_s:g}} s within \
the run, after a warm-up on the same connections. A fresh process each time. Core used: by the \
server. Others: all other processes of the machine, in shares of one core.\
"""

_RATIO_CAPTION = """\
CPU time per request, ours / the peer's: computed within each round; then the median and \
(lowest - highest). "within noise": the target lies between these two.\
"""

_GENERATOR_CAPTION = f"""\
{USERS} users, flat out, GET / of the uvloop model; server and generator on a core each, in turn. \
Ours check every byte, FastHttpUser only the status. The limit of ours is usually the server.\
"""

_HOLDING_CAPTION = f"""\
Clients on the same machine, {AT_ONCE} of which wait for a reply at a time; each gets two \
replies. Fresh client: a new connection ten times a second meanwhile; worst time from connect to \
close. Memory: proportional set size of the process tree, per connection; 1 KB is 1,000 bytes. \
Idle CPU: share of a core while no client sends.\
"""


def cost_table(names: Sequence[str], runs: Sequence[Run], duration_s: float) -> Table:
    """Return the cost of a request on each server, as a table."""
    table = _table("CPU time per request", _COST_CAPTION.format(duration_s=duration_s))
    for name in (
        "server", "CPU µs\n/request", "low - high", "requests\n/s", "core\nused", "others",
        "runs\nused", "remark",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name in ("server", "remark") else "right")
    missing = missing_peers(names)
    for name in names:
        mine = [run for run in runs if run.name == name]
        used = [run for run in mine if not run.error]
        cost = cpu_us_per_request(mine, name)
        remarks = [PEERS[name].remark] if name in PEERS and PEERS[name].remark else []
        if name in missing:
            remarks.append(f"missing: {', '.join(missing[name])}")
        remarks += dict.fromkeys(f"not used: {run.error}" for run in mine if run.error)
        table.add_row(
            name,
            "-" if cost is None else f"{cost.median:,.1f}",
            "-" if cost is None else f"{cost.low:,.1f} - {cost.high:,.1f}",
            _median([run.requests / run.window_s for run in used], ",.0f"),
            _median([run.core_share for run in used], ".0%"),
            _median([run.others_share for run in used], ".0%"),
            f"{len(used)}/{len(mine)}",
            "; ".join(remarks),
        )
    return table


def disturbance(runs: Sequence[Run]) -> str:
    """Return a line with the number of disturbed runs; "" if there are none."""
    many = sum(run.others_share > OTHERS_MAX_SHARE for run in runs if not run.error)
    if not many:
        return ""
    return (
        f"disturbed: in {many} of {len(runs)} runs other processes took more than"
        f" {OTHERS_MAX_SHARE:.0%} of a core; repeat on an idle machine"
    )


def ratio_table(names: Sequence[str], runs: Sequence[Run]) -> Table:
    """Return each model with its peers and the targets, as a table."""
    table = _table("Compared with other servers", _RATIO_CAPTION)
    for name in ("model", "peer", "ratio", "low - high", "at most", "", "remark"):
        right = name in ("ratio", "low - high", "at most")
        table.add_column(name, justify="right" if right else "left")
    missing = missing_peers(names)
    for pair in comparisons(names):
        spread = ratio(runs, pair)
        remark = "missing" if pair.peer in missing else PEERS[pair.peer].remark
        table.add_row(
            pair.model,
            pair.peer,
            "-" if spread is None else f"{spread.median:.3f}",
            "-" if spread is None else f"{spread.low:.3f} - {spread.high:.3f}",
            f"{pair.ratio_max:g}",
            "not measured" if spread is None else verdict(spread, pair.ratio_max),
            remark,
        )
    return table


def verdict(spread: Spread, most: float) -> str:
    """Return whether a target is reached, and whether noise might decide it."""
    word = "reached" if spread.median <= most else "missed"
    return f"{word}, within noise" if spread.low <= most < spread.high else word


def generator_table(sent: Sequence[Sent]) -> Table:
    """Return the requests of our users and of Locust's, as a table."""
    table = _table("Requests of one generator process", _GENERATOR_CAPTION)
    for name in (
        "users",
        "requests\n/s",
        "core\nused",
        "requests per\nsecond of CPU",
        "runs\nused",
    ):
        table.add_column(name, justify="left" if name == "users" else "right")
    for name in NAMES:
        used = [one for one in sent if one.name == name and not one.error]
        if not used:
            table.add_row(name, "-", "-", "-", "0")
            continue
        table.add_row(
            name,
            f"{statistics.median(one.rate_hz for one in used):,.0f}",
            f"{statistics.median(one.cpu_share for one in used):.0%}",
            f"{statistics.median(one.per_core_hz for one in used):,.0f}",
            str(len(used)),
        )
    spread = generator_ratio(sent)
    if spread is not None:
        text = f"{spread.median:.1f} ({spread.low:.1f} - {spread.high:.1f})"
        table.add_row("ours / FastHttpUser", "", "", text, f"at least {RATIO_MIN:g}")
    return table


def holding_table(holdings: Sequence[Holding]) -> Table:
    """Return the cost of many connections on each model, with the targets."""
    table = _table("Holding connections", _HOLDING_CAPTION)
    for name in (
        "model", "held", "accepted in s\n(at most)", "again\nin s", "fresh client\nworst ms",
        "memory KB\n(at most)", "idle CPU\n(at most)", "remark",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name in ("model", "remark") else "right")
    for holding in holdings:
        table.add_row(holding.model, *_holding_row(holding))
    return table


def _holding_row(holding: Holding) -> list[str]:
    remarks = holding.failures()
    if missed := holding.missed():
        remarks.append("missed: " + ", ".join(missed))
    held = f"{holding.answered_twice:,}/{holding.connections:,}"
    if holding.error:  # nothing after it was measured
        return [held, *["-"] * 5, "; ".join(remarks)]
    return [
        held,
        f"{holding.accept_s:.1f} ({holding.accept_max_s:g})",
        f"{holding.again_s:.1f}",
        f"{holding.fresh.worst_s * 1000:,.0f}",
        f"{holding.memory_kb:,.1f} ({holding.memory_max_kb or '-'})",
        f"{holding.idle_share:.2%} ({IDLE_MAX_SHARE:.0%})",
        "; ".join(remarks) or "reached",
    ]


def _median(values: Sequence[float], form: str) -> str:
    return format(statistics.median(values), form) if values else "-"


def _table(title: str, caption: str) -> Table:
    return Table(title=title, caption=caption, title_justify="left", caption_justify="left")
