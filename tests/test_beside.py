"""Runs beside each other: unlike ones are refused."""

from pathlib import Path
from typing import Any

import pytest

from loadtest.analysis.bundle import BundleError
from loadtest.analysis.likeness import refuse_unlike
from tests.bundles import matrix
from tests.costs import COSTS, bundle_of


@pytest.mark.parametrize(
    ("options", "about", "field"),
    [
        ({"scenarios": ["wait"]}, {}, "scenarios"),
        ({"connections": [10]}, {}, "connections"),
        ({"rate_hz": 100.0}, {}, "rate"),
        ({"duration_s": 9.0}, {}, "duration"),
        ({"warmup_s": 9.0}, {}, "warm-up"),
        ({"path": "/heavy"}, {}, "path"),
        ({}, {"limits": {"descriptors": [1024, 1024]}}, "limit of descriptors"),
        ({}, {"cpu": "Another CPU"}, "machine: CPU"),
        ({}, {"kernel": "5.0"}, "machine: kernel"),
        ({}, {"memory_bytes": 2**30}, "machine: memory"),
    ],
)
def test_runs_that_are_unlike_are_refused_by_the_field(
    tmp_path: Path, options: dict[str, Any], about: dict[str, Any], field: str
) -> None:
    one = bundle_of(tmp_path / "one")
    other = bundle_of(tmp_path / "other", matrix(models=[*COSTS], **options), **about)
    with pytest.raises(BundleError, match=f"different {field}.*--anyway"):
        refuse_unlike([one, other])


def test_commit_and_versions_may_differ(tmp_path: Path) -> None:
    one = bundle_of(tmp_path / "one")
    other = bundle_of(tmp_path / "other", commit="fedcba", versions={"python": "3.13.1"})
    refuse_unlike([one, other])
