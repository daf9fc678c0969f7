# Targets with a ## comment are shown by make help.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Modules of this repository, the root first.
MODULES := . interop build

# make crash KILLS=2000, make fuzz FUZZTIME=5m, or FUZZTIME=10000x for a number of runs
KILLS ?= 200
FUZZTIME ?= 20s

# The pinned linter of build/go.mod, for any module's folder.
GOLANGCI = go tool -modfile="$(CURDIR)/build/go.mod" golangci-lint
LINT = $(GOLANGCI) run --config="$(CURDIR)/.golangci.yml"

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile everything; binaries of the command and the examples go to bin/
	mkdir -p bin
	go build ./...
	go build -o bin/ ./cmd/rivet ./examples/chat ./examples/counter ./examples/files ./examples/reminder ./examples/worker

.PHONY: test
test: ## the tests of the main module
	go test ./...

.PHONY: race
race: ## the same under the race detector, with the invariants built in
	go test -race ./...

.PHONY: lint
lint: ## gofmt, go vet and golangci-lint in every module
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	@for module in $(MODULES); do \
		echo "lint $$module"; (cd $$module && go vet ./... && $(LINT) ./...); \
	done

.PHONY: fix
fix: ## format, and apply the fixes that the linters offer
	@for module in $(MODULES); do \
		(cd $$module && { $(LINT) --fix ./... || true; } && $(GOLANGCI) fmt --config="$(CURDIR)/.golangci.yml" ./...); \
	done

.PHONY: verify
verify: web ## generated and committed files are what their sources make; go.mod files are tidy
	@for module in $(MODULES); do echo "tidy $$module"; (cd $$module && go mod tidy -diff); done
	go mod verify

.PHONY: web
web: examples/chat/web/node_modules/.package-lock.json
	cd examples/chat/web && npm run --silent check

.PHONY: bench
bench: ## the comparisons of bench/, on an otherwise idle machine
	go run ./bench/compare

.PHONY: interop
interop: interop/node_modules/.package-lock.json ## the official JavaScript clients and Chromium against our servers
	cd interop && go test -count=1 ./...

.PHONY: crash
crash: ## kill a server under load KILLS times: nothing acknowledged may be lost
	go test -count=1 -v -timeout=60m ./internal/crash -kills=$(KILLS)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (a time, or a number of runs)
	@grep -rlE '^func Fuzz' --include='*_test.go' --exclude-dir=node_modules . | sort | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]+' "$$file" | sed 's/^func //' | while read -r target; do \
			echo "$$target in $$(dirname "$$file")"; \
			go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=10x "$$(dirname "$$file")"; \
		done; \
	done

.PHONY: clean
clean: ## remove what was built or installed here
	rm -rf bin interop/node_modules examples/chat/web/node_modules

# npm writes this file last; it is older than the lock file when the lock file has changed.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@
