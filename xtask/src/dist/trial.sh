# In a clean Debian root with iproute2: installs a package, uses it, removes it, and sees that nothing of it is left and
# that iproute2's own `vdpa` never changed. trial.sh deb|rpm
set -eu
export DEBIAN_FRONTEND=noninteractive HOME=/root LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "trial: $*"; }
fail() {
	echo "trial: FAILED: $*" >&2
	exit 1
}
# Every file with its kind, mode and owner, but what package managers note down about themselves.
files() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /in -o -path /var/lib/dpkg -o -path /var/lib/rpm \
		-o -path /var/log -o -path /var/cache -o -path /root/.rpmdb \) -prune -o -printf '%p %y %m %u:%g %l\n' | sort
}
theirs=$(command -v vdpa) || fail "iproute2 has no vdpa here"
is_theirs() { [ "$(sha256sum <"$theirs")" = "$before" ] && vdpa -V 2>&1 | grep -q iproute2; }
before=$(sha256sum <"$theirs")
files >/tmp/files.before

case $1 in
deb)
	install() { dpkg --install /in/vdpa-host.deb; }
	remove() { dpkg --remove vdpa-host; }
	;;
rpm)
	rpm --initdb
	# Debian's libraries are not in rpm's database.
	install() { rpm --install --nodeps --replacepkgs /in/vdpa-host.rpm; }
	remove() { rpm --erase vdpa-host; }
	;;
esac
install
say "installed: $(vdpa-host --version)"
vdpa-host --version | grep -q '^vdpa [0-9]' || fail "the program does not say its version"
is_theirs || fail "iproute2's vdpa is no longer what it was"

# Used, on a simulated host; as an ordinary user where nothing needs root.
vdpa-host plan --simulate=/tmp/host --config /usr/share/doc/vdpa-host/examples/one-card.toml >/tmp/plan
grep -q 'eswitch of 0000:43:00.0' /tmp/plan || fail "plan shows no plan"
vdpa-host setup --simulate=/tmp/host >/dev/null
vdpa-host status --simulate=/tmp/host >/dev/null
vdpa-host teardown --simulate=/tmp/host >/dev/null
for example in /usr/share/doc/vdpa-host/examples/*.toml; do
	# A card that the simulated host lacks is no mistake of the file's.
	vdpa-host plan --simulate=/tmp/host --config "$example" >/dev/null 2>/tmp/error || grep -q 'there is no PCI function\|no PCI function has' /tmp/error ||
		fail "$example: $(cat /tmp/error)"
done
say "set up and torn down on a simulated host"

for page in vdpa vdpa-setup vdpa-host; do
	zcat "/usr/share/man/man1/$page.1.gz" | grep -q . || fail "there is no manual page $page(1)"
done
bash -c '. /usr/share/bash-completion/completions/vdpa-host && complete -p vdpa vdpa-host' >/dev/null ||
	fail "bash does not take the completions"
ls /usr/share/zsh/*/_vdpa /usr/share/fish/vendor_completions.d/vdpa.fish >/dev/null
grep -q '"bomFormat": "CycloneDX"' /usr/share/doc/vdpa-host/sbom.cdx.json || fail "there is no bill of materials"

# Whoever wants it under the short name says so, and iproute2's stays where it is.
update-alternatives --install /usr/local/sbin/vdpa vdpa /usr/bin/vdpa-host 50
hash -r
vdpa --version | grep -q '^vdpa [0-9]' || fail "the alternative is not in force"
[ "$(sha256sum <"$theirs")" = "$before" ] || fail "iproute2's vdpa was changed"
install # again, as an upgrade: the choice stays
hash -r
vdpa --version | grep -q '^vdpa [0-9]' || fail "an upgrade took the alternative away"

remove
hash -r
is_theirs || fail "vdpa is not iproute2's again"
rm -rf /root/.local /root/.cache
files >/tmp/files.after
diff /tmp/files.before /tmp/files.after || fail "the files above are left or gone"
say "nothing is left of it"
