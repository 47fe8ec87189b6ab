#!/bin/sh
# Runs a command in the tools root, which stays as it is: enter.sh TOOLS LAB IN OUT COMMAND...
# It sees the lab's sources as /lab, finished parts as /in, and writes to /out; /tmp is its own.
# To be called in a mount namespace of its own.
set -eu
tools=$1 lab=$2 in=$3 out=$4
shift 4
mount --make-rprivate /
mount --rbind /dev "$tools/dev"
mount --rbind /proc "$tools/proc"
mount -t tmpfs tmpfs "$tools/tmp"
mkdir -p "$tools/tmp/home"
mount --bind "$lab" "$tools/lab"
mount --bind "$in" "$tools/in"
mount --bind "$out" "$tools/out"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp/home LC_ALL=C.UTF-8 chroot "$tools" "$@"
