#!/usr/bin/env bash
# Installs, upgrades, removes and purges the packages in test roots made of
# busybox, and asks lintian, rpm and systemd-analyze what they think of them.
# Needs root (for chroot) and Debian's busybox-static, rpm, lintian, systemd;
# what is missing is installed with apt-get.
set -euo pipefail
cd "$(dirname "$0")/../.."
passed=0
pass() { passed=$((passed + 1)); printf 'ok    %s\n' "$1"; }
fail() { printf 'FAIL  %s\n1 failed after %d passed\n' "$1" "$passed" >&2; exit 1; }
expect() { if "${@:2}"; then pass "$1"; else fail "$1: ${*:2}"; fi; }

missing=()
for pair in busybox:busybox-static rpm:rpm lintian:lintian systemd-analyze:systemd; do
	command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if ((${#missing[@]})); then
	apt-get update -q >/dev/null && apt-get install -yq --no-install-recommends "${missing[@]}" >/dev/null
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old"
cp dist/*.deb dist/*.rpm "$work/old/"
old_sums=$(cat dist/SHA256SUMS)
make --no-print-directory package >/dev/null
expect "the same commit gives the same packages, byte for byte" test "$old_sums" = "$(cat dist/SHA256SUMS)"
make --no-print-directory package VERSION=9.9.9 >/dev/null
mkdir "$work/new"
mv dist/*.deb dist/*.rpm "$work/new/"
cp "$work"/old/* dist/
(cd dist && sha256sum -- *.deb *.rpm > SHA256SUMS)

# TestAttack118: one changed byte in a package is told before it is installed.
mkdir "$work/changed"
cp dist/*.deb dist/*.rpm dist/SHA256SUMS "$work/changed/"
expect "packages are what their list of sums says" sh -c "cd '$work/changed' && sha256sum --status -c SHA256SUMS"
changed=$(ls "$work"/changed/*.deb | head -n 1)
printf '\377' | dd of="$changed" bs=1 seek="$(($(stat -c %s "$changed") / 2))" conv=notrunc status=none
cmp -s "$changed" "dist/$(basename "$changed")" && printf '\0' | dd of="$changed" bs=1 seek="$(($(stat -c %s "$changed") / 2))" conv=notrunc status=none
expect "a changed byte fails the check of the sums" sh -c "cd '$work/changed' && ! sha256sum --status -c SHA256SUMS"

for unit in packaging/systemd/*.service packaging/systemd/*.socket; do
	mkdir -p "$work/verify/usr/bin" "$work/verify/usr/lib/systemd/system"
	cp "$unit" "$work/verify/usr/lib/systemd/system/"
done
cp bin/* "$work/verify/usr/bin/"
mkdir -p "$work/verify/bin" && cp "$(command -v busybox)" "$work/verify/bin/kill"
for target in multi-user network-online time-sync sysinit basic shutdown sockets; do
	printf '[Unit]\nDescription=%s\n' "$target" > "$work/verify/usr/lib/systemd/system/$target.target"
done
for unit in fleetcron-agent.service fleetcron-agent-net.service fleetcron-agent-read.service fleetcron-agent-read.socket fleetcron-collector.service; do
	# systemd before 254 does not know DelegateSubgroup, and says that it ignores it.
	complaints=$(systemd-analyze verify --root="$work/verify" --man=no "$unit" 2>&1 | grep -F "$unit" | grep -vF "Unknown key 'DelegateSubgroup'" || true)
	expect "systemd-analyze verify $unit" test -z "$complaints"
done
# What talks to the network and what reads the host may do next to nothing. What
# runs things passes on to every command what it may not: agent/work/DESIGN.md.
for limit in fleetcron-agent-net:1.5 fleetcron-agent-read:1.2 fleetcron-agent:9.4 fleetcron-collector:1.5; do
	exposure=$(systemd-analyze security --offline=yes "packaging/systemd/${limit%:*}.service" 2>/dev/null | sed -n 's/.*exposure level[^:]*: \([0-9.]*\).*/\1/p')
	expect "exposure of ${limit%:*} ($exposure) is at most ${limit#*:}" awk "BEGIN {exit !($exposure + 0 > 0 && $exposure <= ${limit#*:})}"
done
only=$(sed -n 's/^\(CapabilityBoundingSet\|AmbientCapabilities\|User\|PrivateNetwork\)=//p' packaging/systemd/fleetcron-agent-read.service | tr '\n' ' ')
expect "the reader has one capability, no network, and is not root" test "$only" = "fleetcron-read CAP_DAC_READ_SEARCH CAP_DAC_READ_SEARCH yes "

lintian --no-tag-display-limit --fail-on error "$work"/old/*.deb > "$work/lintian" 2>&1 || { cat "$work/lintian"; fail "lintian"; }
pass "lintian finds no error"

# root makes an empty system of busybox in $1.
root() {
	mkdir -p "$1"/{bin,etc,dev,proc,tmp,usr/bin,usr/sbin,var/lib/dpkg/info,var/lib/dpkg/updates,var/log}
	: > "$1/var/lib/dpkg/status"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for applet in sh rm rmdir test grep find; do ln -s busybox "$1/bin/$applet"; done
	printf 'root:x:0:0:root:/root:/bin/sh\n' > "$1/etc/passwd"
	printf 'root:x:0:\n' > "$1/etc/group"
	printf '#!/bin/sh\necho "$@" >> /tmp/useradd\n' > "$1/usr/sbin/useradd"
	printf '#!/bin/sh\nexit 2\n' > "$1/usr/bin/getent"
	chmod +x "$1/usr/sbin/useradd" "$1/usr/bin/getent"
}
debs() { dpkg --root="$work/deb" --force-depends --force-confold --log=/dev/null "$@" >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log"; fail "dpkg $*"; }; }
rpms() { rpm --root "$work/rpm" --nodeps --nosignature "$@" >"$work/rpm.log" 2>&1 || { cat "$work/rpm.log"; fail "rpm $*"; }; }

root "$work/deb"
debs -i "$work"/old/*.deb
for program in fleetcron-agent fleetcron-collector fleetctl; do
	expect "deb installs $program" chroot "$work/deb" "/usr/bin/$program" version
	expect "deb ships the man page of $program" test -s "$work/deb/usr/share/man/man1/$program.1.gz"
	expect "deb ships the completion of $program" test -s "$work/deb/usr/share/bash-completion/completions/$program"
done
expect "deb makes the collector's user" grep -q 'fleetcron$' "$work/deb/tmp/useradd"
expect "deb makes the users of the agent's parts" test "$(grep -c 'fleetcron-\(agent\|read\)$' "$work/deb/tmp/useradd")" = 2
for unit in fleetcron-agent.service fleetcron-agent-net.service fleetcron-agent-read.service fleetcron-agent-read.socket; do
	expect "deb installs $unit" test -s "$work/deb/usr/lib/systemd/system/$unit"
done
expect "deb says how this machine becomes a host" grep -q 'fleetcron-agent enroll --token-file' "$work/dpkg.log"
echo "# edited" >> "$work/deb/etc/fleetcron/agent.yaml"
mkdir -p "$work/deb/var/lib/fleetcron" && echo kept > "$work/deb/var/lib/fleetcron/journal"
debs -i "$work"/new/*.deb
expect "deb upgrade brings the new version" grep -q '9\.9\.9' <(chroot "$work/deb" /usr/bin/fleetctl version)
expect "deb upgrade keeps the edited config" grep -q '# edited' "$work/deb/etc/fleetcron/agent.yaml"
expect "deb upgrade keeps the state" test -e "$work/deb/var/lib/fleetcron/journal"
mkdir -p "$work/deb/etc/cron.d" && echo '# fleetcron adopted ops/x: 5 4 * * * root /bin/x' > "$work/deb/etc/cron.d/x"
debs -r fleetcron-agent fleetcron-collector fleetctl
expect "deb remove tells which jobs nothing runs any more" grep -q 'took over in: /etc/cron.d/x' "$work/dpkg.log"
expect "deb remove keeps the config" test -e "$work/deb/etc/fleetcron/agent.yaml"
expect "deb remove keeps the state" test -e "$work/deb/var/lib/fleetcron/journal"
expect "deb remove takes the programs" test ! -e "$work/deb/usr/bin/fleetctl"
debs -P fleetcron-agent fleetcron-collector fleetctl
expect "deb purge takes config and state" test ! -e "$work/deb/etc/fleetcron" -a ! -e "$work/deb/var/lib/fleetcron"

root "$work/rpm"
rpms -i "$work"/old/*.rpm
expect "rpm installs fleetctl" chroot "$work/rpm" /usr/bin/fleetctl version
echo "# edited" >> "$work/rpm/etc/fleetcron/agent.yaml"
rpms -U "$work"/new/*.rpm
expect "rpm upgrade brings the new version" grep -q '9\.9\.9' <(chroot "$work/rpm" /usr/bin/fleetctl version)
expect "rpm upgrade keeps the edited config" grep -q '# edited' "$work/rpm/etc/fleetcron/agent.yaml"
rpms -e fleetcron-agent fleetcron-collector fleetctl
expect "rpm erase takes the programs" test ! -e "$work/rpm/usr/bin/fleetctl"
printf '%d passed, 0 failed\n' "$passed"
