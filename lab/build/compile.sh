#!/bin/sh
# In the tools root: compiles what the guest needs beyond Debian's packages.
#   /out/modules/*.ko    the pretend card; netdevsim, vdpa_sim and vdpa_sim_net, which Debian leaves out of its kernel
#   /out/bin/dpdk-vdpa   DPDK's examples/vdpa
#   /out/lib/vdpa_lab.so DPDK's driver for the pretend card's VFs
set -eu
kernel=$(ls /usr/lib/modules)
mkdir -p /out/modules /out/bin /out/lib /tmp/linux /tmp/dpdk
jobs=$(nproc)

build_module() { # DIRECTORY [VARIABLE=VALUE...]
	directory=$1
	shift
	# No pahole here: modules go without their own BTF.
	make -s -j "$jobs" -C "/usr/src/linux-headers-$kernel" M="$directory" CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules
	cp "$directory"/*.ko /out/modules/
}

tar -xJf /usr/src/linux-source-6.12.tar.xz -C /tmp/linux --strip-components=2 \
	linux-source-6.12/drivers/net/netdevsim linux-source-6.12/drivers/vdpa/vdpa_sim linux-source-6.12/drivers/vhost/vringh.c
build_module /tmp/linux/net/netdevsim CONFIG_NETDEVSIM=m

# vringh is a helper module that Debian leaves out too.
simulator=/tmp/linux/vdpa/vdpa_sim
cp /tmp/linux/vhost/vringh.c $simulator/
echo 'obj-m := vringh.o vdpa_sim.o vdpa_sim_net.o' > $simulator/Kbuild
build_module $simulator

# The card's vDPA devices are made with vdpa_sim.
cp -r /lab/card /tmp/card
cp $simulator/vdpa_sim.h /tmp/card/
build_module /tmp/card KBUILD_EXTRA_SYMBOLS=$simulator/Module.symvers

# The headers that a driver outside of DPDK's tree needs are only in the source package.
tar -xJf /usr/src/dpdk_*.orig.tar.xz -C /tmp/dpdk --strip-components=1 --wildcards '*_driver.h' '*/examples/vdpa/*'
flags="-O2 $(pkg-config --cflags libdpdk) -Wno-deprecated-declarations"
# shellcheck disable=SC2086
gcc $flags -o /out/bin/dpdk-vdpa /tmp/dpdk/examples/vdpa/main.c $(pkg-config --libs libdpdk)
# shellcheck disable=SC2086
gcc $flags -Wall -shared -fPIC -DALLOW_INTERNAL_API \
	-I /tmp/dpdk/drivers/bus/pci -I /tmp/dpdk/lib/eal/include -I /tmp/dpdk/lib/vhost \
	-o /out/lib/vdpa_lab.so /lab/dpdk/vdpa_lab.c -lrte_bus_pci -lrte_vhost
