#!/bin/sh
# Runs a command in a fresh copy of a root, which is gone when it ends: clean.sh TAR DIRECTORY IN COMMAND...
# It sees IN as /in. To be called in a mount namespace of its own.
set -eu
tar=$1 root=$2 in=$3
shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$root"
tar --exclude './dev/*' -xf "$tar" -C "$root"
mkdir -p "$root/in" "$root/tmp"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$in" "$root/in"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
