# What an administrator may have made to point to the program.
if command -v update-alternatives >/dev/null; then
	update-alternatives --remove vdpa /usr/bin/vdpa-host >/dev/null 2>&1 || true
fi
if [ -d /run/systemd/system ]; then
	/usr/bin/vdpa-host service remove || true
fi
if [ -e /run/vdpa/receipt.json ]; then
	echo "vdpa-host: this host stays as \`vdpa setup\` made it until it boots again;" >&2
	echo "vdpa-host: to have it as it was before, install the package again and run \`vdpa-host teardown\`" >&2
fi
