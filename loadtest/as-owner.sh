#!/bin/sh
# as-owner.sh COMMAND...: run a command as the owner of the folder results, who then owns its files.
# For containers with a folder from the host: they start as root with three capabilities. setpriv
# drops root and all capabilities for good before the command starts.
set -eu
exec setpriv --reuid "$(stat -c %u results)" --regid "$(stat -c %g results)" --clear-groups \
  --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"
