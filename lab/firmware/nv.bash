# What the stand-ins share: where a card's settings are kept, and what becomes of them.
#
# The settings of a card are a file, $nv/0000:01:00, one setting a line: NAME DEFAULT CURRENT NEXT READ-ONLY. What counts
# from the next boot on is in force after `mstfwreset … reset`, or when the machine has booted since.
nv=${LAB_NV:-/var/lib/lab/nv}
sys=${LAB_SYS:-/sys}
version=${LAB_MSTFLINT:-4.31.0}

# fail TEXT: as the tools do, on standard output.
fail() {
	echo "-E- $1"
	exit "${2:-3}"
}

# newer VERSION: whether the tool that is played is of this version or a later one.
newer() {
	[ "$(printf '%s\n' "$1" "$version" | sort -V | head -n 1)" = "$1" ]
}

# open DEVICE: finds the card, and reads its settings into the arrays.
declare -A default current next read_only
names=()
open() {
	device=$1
	[[ $device =~ ^[0-9a-f]{2}: ]] && address=0000:$device || address=$device
	function=$sys/bus/pci/devices/$address
	[ "$(cat "$function/vendor" 2> /dev/null)" = 0x15b3 ] && [ ! -e "$function/physfn" ] || return 1
	file=$nv/${address%.*}
	mkdir -p "$nv"
	if [ ! -e "$file" ]; then
		local vfs
		vfs=$(cat "$function/sriov_totalvfs")
		cat > "$file" <<- END
			MEMIC_BAR_SIZE 0 0 0 RO
			MEMIC_SIZE_LIMIT _256KB(1) _256KB(1) _256KB(1) -
			PF_NUM_OF_VF_VALID False(0) False(0) False(0) -
			NUM_OF_VFS 0 $vfs $vfs -
			NUM_OF_PF 1 1 1 -
			SRIOV_EN False(0) True(1) True(1) -
			UCTX_EN True(1) True(1) True(1) -
			NUM_VF_MSIX 11 11 11 -
			LINK_TYPE_P1 ETH(2) ETH(2) ETH(2) -
			HOST_CHAINING_DESCRIPTORS Array[0..7] Array[0..7] Array[0..7] -
			PCI_ATOMIC_MODE PCI_ATOMIC_DISABLED_EXT_ATOMIC_ENABLED(0) PCI_ATOMIC_DISABLED_EXT_ATOMIC_ENABLED(0) PCI_ATOMIC_DISABLED_EXT_ATOMIC_ENABLED(0) -
		END
	fi
	local name first second third ro
	while read -r name first second third ro; do
		names+=("$name")
		default[$name]=$first current[$name]=$second next[$name]=$third read_only[$name]=$ro
	done < "$file"
	local boot
	boot=$(cat /proc/sys/kernel/random/boot_id)
	if [ "$(cat "$file.boot" 2> /dev/null)" != "$boot" ]; then
		echo "$boot" > "$file.boot"
		take_effect
	fi
	return 0
}

take_effect() {
	local name
	for name in "${names[@]}"; do
		current[$name]=${next[$name]}
	done
	save
}

save() {
	local name
	for name in "${names[@]}"; do
		echo "$name ${default[$name]} ${current[$name]} ${next[$name]} ${read_only[$name]}"
	done > "$file.new"
	mv "$file.new" "$file"
}

# number VALUE: the number in brackets, or the value.
number() {
	[[ $1 =~ \(([0-9]+)\)$ ]] && echo "${BASH_REMATCH[1]}" || echo "$1"
}

# vfs WHICH: how many VFs each port has by the settings in the array of this name.
vfs() {
	local -n values=$1
	[ "$(number "${values[SRIOV_EN]}")" = 1 ] && number "${values[NUM_OF_VFS]}" || echo 0
}
