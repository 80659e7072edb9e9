"""Command lines for results: without secrets."""

from collections.abc import Sequence

NOT_KEPT = "(not kept)"
"""In place of a header's value, which may be a secret: results are kept to others."""


def hidden_in(arguments: Sequence[str]) -> list[str]:
    """Return a command line without the values of headers."""
    kept: list[str] = []
    for argument in arguments:
        before = kept[-1] if kept else ""
        flag, equals, text = argument.partition("=")
        if equals and _is_header_flag(flag):
            kept.append(f"{flag}={_without_value(text)}")
        else:
            kept.append(_without_value(argument) if _is_header_flag(before) else argument)
    return kept


def _is_header_flag(flag: str) -> bool:
    return len(flag) > len("--h") and "--header".startswith(flag)  # argparse accepts prefixes


def _without_value(text: str) -> str:
    return f"{text.partition(':')[0]}: {NOT_KEPT}"
