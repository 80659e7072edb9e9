"""Targets of a load: a model of ours, started for it, or a server that runs already."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.client.address import Address, url_of
from loadtest.measure.errors import NotConnectedError

PROBE_S = 5.0
"""For a server to accept a connection."""


class CellError(Exception):
    """A cell could not be run; the text says why."""


@dataclass(frozen=True)
class Target:
    """A server.

    Attributes:
        name: In results.
        host: ``http://HOST:PORT`` or ``tcp://HOST:PORT``.
        echo: ``HOST:PORT`` of its echo; "" if unknown.
        pid: Of the process whose use is measured from outside; 0: none.
        cores: How many it may use; 0: not known.
        path: Path and query of its URL; "" without them.
    """

    name: str
    host: str
    echo: str = ""
    pid: int = 0
    cores: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str, pid: int = 0, name: str = "") -> "Target":
        """Return the server at ``http://HOST:PORT[/PATH]`` or ``tcp://HOST:PORT``.

        Args:
            text: A user's.
            pid: Of the server; 0: not known.
            name: In results; "": the user's text.

        Raises:
            ValueError: The text is neither, or no server answers; says what to do.
        """
        tcp = text[:6].lower() == "tcp://"
        if not tcp and text[:7].lower() != "http://":
            raise ValueError(f"expected http://HOST:PORT or tcp://HOST:PORT, got {text!r}")
        if pid and not process_is_there(pid):
            raise ValueError(f"expected the pid of a process that runs here, got {pid}")
        try:
            url = url_of(text, 7000 if tcp else 80)
            socket.create_connection(url.address, PROBE_S).close()
        except NotConnectedError as error:  # its text says what was expected
            raise ValueError(str(error)) from error
        except OSError as error:  # no server listens, or no such host
            raise ValueError(
                f"expected a server at {text}, got: {error.strerror or error}; start it first, or"
                " name a MODEL"
            ) from error
        authority = url.address.authority
        host, echo = f"{url.scheme}://{authority}", authority if tcp else ""
        return cls(name or text, host, echo, pid, path=url.target)

    @property
    def url(self) -> str:
        """The text that ``parse`` takes."""
        return self.host + self.path

    def path_with(self, path: str | None, scenarios: Sequence[str]) -> str:
        """Return the path that the scenario ``get`` requests from this server.

        Args:
            path: Of the command line; None: it says none.
            scenarios: That are to be run.

        Raises:
            ValueError: The URL has a path that would not be asked for; says what to do.
        """
        if self.path and list(scenarios) != ["get"]:
            raise ValueError(
                f"expected the scenario get for a target with a path, got {','.join(scenarios)}"
                f" and {self.url}"
            )
        if self.path and path not in (None, self.path):
            raise ValueError(f"expected one path, got {self.url} and --path {path}")
        return self.path or path or "/"

    @property
    def speaks_http(self) -> bool:
        """Whether it has HTTP."""
        return self.host.startswith("http://")


def free_port() -> int:
    """Return a port that was free a moment ago, for a program that cannot report its own choice."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return Address(*sock.getsockname()[:2]).port


def process_is_there(pid: int) -> bool:
    """Return whether a pid is that of a running process, not of a thread or a zombie."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no such process, or a hidden one, which cannot be measured
        return False
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return fields.get("Tgid") == str(pid) and not fields.get("State", "Z").startswith(("Z", "X"))
