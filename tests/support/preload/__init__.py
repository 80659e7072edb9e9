"""C libraries that a server loads before libc (LD_PRELOAD), each from a file of this folder."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.running import DEADLINE_S

_SOURCES = Path(__file__).parent


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="preload-"))
    folder.chmod(0o755)  # a server without root's rights loads from it, too
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def preloadable(name: str) -> Path:
    """Compile ``name``.c once, and return the library."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    library = _folder() / f"{name}.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, _SOURCES / f"{name}.c", "-ldl"],
        check=True,
        timeout=DEADLINE_S,
    )
    return library
