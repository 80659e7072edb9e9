"""Become a command, on given cores, that ends when the process that asked for it ends.

python -m loadtest.running.start CORES PARENT COMMAND [ARGUMENT ...]
"""

import os
import sys

from servers.sockets.kernel import die_with_parent


def main() -> None:
    """Run the command in this very process; does not return."""
    cores, parent, *command = sys.argv[1:]
    die_with_parent()
    if os.getppid() != int(parent):  # it had ended before we asked to be told
        sys.exit(1)
    os.sched_setaffinity(0, map(int, cores.split(",")))
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
