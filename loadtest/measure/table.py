"""The table of one cell."""

from rich.table import Table

from loadtest.measure.reconnections import reconnect_notes
from loadtest.measure.result import Result, Times
from loadtest.measure.wording import counted

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
        title=f"{result.target}: {result.scenario}, {counted(result.connections, 'connection')},"
        f" {load}, {result.window_s:.1f} s",
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
    return [f"{times.count:,}", *(number(value, ",.3f") for value in quantiles)]


def _caption(result: Result) -> str:
    lines = []
    for name, class_ in result.classes.items():
        notes = [f"{name}: {class_.rate_hz:,.1f} requests/s in the window"]
        if name == result.result_class and result.held_share is not None:
            notes.append(f"{result.held_share:.2%} of the due requests")
        notes += [f"{kind} {count:,}" for kind, count in class_.errors.items()]
        if class_.dropped:
            notes.append(f"dropped as too late: {class_.dropped:,}")
        notes += reconnect_notes(class_.reconnects, class_.retries)
        if class_.given_up:
            notes.append(f"given up: {class_.given_up:,}")
        notes += [f"looks like {kind}: {count:,}" for kind, count in class_.artefacts.items()]
        lines.append("; ".join(notes))
    for name, process in result.generators.items():
        lines.append(
            f"generator {name}: {process.cpu:.0%} of a core, waiting for one {process.waiting:.0%}"
        )
    if result.server_cpu is not None and result.cpu_us_per_request is not None:
        lines.append(
            f"server: {result.server_cpu:.0%} of a core, {result.cpu_us_per_request:,.1f} µs of CPU"
            " per request"
        )
    lost = [f"{name} {count:,}" for name, count in result.kernel.items() if count]
    if lost:
        lines.append(f"kernel: {', '.join(lost)}")
    return "\n".join(lines)


def number(value: float | None, form: str) -> str:
    """Return a number formatted for a table; a dash for None."""
    return "-" if value is None else format(value, form)
