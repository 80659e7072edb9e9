"""Tables: of one cell, and of the windows of a search."""

from rich.table import Table

from loadtest.measure.anew import anew
from loadtest.measure.result import Result, Times
from loadtest.running.capacity import Search

_KINDS = {
    "latency": "latency (done - due)",
    "service_time": "service time (done - sent)",
    "first_byte": "first byte (after sent)",
    "connect": "connect",
    "close": "close (after reply)",
    "lateness": "lateness of the generator",
}


def cell_table(result: Result) -> Table:
    """Return the times of a cell as a table."""
    load = f"{result.rate_wanted_hz:,g} requests/s wanted" if result.rate_wanted_hz else "flat out"
    table = Table(
        title=f"{result.target}: {result.scenario}, {result.connections:,} connections, {load},"
        f" {result.window_s:.1f} s",
        title_justify="left",
        caption=_caption(result),
        caption_justify="left",
    )
    table.add_column("ms")
    for name in ("requests", "mean", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, class_ in result.classes.items():
        for kind, title in _KINDS.items():
            if kind in class_.times:
                heading = title if len(result.classes) == 1 else f"{name}: {title}"
                table.add_row(heading, *_times(class_.times[kind]))
    return table


def _times(times: Times) -> list[str]:
    quantiles = (
        times.mean_ms, times.p50_ms, times.p90_ms, times.p99_ms, times.p999_ms, times.max_ms,
    )  # fmt: skip
    return [f"{times.count:,}", *(_number(value, ",.3f") for value in quantiles)]


def _caption(result: Result) -> str:
    lines = []
    for name, class_ in result.classes.items():
        said = [f"{name}: {class_.rate_hz:,.1f} requests/s in the window"]
        if name == result.result_class and result.held_share is not None:
            said.append(f"{result.held_share:.2%} of what was due")
        said += [f"{kind} {count:,}" for kind, count in class_.errors.items()]
        if class_.dropped:
            said.append(f"dropped as too late {class_.dropped:,}")
        said += anew(class_.reconnects, class_.retries)
        if class_.given_up:
            said.append(f"given up {class_.given_up:,}")
        said += [f"looks like {kind}: {count:,}" for kind, count in class_.artefacts.items()]
        lines.append("; ".join(said))
    for name, process in result.generators.items():
        lines.append(
            f"generator {name}: {process.cpu:.0%} of a core, waited for one {process.waiting:.0%}"
        )
    if result.server_cpu is not None and result.cpu_us_per_request is not None:
        lines.append(
            f"server: {result.server_cpu:.0%} of a core, {result.cpu_us_per_request:,.1f} µs of CPU"
            " a request"
        )
    lost = [f"{name} {count:,}" for name, count in result.kernel.items() if count]
    if lost:
        lines.append(f"kernel: {', '.join(lost)}")
    return "\n".join(lines)


def search_table(search: Search) -> Table:
    """Return the windows of a search as a table."""
    promise, table = search.promise, Table()
    for name in ("requests/s", "in the window", f"latency {promise.quantile[:-3]}, ms", "verdict"):
        table.add_column(name, justify="right")
    table.add_column(str(promise))
    for step, outcome in zip(search.steps, search.outcomes, strict=True):
        main = step.result.main
        table.add_row(
            f"{step.rate_hz:,.6g}",
            _number(main.rate_hz if main else None, ",.0f"),
            _number(promise.seen_in(step.result), ",.2f"),
            step.result.verdict.name,
            outcome.value,
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
