#!/usr/bin/env bash
# Does every harm to the cluster once, by the verbs that people have, and looks after each at what callers saw of it. Started by run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
run=$RUN
. cluster/parts.sh
load
steps=0

main() {
  step "a call of each service goes through HAProxy" each_service
  step "a broker is killed" verb kill-broker
  FOR=5 step "a broker is frozen" verb freeze-broker
  unfailing "brokers are restarted one by one" verb restart-brokers
  step "a worker is killed" verb kill-worker
  unfailing "workers are restarted one by one" verb restart-workers
  unfailing "ZooKeeper's leader is killed" verb kill-zookeeper
  unfailing "ZooKeeper loses its quorum" without_quorum
  step "the state of everything is shown" verb status
  echo "$steps" >"$run/steps"
}

step() { # WHAT COMMAND...
  local begun=$SECONDS what=$1
  shift
  say "-- $what"
  "$@" || fail "$what: did not hold"
  next_verdict
  say "$(verdict)" "   held, $((SECONDS - begun)) s"
  steps=$((steps + 1))
}

# The same, and no call at all failed meanwhile.
unfailing() { # WHAT COMMAND...
  local before
  # What the last harm did to calls under way is counted by then.
  next_verdict
  before=$(failures)
  step "$@"
  [ "$(failures)" = "$before" ] || fail "$1: calls failed, $before before and $(failures) after"
}

next_verdict() {
  local count
  count=$(wc -l <"$run/swarm.out")
  await 10 "the next verdict" grown $((count + 2))
}

grown() { [ "$(wc -l <"$run/swarm.out")" -ge "$1" ]; }

verb() { cluster/verb.sh "$@"; }

each_service() {
  local path
  for path in '/0/movies/search?q=godfather' '/0/weather/summary?location=Seattle&year=2012'; do
    curl -sf -m 10 -o /dev/null -w "%{http_code} $path\n" -H "@$run/auth" "http://127.0.0.1:$front$path" || return 1
  done
}

without_quorum() {
  verb stop-zookeeper
  each_service
  verb start-zookeeper
}

main
