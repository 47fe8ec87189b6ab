#!/bin/sh
# Makes the initramfs of the guest that pings: initramfs.sh MODULES BUSYBOX OUT
# MODULES has a kernel's modules, uncompressed, in their directories.
set -eu
modules=$1 busybox=$2 out=$3
here=$(dirname "$(readlink -f "$0")")
root=$(mktemp -d)
trap 'rm -r "$root"' EXIT
mkdir "$root/bin" "$root/lib" "$root/proc" "$root/sys" "$root/dev"
cp "$busybox" "$root/bin/busybox"
for applet in sh mount insmod cat ping usleep ip poweroff; do
	ln -s busybox "$root/bin/$applet"
done
cp "$here/modules" "$root/modules"
while read -r module; do
	[ ! -e "$modules/$module" ] || cp "$modules/$module" "$root/lib/"
done < "$here/modules"
install -m 755 "$here/init" "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) > "$out"
