"""The messages between Locust's processes: names, data, senders and receivers.

The leader is Locust's master, or the only process there is. A load process is a worker, or the
same only process: Locust delivers a message to its own process there.

=============  ==========================  ==========================================
message        from                        to
=============  ==========================  ==========================================
``READINESS``  load process, on a change   leader: ``PhaseController.on_readiness``
``BEGIN``      leader, all are ready       load process: ``LoadProcess.begin``
``OPEN``       leader, after the warm-up   load process: ``LoadProcess.open``
``CLOSE``      leader, after the window    load process: ``LoadProcess.close``
``FINISHED``   load process, all is in     leader: ``PhaseController.on_finished``
``FAILED``     load process, any time      leader: ``LocustProcess.fail``
=============  ==========================  ==========================================

Once a second a worker's records go to the master in Locust's own report, under ``REPORT_KEY``.
"""

from typing import Any, TypedDict

READINESS = "loadtest_established"
"""Which connections have had a first reply, and what the others had instead: ``Readiness``."""

BEGIN = "loadtest_begin"
"""Make requests from now on: ``Periods``."""

OPEN = "loadtest_open"
"""The window opens; no data."""

CLOSE = "loadtest_close"
"""The window closes, and no further request is due; no data."""

FINISHED = "loadtest_finished"
"""Every request has ended or was given up: ``Finished``."""

FAILED = "loadtest_failed"
"""An exception: its text."""

REPORT_KEY = "loadtest"

Periods = dict[str, float | None]
"""User class -> mean seconds between two requests of one connection; None: as fast as it goes."""

Record = dict[str, Any]
"""What a process has measured since its last record: ``{"usage": ...}``, its use of the machine, or
of one user class ``class``, ``phase``, ``from_s``, ``to_s``, and what was counted ``inside`` and
``outside`` the window (``meter.Taken``). ``observation.json`` keeps them, with the ``worker``."""

Usage = dict[str, dict[str, float]]
"""``"open"`` and ``"close"`` of the window -> what the process had used of the machine."""


class Readiness(TypedDict):
    """Data of ``READINESS``.

    Attributes:
        established: User class -> connections with a right first reply.
        failures: Each a ``first_failures.FirstFailure``, as a list.
    """

    established: dict[str, int]
    failures: list[list[Any]]


class Finished(TypedDict):
    """Data of ``FINISHED``."""

    usage: Usage
    records: list[Record]
