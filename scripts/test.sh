#!/usr/bin/env bash
# Runs every test of every language, and ends with the counts. Stops at the first part that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export CARGO_TERM_COLOR=never NO_COLOR=1 RUST_BACKTRACE=1

part() {
  local name=$1 log="$logs/$1.log" start=$SECONDS
  shift
  echo "== $name"
  if ! "$@" 2>&1 | tee "$log"; then
    echo "== $name FAILED after $((SECONDS - start)) s: $*"
    exit 1
  fi
  echo "== $name done in $((SECONDS - start)) s"
}

# Sums up what `cargo test`, node's runner, Maven's surefire, the demo, the cluster and the fuzzer say of themselves.
counts() {
  cat "$logs"/*.log | awk '
    /^test result:/ { passed += $4; failed += $6; skipped += $8 }
    /^(# |ℹ )pass [0-9]+$/ { passed += $3 }
    /^(# |ℹ )fail [0-9]+$/ { failed += $3 }
    /^(# |ℹ )skipped [0-9]+$/ { skipped += $3 }
    /^All [0-9]+ answers were right/ { passed += $2 }
    /^fuzz: [0-9]+ targets held$/ { passed += $2 }
    /^cluster: [0-9]+ steps held$/ { passed += $2 }
    # Surefire ends with one line over all classes; those before it name their class.
    /^\[(INFO|WARNING|ERROR)\] Tests run: [0-9]+, Failures: [0-9]+, Errors: [0-9]+, Skipped: [0-9]+$/ {
      gsub(",", ""); passed += $4 - $6 - $8 - $10; failed += $6 + $8; skipped += $10
    }
    END { printf "total: %d passed, %d failed, %d skipped\n", passed, failed, skipped; exit passed == 0 }'
}

part tools scripts/ensure.sh curl cc promtool haproxy python3 venv java mvn zookeeper ip nft openssl
part node-build bash -c 'cd clients/node && npm ci --silent --no-audit --no-fund && npm run --silent build'
part format bash -c 'cargo fmt --all --check && cargo fmt --manifest-path fuzz/Cargo.toml --check'
part lint cargo clippy --workspace --all-targets --quiet -- -D warnings
part node-lint bash -c 'cd clients/node && npm run --silent lint'
part node-test bash -c 'cd clients/node && npm test --silent'
part node-types bash -c 'cd clients/node && npm run --silent test:types'
part build cargo build --workspace --bins --examples --quiet
# The first run fetches some 60 MB of plugins and libraries; after that `mvn -o` would do. The rest of its minute and a half is tests.
part java env HERA_BIN="$PWD/target/debug/hera" mvn -B -f clients/java verify
part rust-test cargo test --workspace --exclude hera-tests --quiet --no-fail-fast
part node-cluster bash -c 'cd clients/node && npm run --silent test:cluster'
for suite in clients/node/conformance clients/node/interop tests/original; do
  part "$(basename "$suite")" bash -c "cd $suite && npm ci --silent --no-audit --no-fund && npm test --silent"
done
# These wait for limits most of the time, so more of them than cores go at once.
part system env RUST_TEST_THREADS=6 cargo test -p hera-tests --lib --bins --test docs --test wire --test edge --test tls --test call --test scenarios --quiet --no-fail-fast
part delivery cargo test -p hera-tests --test delivery --quiet --no-fail-fast
part haproxy cargo test -p hera-tests --test haproxy --quiet --no-fail-fast
# Real ZooKeeper servers; each test has its own.
part registry env RUST_TEST_THREADS=4 cargo test -p hera-tests --test registry --quiet --no-fail-fast
part operate cargo test -p hera-tests --test operate --quiet --no-fail-fast
part faults env RUST_TEST_THREADS=4 cargo test -p hera-tests --test faults --quiet --no-fail-fast
# Long enough to run the whole corpus and a little beyond; `make fuzz` looks for more.
part fuzz scripts/fuzz.sh 3
part demo env PROFILE=dev ONCE=1 demo/run.sh
part cluster env PROFILE=dev ONCE=1 cluster/run.sh

counts
