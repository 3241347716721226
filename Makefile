# One command per habit. `make demo` and `make test` install what a fresh machine lacks, and say so.
.PHONY: demo cluster soak test lint fuzz bench clean

# The main job on one machine, on real data. ONCE=1 ends after the tour.
demo:
	@scripts/ensure.sh curl cc
	@demo/run.sh

# 3 ZooKeeper servers, 3 brokers, HAProxy, services and judged callers on one machine. ONCE=1 does every harm once and ends with the verdict.
cluster:
	@cluster/run.sh

# Acts on the cluster that runs: status, kill-broker, restart-workers and so on; cluster/verb.sh lists them.
cluster-%:
	@cluster/verb.sh $*

# The long versions of the fault tests, then a cluster under load with a harm at random each minute, for SOAK seconds (default: an hour).
soak:
	@scripts/soak.sh $(or $(SOAK),3600)

# Everything: lints, unit tests, vectors, both clients, the whole system, the demo, the cluster.
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

# The broker beside HAProxy, nginx and Envoy, a Node worker beside Express and Fastify, and what a call costs; about half an hour. BENCH=--quick takes minutes and writes nothing.
bench:
	@scripts/ensure.sh curl wrk haproxy nginx valgrind pip3 cc
	cargo build --release --quiet -p hera-cli
	cargo build --release --quiet -p hera-client --example bench
	cd clients/node && npm ci --silent --no-audit --no-fund && npm run --silent build
	cd bench/node && npm ci --silent --no-audit --no-fund
	ulimit -n 16384 2>/dev/null || ulimit -n $$(ulimit -Hn); node bench/run.mjs $(BENCH)

clean:
	cargo clean
	rm -rf fuzz/target clients/node/dist clients/node/node_modules demo/node/node_modules demo/.run cluster/.run
