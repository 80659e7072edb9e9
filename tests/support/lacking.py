"""A kernel without some features, or a machine with other addresses, for one process tree.

server -> setsockopt(), prctl(), ... -> _SHIM, preloaded: fails as KERNEL_LACKS says -> libc
"""

import errno
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.running import DEADLINE_S

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

/* KERNEL_LACKS: "call a b errno;..."; -1 stands for any a or b. */
static int lacks(const char *call, long a, long b) {
    const char *rule = getenv("KERNEL_LACKS");
    char name[32];
    long want_a, want_b;
    int code;
    while (rule && sscanf(rule, "%31s %ld %ld %d", name, &want_a, &want_b, &code) == 4) {
        if (!strcmp(name, call) && (want_a == -1 || want_a == a) && (want_b == -1 || want_b == b)) {
            errno = code;
            return 1;
        }
        rule = strchr(rule, ';');
        rule = rule ? rule + 1 : 0;
    }
    return 0;
}

static int family(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &size) ? -2 : address.ss_family;
}

#define NEXT(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    if (lacks("setsockopt", level, name)) return -1;
    return NEXT(int, setsockopt, int, int, int, const void *, socklen_t)
        (fd, level, name, value, size);
}
int getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
    if (lacks("getsockopt", level, name)) return -1;
    return NEXT(int, getsockopt, int, int, int, void *, socklen_t *)(fd, level, name, value, size);
}
int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (lacks("ioctl", (long)request, 0)) return -1;
    return NEXT(int, ioctl, int, unsigned long, ...)(fd, request, argument);
}
int prctl(int option, ...) {
    va_list rest;
    va_start(rest, option);
    unsigned long a = va_arg(rest, unsigned long), b = va_arg(rest, unsigned long),
                  c = va_arg(rest, unsigned long), d = va_arg(rest, unsigned long);
    va_end(rest);
    if (lacks("prctl", option, 0)) return -1;
    return NEXT(int, prctl, int, ...)(option, a, b, c, d);
}
int memfd_create(const char *name, unsigned flags) {
    if (lacks("memfd_create", 0, 0)) return -1;
    return NEXT(int, memfd_create, const char *, unsigned)(name, flags);
}
int pipe2(int fds[2], int flags) {
    if (lacks("pipe2", 0, 0)) return -1;
    return NEXT(int, pipe2, int *, int)(fds, flags);
}
int socketpair(int domain, int type, int protocol, int fds[2]) {
    if (lacks("socketpair", domain, 0)) return -1;
    return NEXT(int, socketpair, int, int, int, int *)(domain, type, protocol, fds);
}
int epoll_create1(int flags) {
    if (lacks("epoll_create", 0, 0)) return -1;
    return NEXT(int, epoll_create1, int)(flags);
}
int socket(int domain, int type, int protocol) {
    if (lacks("socket", domain, 0)) return -1;
    return NEXT(int, socket, int, int, int)(domain, type, protocol);
}
int setrlimit(int resource, const struct rlimit *limit) {
    if (lacks("setrlimit", resource, 0)) return -1;
    return NEXT(int, setrlimit, int, const struct rlimit *)(resource, limit);
}
ssize_t send(int fd, const void *data, size_t size, int flags) {
    if (lacks("send", family(fd), 0)) return -1;
    return NEXT(ssize_t, send, int, const void *, size_t, int)(fd, data, size, flags);
}
"""


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
        "LD_PRELOAD": str(_shim()),
        "KERNEL_LACKS": ";".join(f"{call} {error}" for call in calls),
    }


@functools.cache
def _shim() -> Path:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    library = Path(tempfile.mkdtemp(prefix="lacking-"), "lacking.so")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-include", "sys/resource.h", "-o", library, "-x", "c", "-",
         "-ldl"],
        input=_SHIM.encode(),
        check=True,
        timeout=DEADLINE_S,
    )  # fmt: skip
    return library


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
