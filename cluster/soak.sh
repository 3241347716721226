#!/usr/bin/env bash
# Does harm to the cluster at random, one each minute, for so many seconds. Started by run.sh; SEED=N repeats the order of an earlier run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
run=$RUN
. cluster/parts.sh
load

seconds=$1
seed=${SEED:-$RANDOM}
verbs=(kill-broker freeze-broker restart-brokers kill-worker restart-workers kill-zookeeper stop-zookeeper)

main() {
  local verb end=$((SECONDS + seconds)) next=$SECONDS gap=60
  # A short run shall see some of them, too.
  [ "$seconds" -ge 300 ] || gap=$((seconds / 4))
  say "soak: $seconds s, a harm each $gap s at most, seed $seed"
  RANDOM=$seed
  while [ "$SECONDS" -lt "$end" ]; do
    if [ "$SECONDS" -ge "$next" ]; then
      next=$((SECONDS + gap))
      verb=${verbs[RANDOM % ${#verbs[@]}]}
      say "-- $verb"
      cluster/verb.sh "$verb"
      if [ "$verb" = stop-zookeeper ]; then
        sleep 10
        cluster/verb.sh start-zookeeper
      fi
    fi
    say "$(verdict)"
    trim
    sleep 1
  done
}

main
