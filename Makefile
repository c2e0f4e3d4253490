# evenkeel: `make demo` shows it, `make test` proves it. Both are for a Debian 12 or
# Ubuntu machine with Go, as root: they make real hosts on this machine.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-builtin-rules

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# As the binary is built, so is what tests it: nothing is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath $(GOFLAGS)

NULLSPACE := simulator node auth gateway website ops economy-snapshot

.PHONY: build nullspace needs test-needs demo test race lab-test lint sim chaos bench clean

build: ## the static binary, bin/evenkeel
	go build -ldflags '$(LDFLAGS)' -o bin/evenkeel ./cmd/evenkeel

nullspace: ## the example's programs, into examples/nullspace/dist
	@mkdir -p examples/nullspace/dist
	@go build -ldflags '-s -w -X github.com/evenkeel/evenkeel/test/nullspace/service.Version=$(VERSION)' \
	  -o examples/nullspace/dist/ $(addprefix ./test/nullspace/,$(NULLSPACE))

needs: ## what demo and test need from this system
	@sh test/lab/needs.sh

test-needs: ## what the tests need beyond that: real parts to test against
	@sh test/lab/needs.sh gcc libc6-dev git nginx-light prometheus openssh-server busybox

demo: needs build nullspace ## three hosts, a balancer, a change rolled through under load
	go run ./test/demo

test: test-needs ## everything that has to hold
	@$(MAKE) -j2 lint race
	@$(MAKE) lab-test

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	GOGC=400 go vet ./...
	GOGC=400 go tool staticcheck ./...

# What takes longest begins first. test/script runs the whole program for each line of it, and
# test/e2e has nothing without hosts.
race: ## all tests that need no hosts, with the race detector
	EVENKEEL_LAB=off CGO_ENABLED=1 GOGC=400 go test -race -vet=off -exec 'env -u GOGC' -timeout 20m ./hostdriver/sshdriver $$(go list ./... | grep -vE '/test/(script|e2e|demo|seal)$$')
	EVENKEEL_LAB=off go test -vet=off -timeout 20m ./test/script

lab-test: build nullspace ## all tests on real hosts
	@rm -f bin/without
	go test -count=1 -vet=off -timeout 15m -tags planted -run Planted ./test/sim
	sh test/labtests.sh
	@[ ! -s bin/without ] || { echo "NOT TRIED HERE:"; cat bin/without; }

sim: ## the simulation: SEED=n replays one, SEEDS=n runs that many
	go run ./test/sim $(if $(SEED),-seed $(SEED),-seeds $(or $(SEEDS),50000))

chaos: test-needs build nullspace ## the long run: faults on real hosts, every boundary, every planted bug, and the seeds of the day
	go test -count=1 -timeout 180m -p 1 ./test/e2e ./hostdriver/sshdriver ./rollout/drain
	go test -count=1 -timeout 60m -tags planted -run Planted -v ./test/sim
	go run ./test/sim -boundaries
	go run ./test/sim -seeds $(or $(SEEDS),200000) -from $(or $(FROM),$$(date -u +%Y%m%d)000000)

bench: needs build nullspace ## the tables of docs/benchmarks.md
	go run ./test/bench $(BENCH)

clean:
	rm -rf bin examples/nullspace/dist
