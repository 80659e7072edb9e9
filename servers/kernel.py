"""Requests to the Linux kernel for which Python has no function of its own."""

import ctypes
import fcntl
import signal
import socket
import struct
import termios

_PR_SET_PDEATHSIG = 1
_SO_ATTACH_FILTER = 26
_SIGKILL = int(signal.SIGKILL)
_libc = ctypes.CDLL(None)
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong)


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
    ret_0 = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))
    program = struct.pack("@HP", 1, ctypes.addressof(ret_0))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except PermissionError:  # some kernels and containers let only root have one
        return


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent's thread ends (prctl(2))."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def unread_bytes(fd: int) -> int:
    """Return how many bytes have arrived on a socket that nobody has read (tcp(7), SIOCINQ)."""
    if fd < 0:  # closed meanwhile
        return 0
    (count,) = struct.unpack("@i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return int(count)


def unsent_bytes(fd: int) -> int:
    """Return how many bytes of ours a socket's peer has not acknowledged (tcp(7), SIOCOUTQ)."""
    if fd < 0:
        return 0
    (count,) = struct.unpack("@i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def peer_sends(sock: socket.socket) -> bool:
    """Return whether a peer may send yet: neither has it sent its FIN, nor is it gone."""
    # struct tcp_info: tcpi_state, and in a FIN's absence that is TCP_ESTABLISHED.
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"


def shut_reading(fd: int) -> None:
    """Have recv() return what has arrived, then b"": shutdown(2) with SHUT_RD.

    Not the socket's method: gevent's makes a recv() that waits fail instead. It does no harm to
    a socket whose peer has gone.
    """
    _libc.shutdown(fd, socket.SHUT_RD)


def reset_on_close(sock: socket.socket) -> None:
    """Have close() reset the connection, and drop what the peer has not taken (SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, max(1, int((seconds - whole) * 1e6)))  # 0: without end
