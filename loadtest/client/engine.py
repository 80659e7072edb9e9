"""One scheduler for all connections of a process.

10,000 greenlets that each sleep until their next request saturate a core at 20,000 requests/s:
each wakes, switches and sleeps on its own. Here one epoll finds the connections with a reply, one
heap those that are due, and both call a method. Gevent's hub, and so Locust, runs between turns.
"""

import ctypes
import heapq
import itertools
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.monkey import get_original

from loadtest.limits import CONNECTING_MAX

EVENTS_PER_TURN = 32
"""Connections served before the requests that are due meanwhile are sent."""

COALESCE_S = 0.0002
"""Shortest time between two wake-ups by the clock: setting a timer and waking up takes 17 µs of CPU
on a virtual machine. It matters above 5,000 requests/s and adds at most 0.1 ms of lateness in the
mean, which the results show. Precedent: wrk2's timer ticks once a millisecond."""

_NEVER = float("inf")
_SLOT_S = 0.01  # only times within one slot are sorted, so that the heap stays in a cache
_FAR_S = 1e9  # 30 years after the machine was started

_CLOCK_MONOTONIC = 1  # what time.perf_counter() reads on Linux
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_TIMER_ABSTIME = 1


class Watched(Protocol):
    """Owns a descriptor. Nothing that the engine calls may wait."""

    def ready(self, events: int) -> None:
        """React to what epoll reports of the descriptor."""


class Sleeper(Protocol):
    """Asks for a wake-up at a time."""

    def wake(self, now_s: float) -> None:
        """React to the time: it may be an earlier wake-up, which no longer counts."""


class Establishing(Protocol):
    """Waits for its turn to connect."""

    def establish(self) -> None:
        """Connect and make a first request."""


class _Timer:
    """A descriptor that becomes readable at a time: timerfd_create(2).

    The hub's own timers depend on epoll_wait(2), which counts milliseconds.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self.fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()  # struct itimerspec: interval s, ns; value s, ns
        self._address = ctypes.addressof(self._spec)

    def set(self, when_s: float) -> None:
        """Make the descriptor readable at ``when_s``, not before."""
        self._spec[2] = int(when_s)
        self._spec[3] = int(when_s % 1 * 1e9) + 1  # 0 would mean never
        self._settime(self.fd, _TFD_TIMER_ABSTIME, self._address, None)


class Engine:
    """Calls each connection that is ready, and each channel that is due.

    Args:
        failed: Called with an exception of such a call; with it, gevent would stop watching all.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._epoll: select.epoll = get_original("select", "epoll")()  # gevent hides it
        self._timer = _Timer()
        self._armed_s = _NEVER
        self._heap: list[tuple[float, int, Sleeper]] = []
        self._order = itertools.count()
        self._slot = 0  # up to this slot times are in the heap, later ones by slot
        self._slots: list[int] = []
        self._later: dict[int, list[tuple[float, int, Sleeper]]] = {}
        self._watched: dict[int, Watched] = {}
        self._to_establish: deque[Establishing] = deque()
        self._establishing = 0
        self._in_establish = False
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), 1)
        self._watcher.start(self._turn)

    def watch(self, fd: int, watched: Watched, events: int) -> None:
        """Call ``ready`` when one of the events occurs, until ``forget``."""
        self._watched[fd] = watched
        self._epoll.register(fd, events)

    def rewatch(self, fd: int, events: int) -> None:
        """Wait for other events."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching; call this before closing the descriptor."""
        del self._watched[fd]
        self._epoll.unregister(fd)

    def at(self, when_s: float, sleeper: Sleeper) -> None:
        """Call ``wake`` at a time."""
        slot = int(when_s / _SLOT_S)
        if slot > self._slot:
            later = self._later.get(slot)
            if later is None:
                later = self._later[slot] = []
                heapq.heappush(self._slots, slot)
            later.append((when_s, next(self._order), sleeper))
        else:
            heapq.heappush(self._heap, (when_s, next(self._order), sleeper))
        if when_s < self._armed_s:
            self._arm(when_s)

    def establish(self, channel: Establishing) -> None:
        """Call ``establish`` when it is the channel's turn; it answers with ``established``."""
        self._to_establish.append(channel)
        self._establish_more()

    def established(self) -> None:
        """Note that a channel has been established, or has failed."""
        self._establishing -= 1
        self._establish_more()

    def cancel(self, channel: Establishing) -> bool:
        """Do not call ``establish``; return whether the call was still to come."""
        try:
            self._to_establish.remove(channel)
        except ValueError:  # the call has been made
            return False
        return True

    def _establish_more(self) -> None:
        if self._in_establish:  # a channel failed at once: the loop below goes on
            return
        self._in_establish = True
        while self._to_establish and self._establishing < CONNECTING_MAX:
            self._establishing += 1
            self._to_establish.popleft().establish()
        self._in_establish = False

    def _turn(self) -> None:
        try:
            watched, heap = self._watched, self._heap
            for fd, events in self._epoll.poll(0, EVENTS_PER_TURN):
                owner = watched.get(fd)
                if owner is not None:  # not the timer, nor closed earlier in this turn
                    owner.ready(events)
            now_s = time.perf_counter()
            if self._slots and self._slots[0] * _SLOT_S <= now_s:
                self._begin_slot()
            for _ in range(EVENTS_PER_TURN):
                if not heap or heap[0][0] > now_s:
                    break
                heapq.heappop(heap)[2].wake(now_s)
            if heap:
                next_s = heap[0][0]
            elif self._slots:
                next_s = self._slots[0] * _SLOT_S
            else:
                next_s = _NEVER
            if not now_s < self._armed_s <= max(next_s, now_s + COALESCE_S):
                self._arm(max(next_s, now_s + COALESCE_S))
        except Exception as error:  # a bug of ours: else gevent would stop watching
            self._failed(error)

    def _begin_slot(self) -> None:
        """Sort the times of the next slot."""
        self._slot = heapq.heappop(self._slots)
        self._heap.extend(self._later.pop(self._slot))
        heapq.heapify(self._heap)

    def _arm(self, when_s: float) -> None:
        self._armed_s = when_s
        self._timer.set(min(when_s, _FAR_S))
