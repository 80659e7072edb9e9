"""Two requests to the Linux kernel for which Python has no function of its own."""

import ctypes
import signal
import socket
import struct

_PR_SET_PDEATHSIG = 1
_SIGKILL = int(signal.SIGKILL)
_prctl = ctypes.CDLL(None).prctl
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong)


def set_receive_timeout(sock: socket.socket, seconds: float) -> None:
    """Let a blocking recv() fail with EAGAIN after this many seconds (socket(7), SO_RCVTIMEO)."""
    whole = int(seconds)
    timeval = struct.pack("@ll", whole, max(1, int((seconds - whole) * 1e6)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent's thread ends (prctl(2))."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
