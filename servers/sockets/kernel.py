"""Requests to the Linux kernel for which Python has no function of its own.

gVisor, WSL 1, a seccomp profile or a lack of memory make some of them fail, each with a different
errno. A function that a server can do without therefore raises nothing, whatever the errno; its
docstring gives the fallback. Only the two time-outs raise: without them a silent client would hold
a process or a thread for ever, so a server does not start without them.
"""

import _socket
import fcntl
import math
import signal
import socket
import struct
import termios
from array import array
from collections.abc import Callable
from contextlib import suppress

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_SO_ATTACH_FILTER = 26
_SIGKILL = int(signal.SIGKILL)
_PEER_MAY_SEND = (b"\x01", b"\x04", b"\x05")
"""TCP_ESTABLISHED; TCP_FIN_WAIT1 and TCP_FIN_WAIT2: our FIN is sent, the peer's has not come."""


def _find_prctl() -> Callable[[int, int], int] | None:
    """Return prctl(2) for two arguments; None where it cannot be called."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        prctl.argtypes = (ctypes.c_int, ctypes.c_ulong)
    except (ImportError, OSError, AttributeError, MemoryError):  # no libffi, or no memory for it
        return None
    return prctl


_prctl = _find_prctl()  # once: a child of the forking model would copy pages to import ctypes


def set_receive_timeout(sock: socket.socket, seconds: float) -> None:
    """Let a blocking recv() fail with EAGAIN after this many seconds (socket(7), SO_RCVTIMEO)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))


def set_send_timeout(sock: socket.socket, seconds: float) -> None:
    """Let a blocking send() return after this many seconds with a partial count (SO_SNDTIMEO)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))


def stop_queueing(listener: socket.socket) -> None:
    """Make a listener drop new connections; those in the accept queue can still be accepted.

    A socket filter drops every packet (socket(7), SO_ATTACH_FILTER: one instruction, "ret 0").
    The client's kernel sends a dropped SYN again, and then finds the listener closed. Where the
    kernel refuses the filter, a connection made in the microseconds between the last accept() and
    the close() is reset.
    """
    ret_0 = array("B", struct.pack("=HBBI", 0x06, 0, 0, 0))
    program = struct.pack("@HP", 1, ret_0.buffer_info()[0])
    with suppress(OSError):  # EPERM in some containers, ENOPROTOOPT in gVisor, ENOMEM anywhere
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent's thread ends (prctl(2)).

    Where the kernel refuses, a process outlives a killed parent; see ``can_die_with_parent``.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def can_die_with_parent() -> bool:
    """Return whether ``die_with_parent`` works here; this leaves the current setting as it is."""
    current = array("i", [0])
    return (
        _prctl is not None
        and _prctl(_PR_GET_PDEATHSIG, current.buffer_info()[0]) == 0
        and _prctl(_PR_SET_PDEATHSIG, current[0]) == 0
    )


def unread_bytes(fd: int) -> int:
    """Return how many received bytes a socket holds unread (tcp(7), SIOCINQ).

    0 where the kernel does not report it: a deadline then ends even a client whose bytes arrived in
    time, while the server was busy.
    """
    return _queued_bytes(fd, termios.FIONREAD)


def unsent_bytes(fd: int) -> int:
    """Return how many sent bytes a socket's peer has not acknowledged (tcp(7), SIOCOUTQ).

    0 where the kernel does not report it: every client then counts as one that has taken its whole
    reply, so none that still reads is cut off.
    """
    return _queued_bytes(fd, termios.TIOCOUTQ)


def _queued_bytes(fd: int, request: int) -> int:
    if fd < 0:  # closed meanwhile
        return 0
    try:
        packed = fcntl.ioctl(fd, request, bytes(4))
    except OSError:  # closed by another thread just now, or the kernel does not count them
        return 0
    (count,) = struct.unpack("@i", packed)
    return int(count)


def peer_sends(sock: socket.socket) -> bool:
    """Return whether a peer may still send: it has neither sent its FIN nor gone away.

    False where the kernel does not report it: the server then reads only what has arrived.
    """
    return tcp_info(sock, 1) in _PEER_MAY_SEND  # struct tcp_info: tcpi_state


def quiet_s(fd: int) -> float:
    """Return how many seconds ago a socket's peer last acknowledged bytes or opened its window.

    Infinity where the kernel does not report it: a silent client then counts as idle since its last
    request.
    """
    if fd < 0:  # closed meanwhile
        return math.inf
    sock = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    try:
        info = tcp_info(sock, 60)
    finally:
        sock.detach()
    if len(info) < 60:
        return math.inf
    (last_ack_recv_ms,) = struct.unpack_from("=I", info, 56)
    return float(last_ack_recv_ms) / 1000


def tcp_info(sock: _socket.socket, size_bytes: int) -> bytes:
    """Return the first bytes of a socket's struct tcp_info; b"" where the kernel has none."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size_bytes)
    except OSError:  # the kernel lacks the option
        return b""


def shut_reading(fd: int) -> None:
    """Make recv() return what has arrived, then b"": shutdown(2) with SHUT_RD.

    The call goes to the kernel's socket: the method of gevent's socket would make a waiting recv()
    fail. A socket whose peer is gone stays as it is.
    """
    with suppress(OSError):  # ENOTCONN: the peer is gone; EBADF: closed by another thread just now
        sock = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
        try:
            sock.shutdown(socket.SHUT_RD)
        finally:
            sock.detach()


def reset_on_close(sock: socket.socket) -> None:
    """Make close() reset the connection and drop unacknowledged bytes (SO_LINGER).

    Where the kernel refuses, it goes on sending those bytes for some minutes after close().
    """
    with suppress(OSError):  # ENOPROTOOPT, ENOMEM: close() still works
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, max(1, int((seconds - whole) * 1e6)))  # 0 means no limit
