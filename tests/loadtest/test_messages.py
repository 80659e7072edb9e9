"""The messages between Locust's processes stand in one file, with a sender and a receiver each."""

import re
from pathlib import Path

from loadtest.control import messages
from tests.support.commands import ROOT

NAMES = [name for name, value in vars(messages).items() if str(value).startswith("loadtest_")]


def users_of(pattern: str) -> list[Path]:
    files = (ROOT / "loadtest").rglob("*.py")
    return [path for path in files if re.search(pattern, path.read_text("utf-8"))]


def test_no_other_file_has_the_name_of_a_message() -> None:
    assert users_of(r"\"loadtest_\w+\"") == [Path(messages.__file__)]


def test_each_message_has_a_sender_and_a_receiver() -> None:
    assert len(NAMES) == 6
    for name in NAMES:
        assert users_of(rf"send_message, {name}\b|send_message\({name}\b"), name
        assert users_of(rf"register_message\({name}\b"), name
        assert messages.__doc__ is not None and f"``{name}``" in messages.__doc__, name
