#!/usr/bin/env bash
# What takes long: the fault tests as large as the table of faults asks, then a cluster under judged load with a harm at random each minute.
#   scripts/soak.sh SECONDS          ends with the verdict, and with 0 only if everything held
#   PROFILE=dev scripts/soak.sh 60   builds quicker, runs slower
#   ONLY=cluster scripts/soak.sh 60  without the fault tests, which take about half an hour however short the rest is;  ONLY=faults: without the rest
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-3600}
case $seconds in '' | *[!0-9]* | 0) echo "soak: SOAK=$seconds is no number of seconds above 0" >&2 && exit 2 ;; esac
case ${ONLY:-} in '' | cluster | faults) ;; *) echo "soak: ONLY=$ONLY is neither cluster nor faults" >&2 && exit 2 ;; esac

if [ "${ONLY:-}" != cluster ]; then
  scripts/ensure.sh curl cc haproxy zookeeper ip nft
  (cd clients/node && npm ci --silent --no-audit --no-fund && npm run --silent build)
  # Ten brokers and a thousand calls a second are too much for two cores and a build for development.
  cargo build --profile "${PROFILE:-release}" --workspace --bins --examples --quiet
  FAULTS=long cargo test --profile "${PROFILE:-release}" -p hera-tests --test faults --no-fail-fast
fi
if [ "${ONLY:-}" != faults ]; then
  SOAK=$seconds cluster/run.sh
fi
