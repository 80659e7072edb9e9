"""Standard output and error that never raise: any encoding will do, and a closed pipe, too.

An encoding may lack a character, and the reader of a pipe may exit early (as ``head -1`` does).
Neither may lose a measurement. Missing characters get a substitute, and output without a reader is
dropped, so that the command completes and exits with its own status.
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
"""Characters in this package's texts that some encodings lack, and their substitutes."""

_BYTES = range(0xDC80, 0xDD00)
"""Python's stand-ins for bytes of a file name that are not UTF-8 (PEP 383)."""


class _Unbreakable(io.FileIO):
    """An output whose reader may exit."""

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:  # the reader has exited; the measurement still counts
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self.fileno())
            os.close(devnull)
            return len(data)


def install() -> None:
    """From now on, let no print to standard output or error raise."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by a shell's >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # until exit
        elif stream is getattr(sys, f"__{name}__"):  # else a test has replaced it
            stream.flush()
            setattr(sys, name, _opened(stream))


def _opened(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _Unbreakable(stream.fileno(), "wb", closefd=False)
    buffered = isinstance(stream.buffer, io.BufferedWriter)  # not with python -u
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if buffered else raw,  # type: ignore[type-var]
        encoding=stream.encoding,
        errors=_ERRORS,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Return substitutes for characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):  # it is registered for all, and made for encoding
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(one) or escaped(one) for one in missing), error.end


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
    """Return a text with its control characters escaped, line ends included."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else escaped(one) for one in text)
