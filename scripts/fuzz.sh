#!/usr/bin/env bash
# Fuzzes each target for some seconds: scripts/fuzz.sh [SECONDS [TARGET...]]. Stops at the first input that breaks one, and keeps it.
# With --corpus for SECONDS it picks the corpus anew instead (fuzz/README.md).
#
# It builds with the flags of `cargo fuzz build --sanitizer none` and not with cargo-fuzz itself: those are stable flags of rustc, so a fresh machine
# installs nothing for this, and `cargo fuzz run --sanitizer none NAME` finds everything built when a person wants to stay with one target.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

scripts/ensure.sh cc c++
triple=$(rustc -vV | sed -n 's/^host: //p')
flags=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  --cfg fuzzing
  -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Cllvm-args=-sanitizer-coverage-stack-depth
  -Cdebug-assertions
  -Ccodegen-units=1
)
# The leading space is cargo-fuzz's own: flags that differ by it would build everything twice.
RUSTFLAGS=" ${flags[*]}" cargo build --quiet --manifest-path fuzz/Cargo.toml --target "$triple" --release \
  --config 'profile.release.debug="line-tables-only"' --bins

for target in "${targets[@]}"; do
  if [ "$seconds" = --corpus ]; then
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
    rm -rf fuzz/target/picked && mkdir fuzz/target/picked
    # By what code is reached and not how often: tens of inputs instead of hundreds.
    "fuzz/target/$triple/release/$target" -set_cover_merge=1 -use_counters=0 -max_len=2048 fuzz/target/picked \
      "fuzz/corpus/$target" "fuzz/seeds/$target" >"fuzz/target/$target.log" 2>&1
    rm -rf "fuzz/corpus/$target" && mv fuzz/target/picked "fuzz/corpus/$target"
    echo "$target: $(find "fuzz/corpus/$target" -type f | wc -l) inputs"
    continue
  fi
  # What a run finds goes beside the build; the corpus in the tree changes by hand alone (fuzz/README.md).
  found=fuzz/target/found/$target artifacts=fuzz/artifacts/$target log=fuzz/target/$target.log
  mkdir -p "$found" "$artifacts"
  if ! "fuzz/target/$triple/release/$target" "$found" "fuzz/corpus/$target" -max_total_time="$seconds" -timeout=20 \
    -rss_limit_mb=2048 -artifact_prefix="$artifacts/" -print_final_stats=1 >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "fuzz: $target broke; the input is in $artifacts" >&2
    exit 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "$target: $runs inputs in $seconds s, $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
done
[ "$seconds" = --corpus ] || echo "fuzz: ${#targets[@]} targets held"
