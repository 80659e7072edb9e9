#!/bin/sh
# anchor.sh: the first process of a namespace that other containers join, so that they end with it.
# Docker Compose takes down what its active profiles name, and this, which has none; another
# variant, Locust or the dashboard would stay up. So this one, asked to end, asks them, and waits.
set -u

# The first process of each other container, and any that has lost its parent.
others() {
  grep -lE '^PPid:[[:space:]]+[01]$' /proc/[0-9]*/status 2>/dev/null |
    sed -n 's|^/proc/\([0-9]*\)/status$|\1|p' | grep -vxE "1|$$"
}

end() {
  told=' '  # once: a second signal would end a server that still answers what is in flight
  while pids=$(others); do
    for pid in $pids; do
      case $told in *" $pid "*) continue ;; esac
      kill -TERM "$pid" 2>/dev/null
      told="$told$pid "
    done
    sleep 0.1
  done
  [ "$told" = ' ' ] || sleep 1  # the engine has to notice that they ended, and give their ports back
  exit 0
}

trap end TERM INT
idle=0  # minutes: after Ctrl-C in `docker compose up gevent` nothing is to be left
while [ "$idle" -lt 2 ]; do
  sleep 60 &
  wait $!
  if others >/dev/null; then idle=0; else idle=$((idle + 1)); fi
done
