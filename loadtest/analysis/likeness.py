"""Whether runs may be set beside each other: only what was measured alike can be compared."""

from collections.abc import Sequence
from typing import Any

from loadtest.analysis.bundle import Bundle, BundleError, shortened


def refuse_unlike(bundles: Sequence[Bundle]) -> None:
    """Refuse runs that differ in more than what they compare: commit and versions may.

    Raises:
        BundleError: Two of them are unlike; names the field.
    """
    first = bundles[0]
    for other in bundles[1:]:
        for field, value in _alike(other).items():
            wanted = _alike(first)[field]
            if value != wanted:
                raise BundleError(
                    f"expected runs alike, got different {field}: {_shown(wanted)} in {first.id},"
                    f" {_shown(value)} in {other.id}; leave one out, or say --anyway"
                )


def _alike(bundle: Bundle) -> dict[str, Any]:
    about = bundle.about
    options = about.options
    return {
        "scenarios": sorted(options.scenarios),
        "connections": sorted(options.connections),
        "rate": {
            f"{scenario} at {connections}": options.rate_for(scenario, connections)
            for scenario in options.scenarios
            for connections in options.connections
        },
        "duration": options.duration_s,
        "warm-up": options.warmup_s,
        "path": options.path,
        "processes of the generator": (options.processes, "elsewhere" if options.distant else ""),
        # The hard one: a process raises the other to it.
        "limit of descriptors": about.limits.get("descriptors", [None])[-1],
        "limit of the cores' time": about.limits.get("cores' time"),
        "machine: CPU": about.cpu,
        "machine: kernel": about.kernel,
        "machine: memory in GiB": round(about.memory_bytes / 2**30),
        "machine: cores of the server": about.cores.server,
        "machine: cores of the generator": about.cores.generator,
    }


def _shown(value: Any) -> str:
    return shortened(str(value), 80)
