"""Knobs: settings of a load, each declared once, as a field of a frozen dataclass.

From that one declaration come the flag of a command line, the field on Locust's page, the check of
what a user typed, and the flags with which one process starts another.
"""

import math
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Collection, Sequence
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T", bound="DataclassInstance")
_KEY = "knob"


class Knob(NamedTuple):
    """One setting.

    Attributes:
        field: Its name in the dataclass, with the unit.
        flag: Its name on a command line, without dashes.
        metavar: What the help shows for the value.
        read: Takes a user's text; raises ``ArgumentTypeError`` with what it expected.
        help: One line.
        default: A tuple where the flag may be repeated.
    """

    field: str
    flag: str
    metavar: str
    read: Callable[[str], Any]
    help: str
    default: Any

    @property
    def repeats(self) -> bool:
        """Whether the flag may be given several times."""
        return isinstance(self.default, tuple)

    @property
    def dest(self) -> str:
        """Return the attribute in which argparse keeps the value."""
        return self.flag.replace("-", "_") + ("s" if self.repeats else "")


def knob(default: Any, flag: str, metavar: str, read: Callable[[str], Any], help_: str) -> Any:
    """Return a dataclass field that is a knob."""
    facts = {"flag": flag, "metavar": metavar, "read": read, "help": help_}
    return field(default=default, metadata={_KEY: facts})


def knobs_of(spec: "type[DataclassInstance]") -> list[Knob]:
    """Return the knobs of a dataclass, in order."""
    declared = [f for f in fields(spec) if _KEY in f.metadata]
    return [Knob(field=f.name, default=f.default, **f.metadata[_KEY]) for f in declared]


def parsed(spec: type[_T], namespace: Namespace) -> _T:
    """Return a dataclass whose knobs have the values of a parsed command line."""
    values = {}
    for each in knobs_of(spec):
        value = getattr(namespace, each.dest)
        values[each.field] = tuple(value) if each.repeats else value
    return spec(**values)


def flags_of(spec: "DataclassInstance") -> list[str]:
    """Return the command-line flags from which ``parsed`` makes the same values."""
    flags = []
    for each in knobs_of(type(spec)):
        value = getattr(spec, each.field)
        values = value if each.repeats else [value]
        flags += [f"--{each.flag}={text_of(one)}" for one in values]
    return flags


def text_of(value: object) -> str:
    """Return the text that a knob's ``read`` turns into the same value."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def names(kind: str, known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader for ``a,b``: known names, each kept once."""

    def parse(text: str) -> list[str]:
        listed = text.split(",")
        if unknown := [name for name in listed if name not in known]:
            raise ArgumentTypeError(
                f"expected {kind}s, each one of {','.join(known)}, got {unknown[0]!r}"
            )
        return list(dict.fromkeys(listed))

    return parse


def checked(read: Callable[[str], str]) -> Callable[[str], str]:
    """Return a reader that turns a function's ValueError into a usage error."""

    def parse(text: str) -> str:
        try:
            return read(text)
        except ValueError as error:  # its text says what was expected and what was got
            raise ArgumentTypeError(str(error)) from error

    return parse


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """Return a reader for one of some names."""

    def parse(text: str) -> str:
        if text not in known:
            raise ArgumentTypeError(f"expected one of {','.join(known)}, got {text!r}")
        return text

    return parse


def whole_number(least: int, most: int, why: str = "") -> Callable[[str], int]:
    """Return a reader for a whole number within bounds."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ArgumentTypeError(
                f"expected a whole number from {least} to {most}{why}, got {text!r}"
            )
        return int(text)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """Return a reader for a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:  # not a number
            value = math.nan
        if not least <= value <= most:
            raise ArgumentTypeError(f"expected a number from {least:g} to {most:g}, got {text!r}")
        return value

    return parse
