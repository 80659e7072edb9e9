"""The circumstances of a run, in rows: machine, versions, and limits as read back."""

from collections.abc import Mapping
from typing import Any

from loadtest.bundle.read import Bundle, shortened

Rows = list[tuple[str, list[str]]]


def circumstances(bundles: Mapping[str, Bundle]) -> Rows:
    """Return the circumstances of some runs: a name, and its value in each run."""
    columns = [_rows(bundle) for bundle in bundles.values()]
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [shortened(column.get(name, "–"), 300) for column in columns]) for name in names]


def _rows(bundle: Bundle) -> dict[str, str]:
    about, options = bundle.about, bundle.about.options
    rows = {
        "command": " ".join(about.command),
        "started": about.started,
        "commit": about.commit or "not known",
        "CPU": about.cpu,
        "cores": f"server {_listed(about.cores.server)},"
        f" generator {_listed(about.cores.generator)}",
        "memory": f"{about.memory_bytes / 2**30:.1f} GiB",
        "kernel": about.kernel,
        "matrix": f"{options.repeats} repeats of {options.duration_s:g} s after"
        f" {options.warmup_s:g} s of warm-up; {len(bundle.cells)} of {len(bundle.plan)} cells",
        "generator": f"floor {about.generator.floor_p50_us:,.0f} µs at p50 and"
        f" {about.generator.floor_p99_us:,.0f} µs at p99, ceiling"
        f" {about.generator.ceiling_hz:,.0f} requests/s of one process",
    }
    if left_out := options.skipped():
        rows["left out"] = "; ".join(left_out)
    for resumed in about.resumed:
        rows[f"resumed {resumed.started}"] = f"at commit {resumed.commit or 'not known'}"
    rows |= {name: version or "not installed" for name, version in about.versions.items()}
    rows |= {f"limit: {name}": _listed(limit) for name, limit in about.limits.items()}
    return rows | _conditions(bundle)


def _conditions(bundle: Bundle) -> dict[str, str]:
    """Return what each server read back from the kernel, with the names of those that differ."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for cell, result in bundle.cells.items():
        for name, value in result.conditions.items():
            named = by_name.setdefault(name, {}).setdefault(f"{value:g}", [])
            if cell.contender not in named:
                named.append(cell.contender)
    return {
        f"server: {name}": next(iter(values))
        if len(values) == 1
        else "; ".join(f"{value} ({', '.join(who)})" for value, who in values.items())
        for name, values in sorted(by_name.items())
    }


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
