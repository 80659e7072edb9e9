"""Reads back what ``selftest`` leaves: the table of its proofs."""

from pathlib import Path

from loadtest.bundle.read import decoded
from loadtest.bundle.record import Contents, Origin
from loadtest.selftest.command import table_of
from loadtest.selftest.proofs import Proof


def read_selftest(folder: Path, _: Origin) -> Contents:
    """Return the contents of a bundle of ``selftest``.

    Raises:
        BundleError: It cannot be read.
        LookupError: It has no proofs.
    """
    proofs = decoded(folder / "selftest.json", dict[str, list[Proof]])["proofs"]
    held = sum(proof.held for proof in proofs)
    return Contents(
        [table_of(proofs)], [f"{held} of {len(proofs)} proofs held"], has_figure=bool(proofs)
    )
