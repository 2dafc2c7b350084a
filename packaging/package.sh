#!/usr/bin/env bash
# Builds dist/*.deb and dist/*.rpm of the three programs from bin/. The same
# commit gives the same bytes: every time stamp is SOURCE_DATE_EPOCH.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${VERSION:?}" "${SOURCE_DATE_EPOCH:?}"
export VERSION ARCH
ARCH=$(go env GOARCH)
DATE=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
programs=(fleetcron-agent fleetcron-collector fleetctl)

rm -rf dist
mkdir -p dist/completions
cat > dist/changelog.yaml <<YAML
- semver: $VERSION
  date: $DATE
  packager: fleetcron maintainers <maintainers@fleetcron.invalid>
  changes:
    - note: Release $VERSION.
YAML
for program in "${programs[@]}"; do
	mkdir -p "dist/man/$program"
	"bin/$program" man "dist/man/$program"
	gzip -9n "dist/man/$program"/*.1
	for shell in bash zsh fish; do
		"bin/$program" completion "$shell" > "dist/completions/$program.$shell"
	done
done
go build -modfile=packaging/tools/go.mod -o dist/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm
for program in "${programs[@]}"; do
	for packager in deb rpm; do
		dist/nfpm package --config "packaging/nfpm/$program.yaml" --packager "$packager" --target dist/
	done
done
rm dist/nfpm
(cd dist && sha256sum -- *.deb *.rpm > SHA256SUMS)
ls -l dist/*.deb dist/*.rpm
