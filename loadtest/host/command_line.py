"""A command line as results keep it."""

from collections.abc import Sequence

NOT_KEPT = "(not kept)"
"""In place of a header's value: results are shown to others, and a token is a secret."""


def hidden_in(arguments: Sequence[str]) -> list[str]:
    """Return a command line as results keep it: without the values of headers."""
    shown: list[str] = []
    for argument in arguments:
        before = shown[-1] if shown else ""
        flag, found, text = argument.partition("=")
        if found and _is_header_flag(flag):
            shown.append(f"{flag}={_without_value(text)}")
        else:
            shown.append(_without_value(argument) if _is_header_flag(before) else argument)
    return shown


def _is_header_flag(flag: str) -> bool:
    return len(flag) > len("--h") and "--header".startswith(flag)  # argparse takes a begin, too


def _without_value(text: str) -> str:
    return f"{text.partition(':')[0]}: {NOT_KEPT}"
