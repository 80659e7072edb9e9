#!/bin/sh
# as-owner.sh COMMAND...: run it as whoever owns the folder results, so that what it writes is theirs.
# For containers whose folder comes from outside: they start as root with three capabilities, which
# are given away here for good, together with root itself.
set -eu
exec setpriv --reuid "$(stat -c %u results)" --regid "$(stat -c %g results)" --clear-groups \
  --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"
