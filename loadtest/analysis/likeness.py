"""Whether runs can be compared: only those measured under the same conditions."""

from collections.abc import Collection, Sequence
from typing import Any

from loadtest.bundle.read import About, Bundle, BundleError, shortened
from loadtest.client.address import url_of
from loadtest.client.request import names_of
from loadtest.measure.errors import NotConnectedError


class DifferentConditionsError(BundleError):
    """Two runs differ in more than what they compare; names the field."""


def refuse_unlike(bundles: Sequence[Bundle]) -> None:
    """Refuse runs under different conditions; commit and versions may differ.

    Raises:
        DifferentConditionsError: Two of them differ.
    """
    first = bundles[0]
    for other in bundles[1:]:
        refuse_other(
            (first.id, first.about),
            (other.id, other.about),
            "leave one out, or pass --allow-different",
        )


def refuse_other(first: tuple[str, About], other: tuple[str, About], way_out: str) -> None:
    """Refuse to compare two runs under different conditions.

    Args:
        first: The name of a run, and its contents of ``run.json``, written or still to be.
        other: The same of the other run.
        way_out: Advice for the reader, at the end of the error.

    Raises:
        DifferentConditionsError: They differ.
    """
    (name, about), (other_name, other_about) = first, other
    both = about.options.targets.keys() & other_about.options.targets.keys()
    wanted = _conditions(about, both)
    for field, value in _conditions(other_about, both).items():
        if value != wanted[field]:
            raise DifferentConditionsError(
                f"expected runs under the same conditions, got different {field}:"
                f" {_text(wanted[field])} in {name}, {_text(value)} in {other_name}; {way_out}"
            )


def _conditions(about: About, targets: Collection[str]) -> dict[str, Any]:
    """Return the conditions that must be equal.

    Args:
        targets: Names of the targets that both runs have; other targets may differ.
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
        "headers": sorted(names_of(options.headers)),  # run.json has no values
        "processes of the generator": (options.processes, "elsewhere" if options.distant else ""),
        # The hard limit: a process raises its soft limit to it.
        "limit of descriptors": about.limits.get("descriptors", [None])[-1],
        "limit of the cores' time": about.limits.get("cores' time"),
        "machine: CPU": about.cpu,
        "machine: kernel": about.kernel,
        "machine: memory in GiB": round(about.memory_bytes / 2**30),
        "machine: cores of the server": about.cores.server,
        "machine: cores of the generator": about.cores.generator,
    }


def _path(url: str) -> str:
    """Return the path of a target's URL; its address may differ."""
    try:
        return url_of(url, 80).target
    except NotConnectedError:  # from another version, or edited by hand
        return url


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return shortened(text or "none", 80)
