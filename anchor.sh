#!/bin/sh
# anchor.sh: the first process of a namespace that the other containers join, so that they end with it.
# docker compose down stops the services of active profiles, and this one, which has no profile. Any
# other variant, Locust and the dashboard would stay up. So on SIGTERM this script stops them and waits.
set -u

# Print the first process of every other container, and orphans.
others() {
  grep -lE '^PPid:[[:space:]]+[01]$' /proc/[0-9]*/status 2>/dev/null |
    sed -n 's|^/proc/\([0-9]*\)/status$|\1|p' | grep -vxE "1|$$"
}

end() {
  signalled=' '  # signal each once: a second signal would end a server with requests in flight
  while pids=$(others); do
    for pid in $pids; do
      case $signalled in *" $pid "*) continue ;; esac
      kill -TERM "$pid" 2>/dev/null
      signalled="$signalled$pid "
    done
    sleep 0.1
  done
  [ "$signalled" = ' ' ] || sleep 1  # for the engine to notice, and to free their ports
  exit 0
}

trap end TERM INT
idle=0  # minutes without another container, as after Ctrl-C in `docker compose up gevent`; then exit
while [ "$idle" -lt 2 ]; do
  sleep 60 &
  wait $!
  if others >/dev/null; then idle=0; else idle=$((idle + 1)); fi
done
