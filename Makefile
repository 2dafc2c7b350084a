# fleetcron. `make help` lists what there is; `make demo` and `make test` need
# Go and make and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROGRAMS := fleetcron-agent fleetcron-collector fleetctl
VERSION  ?= $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//' || true)
VERSION  := $(or $(VERSION),0.1.0)
COMMIT   ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
GOBUILD  := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
TOOL     := go tool -modfile=packaging/tools/go.mod

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: build
build: ## build the three programs into bin/
	@mkdir -p bin
	$(GOBUILD) -o bin/ $(foreach p,$(PROGRAMS),./$(call room,$(p)))

room = $(if $(filter fleetcron-agent,$(1)),agent/cmd/fleetcron-agent,collector/cmd/$(1))

.PHONY: demo
demo: build ## three collectors and five agents on loopback, a task assigned and run; Ctrl-C ends it
	bash packaging/demo/demo.sh

.PHONY: demo-check
demo-check: build ## the demo unattended: ends by itself, fails when anything is missing
	bash packaging/demo/demo.sh --check

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(if $(shell command -v $$(go env CC) 2>/dev/null),-race)

# Vetting is lint's. Many tests wait for processes, disks and elections: so more
# packages than cores are tested at once.
HASTE := -vet=off -p $(shell echo $$((2 * $$(nproc 2>/dev/null || echo 2))))

.PHONY: test
test: ## every test; with the race detector where a C compiler is at hand
	go test $(RACE) $(HASTE) -timeout 5m ./...

.PHONY: race
race: ## every test with the race detector, or an error where it cannot run
	go test -race $(HASTE) -timeout 5m ./...

.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME each (default 10s)
	bash packaging/fuzz.sh $(or $(FUZZTIME),10s)

.PHONY: bench
bench: build ## the benchmarks of the promises, as ratios measured in the same run
	bash packaging/bench/bench.sh

.PHONY: simulate
simulate: ## a day of 1,000 agents with faults, judged by the checker, for each of SEEDS seeds (default 1)
	SEEDS=$(or $(SEEDS),1) go test -count=1 -timeout 4h -v -run 'TestADayOfManyAgents' ./packaging/acceptance/simulation

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, shellcheck where installed
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -tags acceptance ./...
	$(TOOL) staticcheck -tags acceptance ./...
	@if command -v shellcheck >/dev/null; then shellcheck -S warning $$(git ls-files '*.sh' .ci/run packaging/scripts ':!packaging/demo/roots'); fi

.PHONY: acceptance
acceptance: demo-check ## the real programs on real sockets: the demo, the kill test, bad input
	FLEETCRON_BIN=$(CURDIR)/bin go test $(RACE) -count=1 -timeout 15m -tags acceptance ./packaging/acceptance/...

.PHONY: web-test
web-test: ## the pages in a real browser; installs Chromium and playwright-core itself
	bash packaging/acceptance/webtest/run.sh

.PHONY: package
package: build ## deb and rpm of the three programs into dist/
	VERSION=$(VERSION) bash packaging/package.sh

.PHONY: package-test
package-test: package ## install, upgrade and purge the packages in a test root; lintian
	bash packaging/acceptance/package_test.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
