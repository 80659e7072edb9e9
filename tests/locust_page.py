"""Locust's page, as its own scripts use it."""

import html
import json
import re
import urllib.parse
import urllib.request
from typing import Any

from tests.running import DEADLINE_S


class LocustPage:
    """The page of a Locust that runs.

    Args:
        url: Without a slash at its end.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **fields: object) -> str:
        """Return what it answers; with fields, to a form."""
        data = urllib.parse.urlencode(fields).encode() if fields or path == "/stop" else None
        with urllib.request.urlopen(self._url + path, data, DEADLINE_S) as reply:
            text: str = reply.read().decode()
            return text

    def host(self) -> str:
        """Return what it is filled in with; each user class has a host of its own too."""
        found = re.search(r'"history": .*?"host": "([^"]*)"', html.unescape(self.ask("/")))
        assert found is not None
        return found[1]

    def statistics(self) -> dict[str, Any]:
        """Return what it shows while a test runs."""
        found: dict[str, Any] = json.loads(self.ask("/stats/requests"))
        return found

    def start(self, users: int, **fields: object) -> None:
        """Start a test, or change the one that runs, with all users at once."""
        said = json.loads(self.ask("/swarm", user_count=users, spawn_rate=users, **fields))
        assert said["success"], said

    def stop(self) -> None:
        """Stop the test."""
        self.ask("/stop")
