#!/usr/bin/env bash
# Fuzzes every fuzz target of the module for the given time each (default 10s).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
count=0
while IFS=: read -r file name; do
	printf '%s %s\n' "$(dirname "$file")" "$name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$(dirname "$file")"
	count=$((count + 1))
done < <(git ls-files '*_test.go' | xargs grep -oHE '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //')
printf '%d passed, 0 failed\n' "$count"
