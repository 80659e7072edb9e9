"""Whether runs may be set beside each other: only what was measured alike can be compared."""

from collections.abc import Collection, Sequence
from typing import Any

from loadtest.bundle.read import About, Bundle, BundleError, shortened
from loadtest.client.address import url_of
from loadtest.client.request import names_of
from loadtest.measure.errors import NotConnectedError


def refuse_unlike(bundles: Sequence[Bundle]) -> None:
    """Refuse runs that differ in more than what they compare: commit and versions may.

    Raises:
        BundleError: Two of them are unlike; names the field.
    """
    first = bundles[0]
    for other in bundles[1:]:
        refuse_other(
            (first.id, first.about),
            (other.id, other.about),
            "leave one out, or pass --allow-different",
        )


def refuse_other(first: tuple[str, About], other: tuple[str, About], way_out: str) -> None:
    """Refuse one run beside another: each by its name, and what was or will be run on what.

    Raises:
        BundleError: They are unlike; names the field, and the way out.
    """
    (name, about), (other_name, other_about) = first, other
    both = about.options.targets.keys() & other_about.options.targets.keys()
    wanted = _alike(about, both)
    for field, value in _alike(other_about, both).items():
        if value != wanted[field]:
            raise BundleError(
                f"expected runs alike, got different {field}: {_shown(wanted[field])} in {name},"
                f" {_shown(value)} in {other_name}; {way_out}"
            )


def _alike(about: About, targets: Collection[str]) -> dict[str, Any]:
    """Return what has to be equal.

    Args:
        targets: Names of those that both runs have: others may be set beside each other.
    """
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
        "paths of targets": {
            name: _path(options.targets[name]) or options.path for name in sorted(targets)
        },
        "headers": sorted(names_of(options.headers)),  # their values are not kept
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


def _path(url: str) -> str:
    """Return what of a target's URL is asked for: where the same server listens may differ."""
    try:
        return url_of(url, 80).target
    except NotConnectedError:  # of another version, or somebody has written it
        return url


def _shown(value: Any) -> str:
    return shortened(str(value), 80)
