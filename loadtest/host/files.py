"""Files of results are there whole or not at all, also where the disk is full."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
"""What a disk says that takes no more: open(2) and write(2)."""

_PROBE_BYTES = 4096
"""A block: less fits into the last one of a file that is there."""


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write text that takes the place of a file once all of it is written; else nothing changes.

    What is no UTF-8, such as the name of a file (PEP 383), is written as an escape.

    Raises:
        OSError: It could not be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        new.replace(path)
    except BaseException:  # a full disk or Ctrl-C: half a file is worse than none
        with suppress(OSError):  # what cannot be written can often not be removed either
            new.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a file of text whole, or not at all.

    Raises:
        OSError: It could not be written.
    """
    with replacing(path) as file:
        file.write(text)


def require_space(folder: Path) -> None:
    """Say so if a folder takes no more.

    Raises:
        OSError: A file could not be written there, with the path.
    """
    probe = folder / ".room"
    try:
        with probe.open("wb") as file:
            file.write(os.urandom(_PROBE_BYTES))  # a file system may keep zeros for nothing
    finally:
        with suppress(OSError):  # it is what has just failed
            probe.unlink(missing_ok=True)


def disk_error_in(said: str, folder: Path) -> OSError | None:
    """Return what a disk has refused according to a process that wrote there; None if nothing."""
    for number in _DISK:
        if os.strerror(number) in said:
            return OSError(number, os.strerror(number), str(folder))
    return None


def is_disk_error(error: OSError) -> bool:
    """Return whether it is the disk that takes no more, and no mistake of ours."""
    return error.errno in _DISK


def os_error_text(error: OSError) -> str:
    """Return what has gone wrong with which file, without a number."""
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) else ""
    return f"{error.strerror or error}{where}"
