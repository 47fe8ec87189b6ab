#!/bin/sh
# In the tools root: makes what the VM boots.
#   /in/root.tar      the guest's root, from packages
#   /in/programs/     what compile.sh made
#   /out/vmlinuz, /out/initrd, /out/root.img
set -eu
kernel=$(ls /usr/lib/modules)
stock=/usr/lib/modules/$kernel/kernel
root=/tmp/root
modules=$root/usr/lib/modules/$kernel
guest=/lab/guest

listed() { # FILE: its lines without comments
	sed 's/#.*//' "$1"
}

mkdir "$root"
tar -C "$root" --exclude './dev/*' -xf /in/root.tar

# Only the kernel modules that the lab has a use for: udev tries every one it finds, and under emulation each costs seconds.
mkdir -p "$modules/updates"
cp /usr/lib/modules/"$kernel"/modules.builtin* /usr/lib/modules/"$kernel"/modules.order "$modules/"
for wanted in $(listed $guest/kernel-modules); do
	for found in "$stock"/$wanted; do
		target=$modules/kernel/${found#"$stock"/}
		mkdir -p "${target%/*}"
		cp -r "$found" "${target%/*}/"
	done
done
find "$modules" -name '*.xz' -exec xz -d {} +
cp /in/programs/modules/*.ko "$modules/updates/"
depmod -b "$root" "$kernel"

install -D -m 755 -t "$root/usr/local/bin" /in/programs/bin/*
install -D -m 755 -t "$root/usr/local/lib/lab/baseline" /lab/baseline/*
install -D -m 755 -t "$root/usr/local/lib/lab/firmware" /lab/firmware/*
ln -sf ../lib/lab/firmware/mstconfig ../lib/lab/firmware/mstfwreset "$root/usr/local/bin/"
# Where DPDK's drivers are, it is loaded like mlx5's on a machine with a real card.
plugins=$(cd "$root" && echo usr/lib/x86_64-linux-gnu/dpdk/pmds-*)
install -m 644 /in/programs/lib/vdpa_lab.so "$root/$plugins/librte_vdpa_lab.so"
for program in /usr/local/bin/dpdk-vdpa "/$plugins/librte_vdpa_lab.so"; do
	if chroot "$root" ldd $program | grep 'not found'; then
		echo "guest.packages lacks a library of $program"
		exit 1
	fi
done
cp -r $guest/root/. "$root/"
chown -R root:root "$root/usr/local" "$root/etc/systemd/system"
for unit in $(listed $guest/masked-units); do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" systemctl --quiet disable $(listed $guest/disabled-units)
ln -sf lab.target "$root/etc/systemd/system/default.target"
# Otherwise systemd takes each boot for the first one.
echo 76647061206c6162206775657374210a > "$root/etc/machine-id"
mkdir -p "$root/lab" "$root/target"
mke2fs -q -t ext4 -d "$root" /out/root.img 1600M

initramfs=/tmp/initramfs
mkdir -p $initramfs/bin $initramfs/lib $initramfs/proc $initramfs/sys $initramfs/dev $initramfs/root
cp /bin/busybox $initramfs/bin/
for applet in sh mount umount insmod switch_root reboot echo; do
	ln -s busybox $initramfs/bin/$applet
done
install -m 755 $guest/init $initramfs/init
listed $guest/initramfs-modules > $initramfs/modules
while read -r module; do
	cp "$modules/kernel/$module" $initramfs/lib/
done < $initramfs/modules
(cd $initramfs && find . | cpio --quiet -o -H newc > /out/initrd)
cp "/boot/vmlinuz-$kernel" /out/vmlinuz
