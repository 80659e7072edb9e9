"""Standard output and error that stop nothing: not by an encoding, nor by a pipe that is closed.

An encoding may lack a character, and the reader of a pipe may go (as ``head -1`` does). Neither
may lose a measurement: characters get a stand-in, and what has no reader is dropped, so that the
command ends its work and exits with the status of that.
"""

import codecs
import io
import os
import sys
from pathlib import Path

_ERRORS = "loadtest.readable"
_PLAIN = {
    "–": "-", "−": "-", "…": "...", "·": "|", "×": "x", "µ": "u", "κ": "kappa", "λ": "lambda",
    "σ": "sigma",
}  # fmt: skip
"""Ours that not every encoding has."""

_BYTES = range(0xDC80, 0xDD00)
"""How Python keeps the bytes of a file's name that is no UTF-8 (PEP 383)."""


class _Unread(io.FileIO):
    """An output whose reader may go."""

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:  # there is no reader any more; the measurement still counts
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self.fileno())
            os.close(devnull)
            return len(data)


def install() -> None:
    """Let nothing that is printed from now on raise."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by a shell's >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for good
        elif stream is getattr(sys, f"__{name}__"):  # else a test has its own
            stream.flush()
            setattr(sys, name, _opened(stream))


def _opened(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _Unread(stream.fileno(), "wb", closefd=False)
    buffered = isinstance(stream.buffer, io.BufferedWriter)  # not with python -u
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if buffered else raw,  # type: ignore[type-var]
        encoding=stream.encoding,
        errors=_ERRORS,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):  # nothing is decoded by this
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(one) or escaped(one) for one in lacking), error.end


codecs.register_error(_ERRORS, _readable)


def escaped(character: str) -> str:
    """Return the escape of a character that cannot be printed."""
    code = ord(character)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:  # a control character
        return repr(character)[1:-1]
    return character.encode("ascii", "backslashreplace").decode("ascii")


def one_line(text: str) -> str:
    """Return a text whose control characters, line ends among them, are escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else escaped(one) for one in text)
