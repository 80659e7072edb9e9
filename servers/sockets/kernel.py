"""Requests to the Linux kernel for which Python has no function of its own.

gVisor, WSL 1, a seccomp profile or a lack of memory refuse some of them, each with an errno of its
own. So what a server can do without fails with no exception, whatever the errno: each function says
what happens then. Only the two time-outs raise: without them a silent client would hold a process
or a thread for ever, so a server that cannot have them does not start.
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
"""TCP_ESTABLISHED; and TCP_FIN_WAIT1 and 2, where we have sent our FIN."""


def _find_prctl() -> Callable[[int, int], int] | None:
    """Return prctl(2) for two arguments; None where it cannot be called."""
    try:
        import ctypes

        found = ctypes.CDLL(None).prctl
        found.argtypes = (ctypes.c_int, ctypes.c_ulong)
    except (ImportError, OSError, AttributeError, MemoryError):  # without libffi, or its memory
        return None
    return found


_prctl = _find_prctl()  # now: a child of the forking model would import it into pages of its own


def set_receive_timeout(sock: socket.socket, seconds: float) -> None:
    """Let a blocking recv() fail with EAGAIN after this many seconds (socket(7), SO_RCVTIMEO)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))


def set_send_timeout(sock: socket.socket, seconds: float) -> None:
    """Let a blocking send() end after this many seconds, with what was taken (SO_SNDTIMEO)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))


def stop_queueing(listener: socket.socket) -> None:
    """Have a listener ignore who connects from now on; whoever has is still to be accepted.

    A filter that lets no packet through (socket(7), SO_ATTACH_FILTER: one instruction, "ret 0").
    What is lost so is sent again, and finds the listener closed. Where we may not have one, whoever
    comes between the last accept() and the close() is lost, a few microseconds later.
    """
    ret_0 = array("B", struct.pack("=HBBI", 0x06, 0, 0, 0))
    program = struct.pack("@HP", 1, ret_0.buffer_info()[0])
    with suppress(OSError):  # EPERM in some containers, ENOPROTOOPT in gVisor, ENOMEM anywhere
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent's thread ends (prctl(2)).

    Where it does not grant that, a process outlives a parent that is killed; see
    ``can_die_with_parent``.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def can_die_with_parent() -> bool:
    """Return whether the kernel grants ``die_with_parent``; nothing is changed by asking."""
    current = array("i", [0])
    return (
        _prctl is not None
        and _prctl(_PR_GET_PDEATHSIG, current.buffer_info()[0]) == 0
        and _prctl(_PR_SET_PDEATHSIG, current[0]) == 0
    )


def unread_bytes(fd: int) -> int:
    """Return how many bytes have arrived on a socket that nobody has read (tcp(7), SIOCINQ).

    0 where the kernel does not say: then a deadline is kept to the letter, though the bytes may
    have arrived while the server was busy.
    """
    return _queued_bytes(fd, termios.FIONREAD)


def unsent_bytes(fd: int) -> int:
    """Return how many bytes of ours a socket's peer has not acknowledged (tcp(7), SIOCOUTQ).

    0 where the kernel does not say: then a client counts as one that takes what it is sent, and
    none is cut off that does.
    """
    return _queued_bytes(fd, termios.TIOCOUTQ)


def _queued_bytes(fd: int, request: int) -> int:
    if fd < 0:  # closed meanwhile
        return 0
    try:
        answer = fcntl.ioctl(fd, request, bytes(4))
    except OSError:  # closed by another thread just now, or a kernel that does not count
        return 0
    (count,) = struct.unpack("@i", answer)
    return int(count)


def peer_sends(sock: socket.socket) -> bool:
    """Return whether a peer may send yet: neither has it sent its FIN, nor is it gone.

    False where the kernel does not say: then what has arrived is all that is waited for.
    """
    return tcp_info(sock, 1) in _PEER_MAY_SEND  # struct tcp_info: tcpi_state


def quiet_s(fd: int) -> float:
    """Return how many seconds ago a socket's peer last acknowledged bytes or made room.

    Infinity where the kernel does not say: then a silent client counts as one that has taken all
    since its last request.
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
    """Return the beginning of a socket's struct tcp_info; b"" where the kernel has none of it."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size_bytes)
    except OSError:  # no such option here
        return b""


def shut_reading(fd: int) -> None:
    """Have recv() return what has arrived, then b"": shutdown(2) with SHUT_RD.

    Not the socket's method: gevent's makes a recv() that waits fail instead. It does no harm to
    a socket whose peer has gone.
    """
    with suppress(OSError):  # ENOTCONN: its peer has gone; EBADF: closed by another thread just now
        sock = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
        try:
            sock.shutdown(socket.SHUT_RD)
        finally:
            sock.detach()


def reset_on_close(sock: socket.socket) -> None:
    """Have close() reset the connection, and drop what the peer has not taken (SO_LINGER).

    Where the kernel does not, close() lets it try to send that for some minutes more.
    """
    with suppress(OSError):  # ENOPROTOOPT, ENOMEM: it is closed all the same
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, max(1, int((seconds - whole) * 1e6)))  # 0: without end
