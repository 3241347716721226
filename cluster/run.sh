#!/usr/bin/env bash
# A whole cluster on one machine: 3 ZooKeeper servers, 3 brokers, HAProxy in front, the services of the demo, and callers whose every call is judged.
#   cluster/run.sh               until Ctrl-C; the verdict so far each second
#   ONCE=1 cluster/run.sh        does every harm once, and ends with 0 only if the ledger is clean
#   SOAK=3600 cluster/run.sh     does one at random each minute, for so many seconds
#   PROFILE=dev cluster/run.sh   builds quicker, runs slower;  RATE=40: calls in a second
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077 # The run folder holds keys and tokens.

run=cluster/.run/$$
. cluster/parts.sh
declare -A http_port workers_port admin_port zk_port zk_peer zk_vote
prefix=/0/ledger
chroot=/hera/cluster
swarm=""

main() {
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  build
  tidy
  mkdir -p "$run/runs" "$run/state"
  export RUN=$run
  echo $$ >"$run/pid"
  choose_ports
  load
  start_zookeepers
  "$bin/hera" cluster init --registry "$registry" --cluster-key "$run/cluster.key" 2>>"$run/cli.err" || fail "$(tail -n 3 "$run/cli.err")"
  make_secrets
  start_brokers
  start_workers
  start_haproxy
  start_swarm
  hints

  if [ -n "${ONCE:-}" ]; then
    cluster/tour.sh || fail "a step of the tour did not hold"
    judge
  elif [ -n "${SOAK:-}" ]; then
    cluster/soak.sh "$SOAK" || fail "a step did not hold"
    judge
  fi
  trap 'exit 0' INT TERM
  while alive "$swarm"; do
    sleep 1
    say "$(verdict)"
    trim
  done
  fail "the callers ended: $(tail -n 3 "$run/swarm.err")"
}

build() {
  say "building (the first time takes minutes)"
  ./scripts/ensure.sh curl cc zookeeper haproxy
  cargo build --quiet --profile "${PROFILE:-release}" -p hera-cli -p hera-demo -p hera-ledger --bins
  (cd clients/node && packages && { built || npm run --silent build; })
  (cd demo/node && packages)
}

# Left alone where nothing changed, so that a second run takes nothing away from the first one.
packages() { [ node_modules -nt package-lock.json ] || npm ci --loglevel=error; }
built() { [ -f dist/index.js ] && [ -z "$(find src package.json tsconfig.json -newer dist/index.js)" ]; }

# What a run left that was killed.
tidy() {
  local dir
  for dir in cluster/.run/*; do
    [ ! -e "$dir/pid" ] || runs_in "$dir" || rm -rf "$dir"
  done
}

# The same ports each time where they are free, else any. Runs that nobody watches take any at once: two of them may start together.
choose_ports() {
  local n broker zookeeper
  taken=" "
  choose 8000 && front=$port
  choose 8001 && inner=$port
  for n in 1 2 3; do
    broker=b-$n zookeeper=zk-$n
    choose $((8080 + n)) && http_port[$broker]=$port
    choose $((4370 + n)) && workers_port[$broker]=$port
    choose $((4380 + n)) && admin_port[$broker]=$port
    choose $((2180 + n)) && zk_port[$zookeeper]=$port
    choose $((2887 + n)) && zk_peer[$zookeeper]=$port
    choose $((3887 + n)) && zk_vote[$zookeeper]=$port
  done
  local hosts="127.0.0.1:${zk_port[zk-1]},127.0.0.1:${zk_port[zk-2]},127.0.0.1:${zk_port[zk-3]}"
  local registry=zk://$hosts$chroot hera=$hosts$chroot
  # For verbs, too, which are told nothing of how this was built.
  declare -p bin http_port workers_port admin_port zk_port registry hera front |
    sed 's/^declare -A/declare -gA/; s/^declare --/declare -g/' >"$run/where"
}

choose() { # DEFAULT: sets `port`
  port=$1
  [ -z "${ONCE:-}${SOAK:-}" ] || port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
  # Below the ports that Linux gives to whoever asks for any, so that nobody takes one of a part that is down.
  while [[ $taken == *" $port "* ]] || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
  done
  taken+="$port "
}

start_zookeepers() {
  local n name
  say "starting 3 ZooKeeper servers"
  for n in 1 2 3; do
    name=zk-$n
    mkdir -p "$run/$name"
    echo "$n" >"$run/$name/myid"
    cat >"$run/$name.cfg" <<END
tickTime=500
initLimit=20
syncLimit=6
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=srvr
dataDir=$PWD/$run/$name
clientPortAddress=127.0.0.1
clientPort=${zk_port[$name]}
server.1=127.0.0.1:${zk_peer[zk-1]}:${zk_vote[zk-1]}
server.2=127.0.0.1:${zk_peer[zk-2]}:${zk_vote[zk-2]}
server.3=127.0.0.1:${zk_peer[zk-3]}:${zk_vote[zk-3]}
END
    # Small, quick to start, and light on two cores.
    keep "$name" java -Xmx96m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.forceSync=no -Dzookeeper.preAllocSize=1024 \
      -cp "$jars" org.apache.zookeeper.server.quorum.QuorumPeerMain "$run/$name.cfg"
  done
  for name in "${zookeepers[@]}"; do await 60 "$name" zookeeper_serves "$name"; done
}

make_secrets() {
  in_registry key create --name movies --serve '/0/movies/**' >"$run/movies.key"
  in_registry key create --name weather --serve '/0/weather/**' >"$run/weather.key"
  in_registry key create --name ledger --serve "$prefix/**" >"$run/ledger.key"
  in_registry token create --name callers --allow "* $prefix/**" >"$run/callers.token"
  local token
  token=$(in_registry token create --name people --allow 'GET /0/**' --allow 'POST /0/**')
  printf 'Authorization: Bearer %s\n' "$token" >"$run/auth"
}

start_brokers() {
  local name
  say "starting 3 brokers"
  for name in "${brokers[@]}"; do
    HERA_BROKER__ID=$name keep "$name" "$bin/hera" broker --http "127.0.0.1:${http_port[$name]}" --workers "127.0.0.1:${workers_port[$name]}" \
      --admin "127.0.0.1:${admin_port[$name]}" --registry "$registry" --cluster-key "$run/cluster.key" --data-dir "$run/$name"
  done
  await 60 "3 brokers in the registry" all_registered
}

# They know ZooKeeper alone. The key goes by the environment: a process's arguments can be read by everyone on the machine.
start_workers() {
  local copy data=demo/node/node_modules/vega-datasets/data
  say "starting 5 workers"
  export HERA=$hera HERA_STATE_DIR=$PWD/$run/state RUNS_DIR=$PWD/$run/runs
  for copy in 1 2; do
    SECRET=$(<"$run/movies.key") keep "movies-$copy" node demo/node/service.js "$run/movies.db"
  done
  SECRET=$(<"$run/weather.key") keep weather "$bin/hera-demo" "$data/weather.csv" "$run/weather.db"
  SECRET=$(<"$run/ledger.key") keep ledger-rust "$bin/hera-ledger-worker" "$prefix" rust
  SECRET=$(<"$run/ledger.key") keep ledger-node node tests/workers/ledger.mjs "$prefix" node
  unset HERA HERA_STATE_DIR RUNS_DIR
  await 60 "5 workers at 3 brokers" all_serve
}

# Beside HAProxy runs what keeps its list of brokers true.
start_haproxy() {
  local name
  say "starting HAProxy"
  keep watch "$bin/hera" haproxy render --watch --registry "$registry" --cluster-key "$run/cluster.key" --bind "127.0.0.1:$front" \
    --inner "127.0.0.1:$inner" --stats "$run/haproxy.sock" --output "$run/haproxy.cfg" --pid-file "$run/haproxy.master"
  await 30 "HAProxy's configuration" test -s "$run/haproxy.cfg"
  PATH=$PATH:/usr/sbin keep haproxy haproxy -W -f "$run/haproxy.cfg" -p "$run/haproxy.master"
  for name in "${brokers[@]}"; do await 30 "$name in HAProxy" is_back "$name"; done
}

start_swarm() {
  setsid "$bin/hera-swarm" "http://127.0.0.1:$front" --runs "$run/runs" --token-file "$run/callers.token" --prefix "$prefix" \
    --rate "${RATE:-40}" --connections 16 --cut-answers </dev/null >>"$run/swarm.out" 2>"$run/swarm.err" &
  swarm=$!
  (
    trap - EXIT
    trap '' INT HUP
    while alive $$ && alive "$swarm"; do sleep 0.3; done
    kill -KILL -- "-$swarm" 2>/dev/null || true
  ) &
  await 10 "the first verdict" test -s "$run/swarm.out"
}

hints() {
  say "
  callers    http://127.0.0.1:$front, by HAProxy; $run/auth holds a token as a header
  workers    HERA=$hera
  brokers    $(for name in "${brokers[@]}"; do printf '%s http://127.0.0.1:%s (admin %s)  ' "$name" "${http_port[$name]}" "${admin_port[$name]}"; done)
  logs       $run/*.err, $run/haproxy.out
  judged     ${RATE:-40} calls/s by the ledger, each second a line

    curl -H @$run/auth 'http://127.0.0.1:$front/0/movies/search?q=star+wars'

  From another terminal, in this folder; what is killed comes back by itself after $pause s:

    make cluster-status
    make cluster-kill-broker      cluster-freeze-broker    cluster-restart-brokers
    make cluster-kill-worker      cluster-restart-workers
    make cluster-kill-zookeeper   cluster-stop-zookeeper   cluster-start-zookeeper
    make cluster-stop
"
}

# Ends the callers, and this script with what the ledger says.
judge() {
  local code=0
  kill -TERM "$swarm" 2>/dev/null || true
  wait "$swarm" || code=$?
  swarm=""
  sed -n '/^ledger:/,$p' "$run/swarm.out"
  [ "$code" -eq 0 ] || keep_evidence
  [ "$code" -eq 0 ] || fail "the ledger is not clean; what is left of the run: $evidence"
  [ -z "${ONCE:-}" ] || say "cluster: $(cat "$run/steps") steps held"
  exit 0
}

# All but the secrets.
keep_evidence() {
  evidence=$(mktemp -d)
  cp -r "$run"/*.out "$run"/*.err "$run/runs" "$run/haproxy.cfg" "$evidence"
}

# Whatever way out is taken: nothing stays behind, neither process nor file.
leave() {
  local code=$?
  trap '' INT TERM HUP
  [ -d "$run" ] || exit "$code"
  [ "$code" -eq 0 ] || [ "$code" -ge 128 ] || tail -qn 3 "$run"/*.err >&2 || true
  say "ending: callers, workers, brokers, HAProxy, ZooKeeper"
  touch "$run/ending"
  [ -z "$swarm" ] || { kill -TERM "$swarm" 2>/dev/null && wait "$swarm" || true; }
  # Nothing, where the verdict was told already, or there is none.
  [ -z "$swarm" ] || sed -n '/^ledger:/,$p' "$run/swarm.out"
  end "${workers[@]}"
  end "${brokers[@]}"
  end watch haproxy
  end "${zookeepers[@]}"
  wait
  rm -rf "$run"
  rmdir cluster/.run 2>/dev/null || true
  exit "$code"
}

main
