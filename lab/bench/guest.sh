#!/bin/bash
# The guest's part of `cargo xtask bench`: brings the card to where each contender starts, runs and counts one, and
# looks at what came of it.
#
#   guest.sh clean             a card as after boot, Open vSwitch without configuration and without hw-offload
#   guest.sh state             what is there, one fact a line
#   guest.sh measure DIR CMD…  runs CMD and writes to DIR what it took and did
#   guest.sh quiet             returns when nothing is at work any more
#   guest.sh ping              packets from VF 0 to VF 1, and how many flows are offloaded then
#
# In the environment: PCINUM, IFNAME, N, VFS, VFA, REPS, as the scripts of lab/baseline have them.
set -u
export LC_ALL=C
device=/sys/bus/pci/devices/$PCINUM
database=/var/lib/openvswitch/conf.db

clean() {
	ovs-vsctl --if-exists del-br ovs-sriov -- clear Open_vSwitch . other_config
	[ "$(< "$device/sriov_numvfs")" = 0 ] || echo 0 > "$device/sriov_numvfs"
	devlink dev eswitch set "pci/$PCINUM" mode legacy
	echo 1 > "$device/sriov_drivers_autoprobe"
	udevadm settle
	ethtool -K "$IFNAME" hw-tc-offload off
	ip link set "$IFNAME" down
	tc qdisc del dev "$IFNAME" ingress 2> /dev/null
	# What is in force of hw-offload goes with the process only. systemd allows five starts in ten seconds, and the
	# reference document's script makes four.
	systemctl restart openvswitch-switch
	systemctl reset-failed openvswitch-switch ovs-vswitchd ovsdb-server
	udevadm settle
}

state() {
	local name path function
	echo "eswitch $(devlink dev eswitch show "pci/$PCINUM" | cut -d' ' -f2-)"
	echo "numvfs $(< "$device/sriov_numvfs")"
	echo "autoprobe $(< "$device/sriov_drivers_autoprobe")"
	ip link show "$IFNAME" | sed -n 's/^ *\(vf [0-9]*\) .*link\/ether \([0-9a-f:]*\) .*/\1 mac \2/p'
	for function in "$device"/virtfn*; do
		[ -e "$function" ] || continue
		name=$(readlink -f "$function/driver")
		echo "driver of ${function##*/virtfn} ${name##*/}"
		echo "netdev of ${function##*/virtfn} $(echo "$function"/net/*) $(cat "$function"/net/*/address)" |
			sed 's|/[^ ]*/||g'
	done
	for path in /sys/class/net/*; do
		name=${path##*/}
		echo "link $name $((($(< "$path/flags") & 1))) $(ethtool -k "$name" | grep -o 'hw-tc-offload: [a-z]*')$(
			tc qdisc show dev "$name" ingress | grep -o ' ingress\| clsact')"
	done
	for name in $(ovs-vsctl list-br); do
		echo "bridge $name: $(ovs-vsctl list-ports "$name" | sort | tr '\n' ' ')"
	done
	echo "other_config $(ovs-vsctl get Open_vSwitch . other_config)"
	echo "datapaths $(ovs-appctl dpctl/dump-dps | sort | tr '\n' ' ')"
}

accounting() { perl -e 'syscall(163, @ARGV ? $ARGV[0] : 0) == 0 or die "acct: $!\n"' "$@"; }

# Processes and threads made since boot, told without making one.
count_forks() {
	local name value
	while read -r name value; do
		[ "$name" != processes ] || forks=$value
	done < /proc/stat
}

# What was done is read from the kernel's account of every process that ended (acct(5)), the database's log of every
# transaction (ovsdb(5)) and systemd's journal.
measure() {
	local result=$1 out size pid began ended before forks rc
	shift
	out=$(mktemp -d /run/bench.XXXXXX)
	: > "$out/accounts"
	size=$(stat -c %s "$database")
	accounting "$out/accounts"
	times > "$out/times.before"
	count_forks
	before=$forks
	began=$EPOCHREALTIME
	VDPA_TRACE=$out/trace "$@" > "$out/stdout" 2> "$out/stderr" &
	pid=$!
	wait "$pid"
	rc=$?
	ended=$EPOCHREALTIME
	count_forks
	times > "$out/times.after"
	accounting
	tail -c +$((size + 1)) "$database" > "$out/transactions"
	journalctl --quiet --unit=ovs-vswitchd --since="@${began%.*}" --output=cat | grep '^Started' > "$out/starts"
	printf '%s\n' "pid $pid" "rc $rc" "began $began" "ended $ended" "forks $((forks - before))" \
		"grew $(($(stat -c %s "$database") - size))" > "$out/facts"
	rm -rf "$result"
	cp -r "$out" "$result"
	rm -rf "$out"
	return "$rc"
}

# Hundredths of a second in which the CPU had nothing to do since boot.
idle() { awk '$1 == "cpu" { print $5 + $6 }' /proc/stat; }

# What new devices are to udev, systemd and Open vSwitch goes on for a while after they have their names.
quiet() {
	local before
	udevadm settle
	for _ in {1..120}; do
		before=$(idle)
		sleep 1
		[ $(($(idle) - before)) -lt 90 ] || return 0
	done
	echo "something is at work still after two minutes" >&2
	return 1
}

ping_vfs() {
	local netdev i
	for i in 0 1; do
		netdev=$(echo "$device/virtfn$i/net/"*)
		ip netns add "bench$i"
		ip link set "${netdev##*/}" netns "bench$i"
		ip -n "bench$i" address add "192.0.2.$((i + 1))/24" dev "${netdev##*/}"
		ip -n "bench$i" link set "${netdev##*/}" up
	done
	ip netns exec bench0 ping -q -i 0.2 -c 5 -W 5 192.0.2.2 | grep -o '[0-9]* received'
	echo "offloaded $(ovs-appctl dpctl/dump-flows type=offloaded | grep -c 'in_port')"
	for i in 0 1; do
		netdev=$(ip netns exec "bench$i" ls "$device/virtfn$i/net")
		ip -n "bench$i" link set "$netdev" netns 1
		ip link set "$netdev" up
		ip netns delete "bench$i"
	done
}

case $1 in
	clean | state | quiet) "$1" ;;
	measure) shift && measure "$@" ;;
	ping) ping_vfs ;;
	*) exit 2 ;;
esac
