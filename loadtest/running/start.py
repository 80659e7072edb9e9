"""Run a command on given cores, and let it end when its parent ends.

python -m loadtest.running.start CORES PARENT COMMAND [ARGUMENT ...]
"""

import os
import sys

from servers.sockets.kernel import die_with_parent


def main() -> None:
    """Replace this process by the command; does not return."""
    cores, parent, *command = sys.argv[1:]
    die_with_parent()
    if os.getppid() != int(parent):  # the parent ended before the call above
        sys.exit(1)
    os.sched_setaffinity(0, map(int, cores.split(",")))
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
