"""A kernel without some features, or a machine with other addresses, for one process tree."""

import errno
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.preload import preloadable
from tests.support.running import DEADLINE_S


def kernel_without(*calls: str, error: int = errno.ENOSYS) -> dict[str, str]:
    """Return an environment in which system calls fail, as they do where a kernel lacks them.

    Args:
        calls: ``setsockopt LEVEL NAME``, ``getsockopt LEVEL NAME``, ``ioctl REQUEST 0``,
            ``prctl OPTION 0``, ``send FAMILY 0`` (on a socket of that family), ``socket FAMILY 0``,
            ``socketpair FAMILY 0``, ``setrlimit RESOURCE 0``, ``memfd_create 0 0``, ``pipe2 0 0``,
            ``epoll_create 0 0``; -1 is any number.
        error: What they fail with.
    """
    return {
        "LD_PRELOAD": str(preloadable("lacking")),
        "KERNEL_LACKS": ";".join(f"{call} {error}" for call in calls),
    }


def mounted(*mounts: str) -> list[str]:
    """Return a command prefix that mounts other file systems over some paths.

    Args:
        mounts: Arguments of mount(8), a string each.
    """
    return _unshared("--mount", commands=[f"mount {each}" for each in mounts])


def hosts(path: Path, *lines: str, without_ipv6: bool | None = None) -> list[str]:
    """Return a command prefix under which names are looked up in these lines alone.

    Args:
        path: Where a file may be written.
        without_ipv6: None: in our network. Else in one of its own, in which there is loopback
            alone, and perhaps no IPv6.
    """
    path.write_text("\n".join([*lines, ""]), "ascii")
    order = path.with_name("nsswitch.conf")
    order.write_text("hosts: files\n", "ascii")
    commands = [f"mount --bind {path} /etc/hosts"]
    if Path("/etc/nsswitch.conf").exists():
        commands.append(f"mount --bind {order} /etc/nsswitch.conf")
    if without_ipv6 is None:
        return _unshared("--mount", commands=commands)
    commands.append("ip link set lo up")
    if without_ipv6:
        commands.append("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    return _unshared("--mount", "--net", commands=commands)


def _unshared(*flags: str, commands: Sequence[str]) -> list[str]:
    prefix = ["unshare", *flags, "sh", "-c", " && ".join([*commands, 'exec "$@"']), "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1)")
    trial = subprocess.run([*prefix, "true"], capture_output=True, timeout=DEADLINE_S)
    if trial.returncode != 0:
        pytest.skip(f"no namespace of our own: {trial.stderr.decode(errors='replace').strip()}")
    return prefix
