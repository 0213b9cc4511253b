# What people and CI do here. `make` lists the targets; .ci/run is `make test`.
#
# Every part of `make test` is a target of its own, so a part that failed can be run alone. What a part needs is
# installed when it is missing, pinned: npm and PyPI packages beside the tests, cargo tools, and system packages through
# tests/system-packages. Nothing here needs root when the system packages are there.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

# Where `make run` listens.
LISTEN ?= 127.0.0.1:8080
# How long `make fuzz` spends on each target.
SECONDS_EACH ?= 60
# Which fuzz targets to run.
TARGETS ?= $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))

NEXTEST_VERSION := 0.9.143
CARGO_FUZZ_VERSION := 0.13.2

BIN := target/release/portcullis
# What is shipped: optimized further, and twice as long to build. What is published was measured with it.
DIST := target/dist/portcullis
BENCH := target/release/portcullis-bench
FILL := target/release/examples/fill
BUILD_DIST = cargo build --profile dist --locked --quiet -p portcullis --target $(HOST)
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
COUNTS := $(CURDIR)/target/counting/counts
# Debian keeps nginx where only root looks.
export PATH := $(PATH):/usr/sbin

# The parts of `make test`, in steps: what fails fast comes first, and what is joined by `+` runs side by side. The two profiles
# are built beside each other, since the last crates of each keep one core busy; what mostly waits has company; what
# measures time has the machine to itself.
PARTS := format tidy tests+programs unit doc examples+registry-short+openapi quickstart+soak-short conformance clients+sweep-short \
  identity+matrix-short soak-clients-short soak-hub-short bench-quick steps discovery-short guard-short evidence

##@ Use

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: release ## Start Portcullis with four real servers behind it (LISTEN=127.0.0.1:8080); Ctrl-C ends it
	@tests/system-packages python3 venv
	@examples/quickstart/install
	@exec examples/quickstart/run --bin $(BIN) --listen $(LISTEN)

##@ Check

.PHONY: test
test: ## Run everything that CI runs, step by step
	@tests/parts.py $(PARTS)

.PHONY: format
format: ## Check the formatting (cargo fmt mends it)
	@cargo fmt --all --check

.PHONY: tidy
tidy: ## Check the rules of the house: dependency edges, files, documents
	@tests/tidy.py
	@tests/conformance/limits.py

.PHONY: clippy
clippy: toolchain ## Lint everything; warnings are errors
	@cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	@cargo clippy -p portcullis --no-default-features --locked --quiet -- -D warnings

# Beside the programs: what is compiled for the tests keeps the core busy that the last crates of those leave free.
.PHONY: tests
tests: clippy nextest ## Lint everything, and build the Rust tests
	@cargo nextest run --workspace --locked --no-run

.PHONY: unit
unit: toolchain nextest ## Run the Rust tests, among them those of the whole program
	@tests/system-packages postgres openssl python3 venv
	@cargo nextest run --workspace --locked

.PHONY: doc
doc: toolchain ## Run the examples in the documentation and build it; warnings are errors
	@cargo test --doc --workspace --locked --quiet
	@RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet

.PHONY: examples
examples: release ## Check the example configurations
	@tests/system-packages python3 openssl
	@tests/quickstart/examples.py --bin $(BIN)

.PHONY: quickstart
quickstart: release ## Start what `make run` starts, use it, end it, and see that nothing is left
	@tests/system-packages python3 venv
	@examples/quickstart/install
	@tests/quickstart/run.py --bin $(BIN)

.PHONY: conformance
conformance: release peers ## Run the official conformance suite, directly and through the gateway (ONLY=http,client …, OUT=docs/conformance.md)
	@tests/conformance/run.py --bin $(BIN) $(if $(ONLY),--only $(ONLY)) $(if $(OUT),--out $(OUT))

.PHONY: clients
clients: release peers ## Point real MCP clients at the gateway
	@tests/clients/run.py --bin $(BIN)

.PHONY: identity
identity: release peers ## Real clients log in at a real OpenID provider, and servers are called for its users
	@tests/system-packages openssl
	@tests/identity/run.py --bin $(BIN)
	@tests/identity/delegation.py --bin $(BIN)

.PHONY: matrix-short
matrix-short: release peers ## Real clients of both eras against servers of every kind, through the gateway
	@tests/matrix/run.py --bin $(BIN) --short

.PHONY: sweep-short
sweep-short: release peers ## Compare a few published servers directly and through the gateway
	@tests/sweep/run.py --bin $(BIN) --short

.PHONY: soak-short
soak-short: release ## Start, stop and kill for a minute; no process may be left over
	@tests/soak/lifecycle.py --gateway $(BIN)

.PHONY: soak-clients-short
soak-clients-short: release ## 200 clients for half a minute while servers are killed under them
	@tests/soak/clients.py --gateway $(BIN)

.PHONY: soak-hub-short
soak-hub-short: release ## Registered servers rolled out and back for half a minute, while they and the gateway are killed
	@tests/soak/hub.py --gateway $(BIN)

.PHONY: bench-quick
bench-quick: release-bench ## Compare with nginx for a minute, with loose floors
	@tests/system-packages nginx
	@$(BENCH) run --quick --strict --gateway $(BIN) --nginx "$$(command -v nginx)"

.PHONY: discovery-short
discovery-short: release ## Search among 5,000 tools of 300 servers, with loose bounds
	@tests/system-packages python3
	@tests/discovery/run.py --bin $(BIN)

.PHONY: registry-short
registry-short: release ## Hold the registry's API to its published document, and read it with a client that others wrote
	@tests/system-packages python3 venv
	@tests/registry/run.py --bin $(BIN)

.PHONY: openapi
openapi: release ## Make servers of published OpenAPI documents and call every tool
	@tests/system-packages python3
	@tests/openapi/run.py --bin $(BIN)

.PHONY: evidence
evidence: release release-fill ## Two verifiers, one written from the RFCs alone, judge the same evidence logs
	@tests/system-packages python3 postgres
	@tests/evidence/run.py --bin $(BIN) --fill $(FILL)

.PHONY: steps
steps: toolchain ## Run the benches of identity and policy briefly, with bounds
	@tests/system-packages python3
	@tests/steps/run.py

.PHONY: guard-short
guard-short: release ## Score the content filter on generated texts, with floors
	@tests/system-packages python3 venv
	@tests/guard/run.py --bin $(BIN) --short

##@ Measure

.PHONY: guard-eval
guard-eval: dist ## Score the content filter, next to its peers (CORPORA=DIR for public ones); writes docs/guard.md
	@tests/system-packages python3 venv
	@tests/guard/run.py --bin $(DIST) --out docs/guard.md $(if $(CORPORA),--corpora $(CORPORA))

.PHONY: bench
bench: dist release-bench ## Measure in full; writes docs/performance.md
	@tests/system-packages nginx
	@$(BENCH) run --gateway $(DIST) --nginx "$$(command -v nginx)" --out docs/performance.md
	@tests/system-packages python3
	@tests/steps/run.py --into docs/performance.md

.PHONY: discovery
discovery: dist ## How fast and how well tools are found (CORPUS=folder of LiveMCPBench); writes docs/discovery.md
	@tests/system-packages python3 venv
	@examples/quickstart/install
	@tests/discovery/run.py --bin $(DIST) $(if $(CORPUS),--corpus $(CORPUS)) --out docs/discovery.md

.PHONY: soak
soak: release ## 1,000 starts and stops, 50 kill -9; writes docs/soak.md
	@{ \
	  printf '# Soak: no process left over\n\nMade by `make soak` (`tests/soak/lifecycle.py --long`) on %s, %s, %s cores, Portcullis %s.\n\n```\n' \
	    "$$(date -u +%F)" "$$(uname -sr)" "$$(nproc)" "$$($(BIN) --version | cut -d ' ' -f 2)"; \
	  tests/soak/lifecycle.py --gateway $(BIN) --long && printf '```\n'; \
	} | tee target/soak.md
	@mv target/soak.md docs/soak.md

.PHONY: soak-clients
soak-clients: release ## 200 clients for ten minutes while servers are killed; writes docs/soak-clients.md
	@{ \
	  printf '# Soak: no call lost, doubled or mixed up\n\nMade by `make soak-clients` (`tests/soak/clients.py --long`) on %s, %s, %s cores, Portcullis %s.\n\n```\n' \
	    "$$(date -u +%F)" "$$(uname -sr)" "$$(nproc)" "$$($(BIN) --version | cut -d ' ' -f 2)"; \
	  tests/soak/clients.py --gateway $(BIN) --long && printf '```\n'; \
	} | tee target/soak-clients.md
	@mv target/soak-clients.md docs/soak-clients.md

.PHONY: soak-hub
soak-hub: release ## 100 registered servers for a quarter of an hour, rolled out, back and killed; writes docs/soak-hub.md
	@{ \
	  printf '# Soak: versions rolled out and back, and no process left over\n\nMade by `make soak-hub` (`tests/soak/hub.py --long`) on %s, %s, %s cores, Portcullis %s.\n\n```\n' \
	    "$$(date -u +%F)" "$$(uname -sr)" "$$(nproc)" "$$($(BIN) --version | cut -d ' ' -f 2)"; \
	  tests/soak/hub.py --gateway $(BIN) --long && printf '```\n'; \
	} | tee target/soak-hub.md
	@mv target/soak-hub.md docs/soak-hub.md

.PHONY: evidence-kills
evidence-kills: toolchain ## 200 kill -9 under load with evidence in strict, some on a full disk; writes docs/evidence-kills.md
	@tests/system-packages postgres
	@KILLS=200 cargo test --locked --quiet --package portcullis --test it -- --nocapture --exact \
	  evidence::kills::whatever_was_answered_before_a_kill_is_in_the_log_once \
	  evidence::databases::what_was_answered_is_in_sqlite_once_whatever_happens \
	  evidence::databases::what_was_answered_is_in_postgresql_once_whatever_happens | tee target/evidence-kills.txt
	@{ \
	  printf '# Killed under load, in strict mode\n\nMade by `make evidence-kills` on %s, %s, %s cores: a gateway with `audit: { mode: strict }` is killed (`kill -9`) at random moments under the load of six clients of both eras, and started again on the same log. In every third life the files of the gateway cannot grow for a while before the kill (a limit on their size, `RLIMIT_FSIZE`), from the middle of an event on; in half of those that lasts. The same is done with the log in SQLite, and in PostgreSQL, whose server is ended (`SIGQUIT`) and started again in place of that, with six clients of 2026-07-28. After each kill every call that a client saw answered is looked for in the log, where it has to be once; after the last the log is verified.\n\n```\n' \
	    "$$(date -u +%F)" "$$(uname -sr)" "$$(nproc)"; \
	  grep -o 'kills.*: .*' target/evidence-kills.txt && printf '```\n'; \
	} > target/evidence-kills.md
	@mv target/evidence-kills.md docs/evidence-kills.md

.PHONY: matrix
matrix: release peers ## Every client with every kind of server, directly too; writes docs/compatibility.md
	@tests/matrix/run.py --bin $(BIN) --out docs/compatibility.md

.PHONY: sweep
sweep: release peers ## Compare over 30 published servers directly and through the gateway; writes docs/compatibility.md
	@tests/sweep/run.py --bin $(BIN) --out docs/compatibility.md

.PHONY: apps
apps: release peers ## Read the views of published MCP Apps through the aggregate, as a host of each era
	@tests/sweep/apps.py --bin $(BIN)

.PHONY: fuzz
fuzz: toolchain ## Fuzz every parser (SECONDS_EACH=60, TARGETS="json sse …")
	@[[ "$$(cargo fuzz --version 2>/dev/null)" == "cargo-fuzz "* ]] || cargo install --locked --quiet cargo-fuzz@$(CARGO_FUZZ_VERSION)
	@for target in $(TARGETS); do \
	  printf '\n==== fuzz %s ====\n' "$$target"; \
	  mkdir -p "fuzz/target/corpus/$$target"; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$$target" "fuzz/target/corpus/$$target" "fuzz/corpus/$$target" \
	    -- -max_total_time=$(SECONDS_EACH) -dict=fuzz/mcp.dict -print_final_stats=1; \
	done

.PHONY: evidence-long
evidence-long: dist release-fill ## Verify 1,000,000 events, search 10,000,000 in PostgreSQL; writes docs/evidence.md
	@tests/system-packages postgres
	@{ \
	  printf '# Evidence: how long verifying and searching take\n\nMade by `make evidence-long` (`tests/evidence/run.py --speed 1000000`, and the search of 10,000,000 events in PostgreSQL with its usual settings) on %s, %s, %s cores, Portcullis %s.\n\n```\n' \
	    "$$(date -u +%F)" "$$(uname -sr)" "$$(nproc)" "$$($(DIST) --version | cut -d ' ' -f 2)"; \
	  tests/evidence/run.py --bin $(DIST) --fill $(FILL) --speed 1000000 && \
	  EVENTS=10000000 cargo test --locked --quiet --package portcullis-store --test it -- --nocapture --exact \
	    search::a_person_is_found_among_many | grep '^searching: ' && printf '```\n'; \
	} | tee target/evidence.md
	@mv target/evidence.md docs/evidence.md

##@ Maintain

.PHONY: generate
generate: toolchain ## Refresh the reference files that are made from the code
	@cargo run --quiet --locked --manifest-path docs/generate/Cargo.toml --target-dir target/generate -- docs/reference
	@tests/conformance/limits.py --write
	@REFRESH=1 cargo test --quiet --locked --package portcullis --test it transcripts::the_page_is_fresh

.PHONY: clean-peers
clean-peers: ## Remove the npm and PyPI packages that the tests and the quickstart installed
	@rm -rf target/sweep
	@for place in tests/peers examples/quickstart; do \
	  rm -rf "$$place/node_modules" "$$place/.venv" "$$place/.installed"; \
	done

# What the others stand on.
.PHONY: toolchain nextest peers release release-bench release-fill programs dist

toolchain:
	@command -v cargo >/dev/null || { echo 'Rust is missing; install it from https://rustup.rs' >&2; exit 3; }
	@tests/system-packages cc

nextest:
	@cargo nextest --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-nextest@$(NEXTEST_VERSION)

peers:
	@tests/system-packages python3 venv
	@tests/peers/install

release: toolchain
	@cargo build --release --locked --quiet -p portcullis

# What ships is compiled twice: so that it counts what it does, and, once it has been under the load of `make bench`, by these
# counts. They are in the name of their file, so that others mean another build.
dist: release-bench
	@tests/system-packages llvm-profdata nginx
	@RUSTFLAGS='-C profile-generate=$(COUNTS)/raw' $(BUILD_DIST) --target-dir target/counting
	@if [[ target/counting/$(HOST)/dist/portcullis -nt $(COUNTS)/done ]]; then \
	  rm -rf $(COUNTS) && $(BENCH) run --rounds 1 --gateway target/counting/$(HOST)/dist/portcullis --nginx "$$(command -v nginx)" >/dev/null; \
	  "$$(tests/system-packages --which llvm-profdata)" merge --output $(COUNTS)/merged $(COUNTS)/raw; \
	  mv $(COUNTS)/merged "$(COUNTS)/$$(sha256sum <$(COUNTS)/merged | cut -c1-16).profdata"; \
	  touch $(COUNTS)/done; \
	fi
	@RUSTFLAGS="-C profile-use=$$(ls $(COUNTS)/*.profdata)" $(BUILD_DIST)
	@install -D target/$(HOST)/dist/portcullis $(DIST)

# All that the parts of `make test` run, ready before the first of them.
programs: release-bench release-fill
	@cargo bench --no-run --locked --quiet -p portcullis -p portcullis-policy --bench authenticate --bench outbound --bench decide

# What is built beside the program is built with it: alone, it would want its crates with other features, and so a second time.
release-bench: release
	@cargo build --release --locked --quiet -p portcullis -p portcullis-bench

release-fill: release
	@cargo build --release --locked --quiet -p portcullis -p portcullis-audit --bin portcullis --example fill
