"""Runs can be compared only under the same conditions; others are refused by the field."""

from pathlib import Path
from typing import Any

import pytest

from loadtest.analysis.likeness import refuse_unlike
from loadtest.bundle.read import Bundle, BundleError, read_bundle
from tests.support.bundles import make_bundle, matrix
from tests.support.costs import COSTS, bundle_of


@pytest.mark.parametrize(
    ("options", "about", "field"),
    [
        ({"scenarios": ["wait"]}, {}, "scenarios"),
        ({"connections": [10]}, {}, "connections"),
        ({"rate_hz": 100.0}, {}, "rate"),
        ({"duration_s": 9.0}, {}, "duration"),
        ({"warmup_s": 9.0}, {}, "warm-up"),
        ({"path": "/heavy"}, {}, "path"),
        ({"headers": ["Accept-Encoding: gzip"]}, {}, "headers"),
        ({}, {"limits": {"descriptors": [1024, 1024]}}, "limit of descriptors"),
        ({}, {"cpu": "Another CPU"}, "machine: CPU"),
        ({}, {"kernel": "5.0"}, "machine: kernel"),
        ({}, {"memory_bytes": 2**30}, "machine: memory"),
    ],
)
def test_different_runs_are_refused_by_the_field(
    tmp_path: Path, options: dict[str, Any], about: dict[str, Any], field: str
) -> None:
    one = bundle_of(tmp_path / "one")
    other = bundle_of(tmp_path / "other", matrix(models=[*COSTS], **options), **about)
    with pytest.raises(BundleError, match=f"different {field}.*--allow-different"):
        refuse_unlike([one, other])


def with_target(folder: Path, url: str, **options: Any) -> Bundle:
    targets = {"mine": url, folder.name: "http://127.0.0.1:80/of-one-run-only"}
    wanted = matrix(models=[], scenarios=["get"], targets=targets, **options)
    return read_bundle(make_bundle(folder, wanted, lambda _: None))


def test_runs_with_different_paths_of_a_target_are_refused(tmp_path: Path) -> None:
    one = with_target(tmp_path / "one", "http://127.0.0.1:8000/light")
    other = with_target(tmp_path / "other", "http://127.0.0.1:8000/heavy?x=1")
    with pytest.raises(BundleError, match=r"different paths of targets: .*/light.*/heavy\?x=1"):
        refuse_unlike([one, other])


def test_a_path_counts_alike_in_url_and_option_and_addresses_may_differ(
    tmp_path: Path,
) -> None:
    one = with_target(tmp_path / "one", "http://127.0.0.1:8000/light", path="/light")
    other = with_target(tmp_path / "other", "http://localhost:9000", path="/light")
    refuse_unlike([one, other])


def test_headers_are_compared_by_name_in_any_case(tmp_path: Path) -> None:
    kept = matrix(models=[*COSTS], headers=["accept: (not kept)"])
    sent = matrix(models=[*COSTS], headers=["Accept: text/html"])
    refuse_unlike([bundle_of(tmp_path / "one", kept), bundle_of(tmp_path / "other", sent)])


def test_commit_and_versions_may_differ(tmp_path: Path) -> None:
    one = bundle_of(tmp_path / "one")
    other = bundle_of(tmp_path / "other", commit="fedcba", versions={"python": "3.13.1"})
    refuse_unlike([one, other])
