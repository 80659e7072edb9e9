"""The console script ``concurrency-servers``: exactly what ``python -m servers`` runs."""

import runpy


def main() -> None:
    """Run it as the main module, so that its first lines take care of Ctrl-C here, too."""
    runpy.run_module("servers", run_name="__main__")
