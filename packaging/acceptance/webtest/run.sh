#!/usr/bin/env bash
# The browser tests of the web pages, from nothing: gets Chromium and
# playwright-core, builds the preview server and drives every page of it.
# SHOTS=folder keeps a picture of each page.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)

browser=${CHROMIUM:-/usr/bin/chromium}
if [ ! -x "$browser" ]; then
	[ "$(id -u)" = 0 ] || { echo "web-test: $browser is missing; install Debian's package chromium, or name a browser in CHROMIUM" >&2; exit 1; }
	apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
command -v npm >/dev/null || { echo "web-test: npm is missing; install Node.js 20 or newer" >&2; exit 1; }

npm ci --ignore-scripts --no-audit --no-fund --silent
mkdir -p "$root/bin"
(cd "$root" && go build -o bin/webtest ./packaging/acceptance/webtest)
WEBTEST="$root/bin/webtest" CHROMIUM="$browser" exec node run.mjs
