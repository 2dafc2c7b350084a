#!/usr/bin/env bash
# Three collectors and five agents on loopback addresses: one agent reads this
# very machine, four read example trees that look like a web server, a
# database, a queue and a host everybody forgot. Ctrl-C ends everything.
#
#   demo.sh           stays up until Ctrl-C
#   demo.sh --check   checks every answer, ends by itself
set -euo pipefail
cd "$(dirname "$0")/../.."

check=false
[ "${1:-}" = --check ] && check=true
port=${FLEETCRON_DEMO_PORT:-17770}
bin=$PWD/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/fleetcron-demo.XXXXXX")
pids=()

finish() {
	code=$?
	trap - EXIT INT TERM
	((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null || true
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	if ((code != 0)) && $check; then tail -n 15 "$work"/*.log >&2 || true; fi
	rm -rf "$work"
	exit "$code"
}
trap finish EXIT
trap 'exit 0' INT TERM

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
fleetctl() { FLEETCRON_CONFIG="$work/c1/admin/config.yaml" FLEETCRON_ADDRESS="$addresses" "$bin/fleetctl" "$@"; }
show() { say fleetctl "$*"; fleetctl "$@"; }

# until_true tries a command for two minutes: the machine may be busy.
until_true() {
	for _ in $(seq 600); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.2
	done
	echo "demo: gave up waiting for: $*" >&2
	return 1
}
# expect fails the demo when an answer lacks what it must hold.
expect() {
	local pattern=$1 answer
	shift
	answer=$(fleetctl "$@" 2>&1) || true
	grep -qE -- "$pattern" <<< "$answer" && return 0
	printf 'demo: fleetctl %s lacks %s:\n%s\n' "$*" "$pattern" "$answer" >&2
	return 1
}

addresses=https://127.0.0.1:$port,https://127.0.0.2:$port,https://127.0.0.3:$port
web=http://127.0.0.1:$((port + 10))

echo "starting three collectors …"
for n in 1 2 3; do
	cat > "$work/c$n.yaml" <<-YAML
		id: c$n
		data_dir: $work/c$n
		listen:
		  api: 127.0.0.$n:$port
		  raft: 127.0.0.$n:$((port + 1))
		  gossip: 127.0.0.$n:$((port + 2))
		  web: 127.0.0.$n:$((port + 10))
		gossip:
		  seeds: [127.0.0.1:$((port + 2)), 127.0.0.2:$((port + 2))]
	YAML
done
leads() { fleetctl collectors -o json | grep -q '"leader": *true'; }
# join_token makes a secret that lets one machine in, once.
join_token() {
	local file=$1
	shift
	(umask 077 && fleetctl enroll-token "$@" > "$file")
}
"$bin/fleetcron-collector" init --config "$work/c1.yaml" > "$work/init.log"
for n in 1 2 3; do
	if [ $n != 1 ]; then
		join_token "$work/c$n.token" --collector c$n
		"$bin/fleetcron-collector" enroll --config "$work/c$n.yaml" --token-file "$work/c$n.token" --address "https://127.0.0.1:$port" >> "$work/init.log"
	fi
	"$bin/fleetcron-collector" run --config "$work/c$n.yaml" > "$work/c$n.log" 2>&1 &
	pids+=($!)
	until_true leads
done

echo "starting five agents …"
cp -r packaging/demo/roots "$work/roots"
chmod -R go-w "$work/roots"
find "$work/roots" -path '*/spool/cron/*' -type f -exec chmod 0600 {} +
# Whoever runs the demo is a user of the web server too: the job that is adopted
# is theirs, for an agent that is not root runs things as itself alone.
me=$(id -un)
if [ "$(id -u)" != 0 ]; then
	grep -q "^$me:" "$work/roots/web/etc/passwd" || echo "$me:x:$(id -u):$(id -g)::/:/bin/sh" >> "$work/roots/web/etc/passwd"
	sed -i "s/ root / $me /" "$work/roots/web/etc/cron.d/count"
fi
# What cron wrote down on the web server: the sitemap was built each night until
# four days ago, the cache is warmed all the time.
mkdir -p "$work/roots/web/var/log"
wrote() { printf '%s web-1 CRON[%d]: (www-data) CMD (%s)\n' "$(date -u -d "$1" +%Y-%m-%dT%H:%M:%S+00:00)" "$RANDOM" "$2"; }
{
	for day in 9 8 7 6 5; do wrote "$day days ago 01:30" '/usr/local/bin/build-sitemap --site example.org'; done
	for minutes in 15 10 5; do wrote "$minutes minutes ago" '/usr/local/bin/warm-cache --urls /var/www/hot.txt'; done
} > "$work/roots/web/var/log/syslog"
n=0
for host in this web database queue forgotten; do
	n=$((n + 1))
	root=/
	name=$(hostname)
	role=$host
	[ $host = database ] && role=db
	if [ $host != this ]; then
		root=$work/roots/$host
		name=$(cat "$root/etc/hostname")
	fi
	mkdir -p "$work/a$n"
	cat > "$work/a$n.yaml" <<-YAML
		collectors: [${addresses//,/, }]
		state_dir: $work/a$n
		name: $name
		root: $root
		labels: {role: $role, env: demo}
		policy: $work/a$n.policy.yaml
		gossip:
		  bind: 127.0.1.$n:$((port + 2))
		  seeds: [127.0.0.1:$((port + 2)), 127.0.0.2:$((port + 2))]
	YAML
	join_token "$work/a$n.token"
	"$bin/fleetcron-agent" enroll --config "$work/a$n.yaml" --token-file "$work/a$n.token" --address "https://127.0.0.1:$port" >> "$work/init.log"
	adoption=()
	[ $host = web ] && adoption=(--allow-adoption)
	# What this host lets run is its own word: here whatever you sign, as you.
	"$bin/fleetcron-agent" policy init --config "$work/a$n.yaml" --trust "$work/c1/admin/operator.pub" --allow-user "$me" --allow-command '*' --allow-shell "${adoption[@]}" >> "$work/init.log"
	"$bin/fleetcron-agent" run --config "$work/a$n.yaml" > "$work/a$n.log" 2>&1 &
	pids+=($!)
done
five() { [ "$(fleetctl hosts -o json | grep -c '"presence": *"alive"')" = 5 ]; }
reported() { [ "$(fleetctl hosts -o json | grep -c '"reported"')" = 5 ]; }
until_true five
until_true reported

show hosts
show find backup
show jobs --host old-files
show when --from 02:25 --to 02:35
seen() { fleetctl jobs --overdue -o json | grep -q build-sitemap; }
until_true seen
show jobs --overdue -o wide
show findings --severity warning --limit 12
show assign demo/hello --cron '*/5 * * * * *' --to env=demo --timeout 5s --owner team-demo --wait -- /bin/echo "hello from fleetcron"
ran() { fleetctl runs --task demo/hello -o json | grep -q '"state": *"ran"'; }
until_true ran
show run demo/hello --host web-1 --wait
show runs --task demo/hello --limit 5
run=$(fleetctl runs --task demo/hello --host web-1 --limit 20 -o json | grep -m1 -oE '"id": *"[0-9a-f-]{36}"' | cut -d'"' -f4)
show logs "$run"

say "a task that fails twice and is attempted again, and a daemon that is kept up"
cat > "$work/flaky" <<-'SH'
	#!/bin/sh
	echo "attempt $FLEETCRON_ATTEMPT"
	[ "$FLEETCRON_ATTEMPT" = 3 ]
SH
chmod 0755 "$work/flaky"
fleetctl assign demo/flaky --manual --retry 3 --to host=web-1 --wait -- "$work/flaky" > /dev/null
show run demo/flaky --wait
fleetctl assign demo/worker --daemon --to host=db-1 --wait -- /bin/sh -c 'while :; do sleep 1; done' > /dev/null
worker() { fleetctl status demo/worker -o json | grep -q '"phase": *"running"'; }
until_true worker
show status demo/worker
instance() { fleetctl runs --task demo/worker --state running -o json | grep -m1 -oE '"pid": *[0-9]+' | grep -oE '[0-9]+'; }
until_true instance
pid=$(instance)

say "kill -9 the agent of db-1, and start it again after a while"
kill -9 "${pids[5]}"
wait "${pids[5]}" 2>/dev/null || true
sleep 11
kill -0 "$pid" && echo "the daemon, process $pid, lived through it"
"$bin/fleetcron-agent" run --config "$work/a3.yaml" >> "$work/a3.log" 2>&1 &
pids[5]=$!
missed() { fleetctl runs --task demo/hello --host db-1 --state missed -o json | grep -q agent_down; }
until_true missed
show runs --task demo/hello --host db-1 --state missed --limit 1
until_true worker
show status demo/worker
show account demo/hello
proven() { fleetctl account --prove; }
until_true proven
show account --prove
until_true five

count=$work/roots/web/etc/cron.d/count
cp -p "$count" "$work/count.before"
show adopt web-1:/etc/cron.d/count:2 --task demo/count --dry-run
show adopt web-1:/etc/cron.d/count:2 --task demo/count --wait --reason 'to see it run'
say diff count.before /etc/cron.d/count
diff "$work/count.before" "$count" || true
gone() { fleetctl history web-1 --what vanished -o json | grep -q monthly; }
until_true gone
show release demo/count --wait
say cmp count.before /etc/cron.d/count
cmp "$work/count.before" "$count" && echo "the same to the byte"
show history web-1 --limit 4
show collectors

if $check; then
	expect 'old-files +alive' hosts
	expect 'Rocky Linux' hosts -o json
	expect 'backup --all --keep 14' find backup
	expect 's3://example-backups/web' find user:deploy
	expect 'anacron +anacron starts it every 7 days.*\(stamp\)' jobs --host db-1 -o wide
	expect 'Ansible' jobs --host db-1 -o wide
	expect 'started' jobs --overdue -o wide
	expect 'overdue' findings --kind overdue
	expect 'vanished' history web-1
	expect 'no task' tasks demo/count
	expect 'build-sitemap' jobs --at "$(date -u -d '1 second ago' +%Y-%m-%dT%H:%M:%SZ)" --host web-1
	[ "$(stat -c '%a %U %Y' "$work/count.before")" = "$(stat -c '%a %U %Y' "$count")" ]
	expect 'dot|name' jobs --host old-files -o json
	expect 'thumbnails --prune' find kind:timer
	expect 'it is masked' jobs --host old-files -o json
	expect '/opt/sync/push|61' jobs --host old-files -o json --problems
	expect 'hello from fleetcron' logs "$run"
	expect 'c3' collectors
	expect 'demo/worker +db-1 +running' status demo/worker
	[ "$(instance)" = "$pid" ]
	fleetctl restart demo/worker > /dev/null
	until_true worker
	[ "$(instance)" != "$pid" ]
	fleetctl stop demo/worker > /dev/null
	expect 'stopped' status demo/worker
	expect 'difference 0' account --prove
	expect 'demo/hello +db-1 .* 0$' account demo/hello
	fleetctl apply -f packaging/examples --allow-unmatched
	expect 'data/nightly-backup' tasks --host db-1
	fleetctl pause demo/hello
	expect 'paused' tasks
	fleetctl unassign demo/hello --all
	[ "$(curl -s -o /dev/null -w '%{http_code} %{redirect_url}' "$web/jobs")" = "303 $web/login" ]
	curl -fsS -c "$work/cookies" -o /dev/null --data-urlencode "secret@$work/c1/admin/token" "$web/login"
	curl -fsS -b "$work/cookies" "$web/" | grep fleetcron >/dev/null
	curl -fsS -b "$work/cookies" "$web/jobs?q=backup" | grep backup >/dev/null
	[ "$(curl -s -b "$work/cookies" -o /dev/null -w '%{http_code}' -X POST "$web/")" = 405 ]
	expect 'whole' audit verify
	kill "${pids[0]}"
	until_true leads
	expect 'web-1' hosts
	printf '\ndemo-check: every answer was right\n1 passed, 0 failed\n'
	exit 0
fi

cat <<TXT

The fleet is up at $web. This link logs your browser in, once and
within a minute; fleetctl web prints another:

    $(fleetctl web)

Talk to it in another terminal:

    export FLEETCRON_CONFIG=$work/c1/admin/config.yaml
    $bin/fleetctl hosts
    $bin/fleetctl web

Ctrl-C ends it and leaves nothing behind.
TXT
wait
