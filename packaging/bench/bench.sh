#!/usr/bin/env bash
# Runs the benchmarks that the README's promises rest on. Every figure is a
# ratio to a floor or a peer measured in the same run, so that it means the
# same on any machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
go test -timeout 40m -run '^$' -bench "${BENCH:-.}" -benchtime "${BENCHTIME:-1s}" \
	./shared/cron ./shared/calendar ./shared/seal ./agent/policy ./agent/discover ./agent/evidence ./agent/journal ./agent/runner ./agent/scheduler ./agent/turn ./agent/vitals \
	./collector/findings ./collector/ledger ./collector/search ./collector/replica ./collector/httpd ./web \
	./packaging/bench 2>&1 | grep -vE '^(goos|goarch|pkg|cpu):|no test files'
# How long an edit on a host takes until the collector's clients have it, with
# the real programs.
FLEETCRON_BIN=$PWD/bin go test -timeout 10m -tags acceptance -run '^$' -bench "${BENCH:-.}" -benchtime 20x ./packaging/acceptance 2>&1 |
	grep -vE '^(goos|goarch|pkg|cpu):|^\{'
