# One command per habit. `make demo` and `make test` install what a fresh machine lacks, and say so.
.PHONY: demo test lint fuzz bench clean

# The main job on one machine, on real data. ONCE=1 ends after the tour.
demo:
	@scripts/ensure.sh curl cc
	@demo/run.sh

# Everything: lints, unit tests, vectors, both clients, the whole system, the demo.
test:
	@scripts/test.sh

lint:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cd clients/node && npm run --silent lint

# A minute for each target of fuzz/; SECONDS_EACH=600 for longer.
fuzz:
	@scripts/fuzz.sh $(or $(SECONDS_EACH),60)

# CPU per call of the broker beside HAProxy, and of a Node worker beside Express and Fastify, each in one run.
bench:
	@scripts/ensure.sh curl wrk haproxy nginx cc
	cargo build --release --quiet -p hera-cli
	cargo build --release --quiet -p hera-client --example bench
	cd bench/node && npm ci --silent --no-audit --no-fund
	node bench/middle.mjs
	node bench/node.mjs

clean:
	cargo clean
	rm -rf fuzz/target clients/node/dist clients/node/node_modules demo/node/node_modules demo/.run
