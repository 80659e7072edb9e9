"""Whether runs may be set beside each other: only what was measured alike can be compared."""

from collections.abc import Sequence
from typing import Any

from loadtest.analysis.bundle import About, Bundle, BundleError, shortened


def refuse_unlike(bundles: Sequence[Bundle]) -> None:
    """Refuse runs that differ in more than what they compare: commit and versions may.

    Raises:
        BundleError: Two of them are unlike; names the field.
    """
    first = bundles[0]
    for other in bundles[1:]:
        refuse_other(
            (first.id, first.about), (other.id, other.about), "leave one out, or say --anyway"
        )


def refuse_other(first: tuple[str, About], other: tuple[str, About], way_out: str) -> None:
    """Refuse one run beside another: each by its name, and what was or will be run on what.

    Raises:
        BundleError: They are unlike; names the field, and the way out.
    """
    (name, about), (other_name, other_about) = first, other
    wanted = _alike(about)
    for field, value in _alike(other_about).items():
        if value != wanted[field]:
            raise BundleError(
                f"expected runs alike, got different {field}: {_shown(wanted[field])} in {name},"
                f" {_shown(value)} in {other_name}; {way_out}"
            )


def _alike(about: About) -> dict[str, Any]:
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
