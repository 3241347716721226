#!/usr/bin/env bash
# Acts on the cluster that runs: `cluster/verb.sh VERB`, or `make cluster-VERB`. RUN=cluster/.run/PID names one of several.
#   status            brokers, workers, what HAProxy sees, ZooKeeper, the verdict so far
#   kill-broker       kill -9; BROKER=b-2 instead of one at random; it comes back by itself
#   freeze-broker     SIGSTOP for FOR=12 seconds, then SIGCONT
#   restart-brokers   SIGTERM, one by one, each ready before the next
#   kill-worker       kill -9; WORKER=ledger-node instead of one of the ledger's at random
#   restart-workers   SIGTERM, one by one, each serving before the next
#   kill-zookeeper    kill -9 of the leader; it comes back by itself
#   stop-zookeeper    two of three servers: no quorum, until
#   start-zookeeper   they are back
#   stop              ends the cluster
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. cluster/parts.sh

main() {
  find_run
  case ${1:-} in
    status) status ;;
    kill-broker) kill_broker ;;
    freeze-broker) freeze_broker ;;
    restart-brokers) restart_brokers ;;
    kill-worker) kill_worker ;;
    restart-workers) restart_workers ;;
    kill-zookeeper) kill_zookeeper ;;
    stop-zookeeper) stop_zookeeper ;;
    start-zookeeper) start_zookeeper ;;
    stop) stop ;;
    *) fail "verb ${1:-} is none of: $(sed -n 's/^#   \([a-z-]*\) .*/\1/p' cluster/verb.sh | tr '\n' ' ')" ;;
  esac
}

find_run() {
  local dir runs=()
  for dir in cluster/.run/*; do
    if runs_in "$dir"; then runs+=("$dir"); fi
  done
  [ -n "${RUN:-}" ] || [ ${#runs[@]} -lt 2 ] || fail "several clusters run; name one by RUN=: ${runs[*]}"
  run=${RUN:-${runs[0]:-}}
  runs_in "$run" || fail "no cluster runs; start one by: make cluster"
  [ -f "$run/where" ] || fail "the cluster is not up yet"
  load
}

any() { local all=("$@"); echo "${all[RANDOM % $#]}"; }

now() { pid "$1" || fail "$1 is down; it comes back by itself in $pause s"; } # NAME

kill_broker() {
  local name=${BROKER:-$(any "${brokers[@]}")} old
  old=$(now "$name")
  kill -KILL "$old"
  say "$name: killed"
  await_broker "$name" "$old"
}

await_broker() { # NAME OLD
  await 60 "$1 to be started again" replaced "$1" "$2"
  await 60 "$1 to be ready and up in HAProxy" is_back "$1"
  say "$1: back, ready, up in HAProxy"
}

freeze_broker() {
  local name=${BROKER:-$(any "${brokers[@]}")}
  frozen=$(now "$name")
  # Whatever ends this script, the broker goes on.
  trap 'kill -CONT "$frozen" 2>/dev/null || true' EXIT
  kill -STOP "$frozen"
  say "$name: frozen for ${FOR:-12} s"
  sleep "${FOR:-12}"
  kill -CONT "$frozen"
  await 60 "$name to be ready and up in HAProxy" is_back "$name"
  say "$name: goes on, ready, up in HAProxy"
}

restart_brokers() {
  local name old
  for name in "${brokers[@]}"; do
    old=$(now "$name")
    kill -TERM "$old"
    say "$name: drains"
    await_broker "$name" "$old"
    await 60 "all workers to be at $name" all_serve
  done
}

kill_worker() {
  local name=${WORKER:-$(any ledger-rust ledger-node)} old
  old=$(now "$name")
  kill -KILL "$old"
  say "$name: killed"
  await_worker "$name" "$old"
}

await_worker() { # NAME OLD
  await 60 "$1 to be started again" replaced "$1" "$2"
  await 60 "$1 to serve at all brokers" serves "$1"
  say "$1: back, serves at all brokers"
}

restart_workers() {
  local name old
  for name in "${workers[@]}"; do
    old=$(now "$name")
    kill -TERM "$old"
    say "$name: drains"
    await_worker "$name" "$old"
  done
}

kill_zookeeper() {
  local name old
  await 30 "a leader" has_leader
  name=$(leader)
  old=$(now "$name")
  kill -KILL "$old"
  say "$name, the leader: killed"
  await 60 "another leader" has_leader
  say "$(leader): leads"
  await 60 "$name to be started again" replaced "$name" "$old"
  await 60 "$name to serve" zookeeper_serves "$name"
  await_in_sync
}

await_in_sync() {
  local name
  for name in "${brokers[@]}"; do await 60 "$name to be in sync with ZooKeeper" in_sync "$name"; done
  await 60 "all brokers to be registered" all_registered
  say "all brokers: in sync and registered"
}

stop_zookeeper() {
  touch "$run/zk-2.hold" "$run/zk-3.hold"
  end zk-2 zk-3
  say "zk-2, zk-3: stopped; zk-1 has no quorum and serves nobody"
  await 60 "the brokers to notice" out_of_sync
  say "all brokers: out of sync, and serve what they know"
}

out_of_sync() {
  local name
  for name in "${brokers[@]}"; do ! in_sync "$name" || return 1; done
}

start_zookeeper() {
  local name
  rm -f "$run/zk-2.hold" "$run/zk-3.hold"
  for name in "${zookeepers[@]}"; do await 60 "$name to serve" zookeeper_serves "$name"; done
  say "zk-2, zk-3: back"
  await_in_sync
}

status() {
  local name
  say "brokers, by the registry"
  in_registry brokers || say "ZooKeeper does not answer: $(tail -n 1 "$run/cli.err")"
  for name in "${brokers[@]}"; do
    say "" "workers, by $name"
    at_broker "$name" workers || say "$name does not answer"
  done
  say "" "HAProxy: backend, broker, state, calls now, calls so far"
  haproxy_view || say "HAProxy does not answer"
  say "" "ZooKeeper"
  for name in "${zookeepers[@]}"; do say "$name ${zk_port[$name]} $(zookeeper_mode "$name" || echo down)"; done
  say "" "the ledger" "$(verdict)"
}

stop() {
  local main
  main=$(cat "$run/pid")
  kill -TERM "$main"
  await 90 "the cluster to end" gone "$main"
}

gone() { ! alive "$1"; }

main "$@"
