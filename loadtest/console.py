"""The console script ``concurrency-loadtest``: exactly what ``python -m loadtest`` runs."""

import runpy


def main() -> None:
    """Run it as the main module, so that its first lines take care of Ctrl-C here, too."""
    runpy.run_module("loadtest", run_name="__main__")
