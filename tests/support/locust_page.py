"""Locust's page, as its own scripts use it."""

import html
import json
import re
import urllib.parse
import urllib.request
from typing import Any

from tests.support.running import DEADLINE_S


class LocustPage:
    """The page of a Locust that runs.

    Args:
        url: Without a slash at its end.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **fields: object) -> str:
        """Return the reply; with fields, to a form."""
        data = (
            urllib.parse.urlencode(fields, doseq=True).encode()
            if fields or path == "/stop"
            else None
        )
        with urllib.request.urlopen(self.url + path, data, DEADLINE_S) as reply:
            text: str = reply.read().decode()
            return text

    def host(self) -> str:
        """Return the host in its form; each user class has its own, too."""
        return str(self._arguments()["host"])

    def statistics(self) -> dict[str, Any]:
        """Return the statistics of the running test."""
        found: dict[str, Any] = json.loads(self.ask("/stats/requests"))
        return found

    def _arguments(self) -> dict[str, Any]:
        found = re.search(r"window\.templateArgs = (.*)", html.unescape(self.ask("/")))
        assert found is not None
        arguments: dict[str, Any] = json.loads(found[1])
        return arguments

    def state(self) -> str:
        """Return the state of the test now; that of the statistics is up to 2 s old."""
        return str(self._arguments()["state"])

    def classes(self) -> tuple[list[str], list[str]]:
        """Return the user classes there are, and those that are ticked."""
        arguments = self._arguments()
        return [*arguments["users"]], arguments["available_user_classes"]

    def logs(self) -> str:
        """Return the master's lines on its Logs tab."""
        return "\n".join(json.loads(self.ask("/logs"))["master"])

    def swarm(self, users: int, **fields: object) -> dict[str, Any]:
        """Press START, or change the running test; return the reply."""
        reply: dict[str, Any] = json.loads(
            self.ask("/swarm", **{"user_count": users, "spawn_rate": users} | fields)
        )
        return reply

    def start(self, users: int, **fields: object) -> None:
        """Start a test, or change the one that runs, with all users at once."""
        reply = self.swarm(users, **fields)
        assert reply["success"], reply

    def stop(self) -> None:
        """Stop the test."""
        self.ask("/stop")
