"""Result files are written whole or not at all, even on a full disk."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
"""The errors of a full or broken disk: open(2) and write(2)."""

_PROBE_BYTES = 4096
"""A block: less might fit into the last block of an existing file."""


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write text that replaces a file once it is complete; after an error, the file is unchanged.

    Text that is not UTF-8, such as a file name (PEP 383), is written with escapes.

    Raises:
        OSError: The file could not be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        new.replace(path)
    except BaseException:  # a full disk or Ctrl-C: half a file is worse than none
        with suppress(OSError):  # a folder that takes no file often lets none be removed
            new.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole, or not at all.

    Raises:
        OSError: The file could not be written.
    """
    with replacing(path) as file:
        file.write(text)


def require_space(folder: Path) -> None:
    """Raise if a folder takes no more files.

    Raises:
        OSError: A file could not be written there, with the path.
    """
    probe = folder / ".room"
    try:
        with probe.open("wb") as file:
            file.write(os.urandom(_PROBE_BYTES))  # some file systems store zeros without a block
    finally:
        with suppress(OSError):  # the folder has just refused it
            probe.unlink(missing_ok=True)


def disk_error_in(text: str, folder: Path) -> OSError | None:
    """Return the disk error that a process's log names; None if it names none."""
    for number in _DISK:
        if os.strerror(number) in text:
            return OSError(number, os.strerror(number), str(folder))
    return None


def is_disk_error(error: OSError) -> bool:
    """Return whether an error is the disk's, and not a bug."""
    return error.errno in _DISK


def os_error_text(error: OSError) -> str:
    """Return an error as text: its message and the file, without the number."""
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) else ""
    return f"{error.strerror or error}{where}"
