#!/bin/sh
# Builds DPDK's examples/vdpa, the program behind `datapath = "dpdk"`, against the distribution's own DPDK, and installs
# it as dpdk-vdpa. No distribution ships it built.
#
#   sudo contrib/build-dpdk-vdpa.sh --install                installs the packages that it takes, builds, installs
#   contrib/build-dpdk-vdpa.sh --to ~/bin/dpdk-vdpa          somewhere else, with what is installed
#   contrib/build-dpdk-vdpa.sh --source ~/dpdk/examples/vdpa a DPDK of one's own (set PKG_CONFIG_PATH to it)
#
# The source has to be of the same DPDK as the libraries: the example changes with it.
set -eu

to=/usr/local/bin/dpdk-vdpa source= install=false

fail() {
	echo "build-dpdk-vdpa: $*" >&2
	exit 1
}

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
}

while [ $# -gt 0 ]; do
	case $1 in
	--install) install=true ;;
	--to | --source)
		[ $# -gt 1 ] || fail "$1 wants a path"
		if [ "$1" = --to ]; then to=$2; else source=$2; fi
		shift
		;;
	-h | --help)
		usage
		exit 0
		;;
	*) fail "what is $1? (--help)" ;;
	esac
	shift
done

# Debian and Ubuntu; RHEL, Rocky and Fedora, whose dpdk-devel has the examples.
if command -v apt-get >/dev/null; then
	packages="gcc make pkgconf libc6-dev libdpdk-dev dpdk-doc"
	get="apt-get install --yes --no-install-recommends"
elif command -v dnf >/dev/null; then
	packages="gcc make pkgconf-pkg-config dpdk-devel"
	get="dnf install --assumeyes"
else
	packages="gcc, make, pkg-config and DPDK with its headers and examples" get=
fi

if $install; then
	[ -n "$get" ] || fail "no apt-get or dnf here: install $packages"
	# shellcheck disable=SC2086 # words
	$get $packages
fi

for tool in gcc make pkg-config; do
	command -v $tool >/dev/null || fail "$tool is missing: run it with --install, or install $packages"
done
pkg-config --exists libdpdk || fail "libdpdk is not known to pkg-config: run it with --install, or install $packages"
[ -n "$source" ] || source=/usr/share/dpdk/examples/vdpa
[ -f "$source/main.c" ] || fail "$source has no main.c: run it with --install, install $packages, or name it with --source"

version=$(pkg-config --modversion libdpdk)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -rL "$source/." "$work/"
# The example's own Makefile knows what its version takes (from 24.03, a generator for its commands).
make -s -C "$work" shared >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	fail "the example of DPDK $version was not built"
}
mkdir -p "$(dirname "$to")"
install -m 755 "$work/build/vdpa-shared" "$to"
echo "$to: examples/vdpa of DPDK $version"
