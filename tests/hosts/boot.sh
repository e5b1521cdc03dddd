#!/bin/sh
# Boots a host: FOLDER LOWER CGROUP... -- COMMAND...
# It is the first process of a mount and a process namespace of its own: when it ends, whichever way, all that
# runs in the host is killed and what is mounted here is gone.
set -eu
folder=$1 lower=$2
shift 2
# A tree of cgroups of its own: the systemd of each host would take those of the others for its own.
while [ "$1" != -- ]; do
  mkdir -p "$1"
  echo 0 >"$1/cgroup.procs"
  shift
done
shift
mount -t tmpfs tmpfs /run # systemd-nspawn keeps locks there, by the name of the host, which another run has too
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
exec "$@"
