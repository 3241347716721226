#!/usr/bin/env bash
# The demo: a standalone broker, two copies of a Node service and a Rust service, on real data; a tour by curl; then it stays until Ctrl-C.
#   demo/run.sh               the whole of it
#   ONCE=1 demo/run.sh        ends after the tour, with 0 only if every answer was right
#   PROFILE=dev demo/run.sh   builds quicker, runs slower
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077 # The run folder holds keys and tokens.

run=demo/.run/$$
profile=${PROFILE:-release}
bin=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
workers=() broker="" tour="" http=""

main() {
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  build
  mkdir -p "$run"
  start_broker 8080 4372 4380 || start_broker 0 0 0 || fail "the broker did not start"
  make_secrets
  start_workers
  await 20 "three workers" three_workers
  await 20 "the broker" ready

  say "
  broker     http://$http for callers, $hera for workers,
             http://$admin for people
  movies     2 Node processes that share one SQLite file; neither has a port
  weather    1 Rust process
  token      $run/auth holds it as a header, for curl -H @FILE: GET and POST on all of /0/"
  setsid node demo/tour.mjs "http://$http" "$run/auth" "$run/reader" </dev/null &
  tour=$!
  local code=0
  wait "$tour" || code=$?
  tour=""
  [ -z "${ONCE:-}" ] || exit "$code"
  hints
  trap 'exit 0' INT TERM
  wait "$broker" || true
  fail "the broker ended"
}

build() {
  say "building (the first time takes minutes)"
  ./scripts/ensure.sh curl cc
  cargo build --profile "$profile" -p hera-cli -p hera-demo
  (cd clients/node && packages && { built || npm run --silent build; })
  (cd demo/node && packages)
}

# Left alone where nothing changed, so that a second demo takes nothing away from the first one.
packages() { [ node_modules -nt package-lock.json ] || npm ci --loglevel=error; }
built() { [ -f dist/index.js ] && [ -z "$(find src package.json tsconfig.json -newer dist/index.js)" ]; }

# The ports of the documentation where they are free, else any: the ready line tells.
start_broker() { # HTTP WORKERS ADMIN
  start broker "$bin/hera" broker --http "127.0.0.1:$1" --workers "127.0.0.1:$2" --admin "127.0.0.1:$3" --data-dir "$run/data"
  broker=$!
  await 20 "the broker" begun
  read -r _ http hera admin _ <"$run/broker.out" || return 1
  http=${http#http=} hera=hera://${hera#workers=} admin=${admin#admin=}
}

begun() { grep -q '^ready ' "$run/broker.out" || ! alive "$broker"; }

make_secrets() {
  secret key create --name movies --serve '/0/movies/**' --call 'GET /0/weather/**' >"$run/movies.key"
  secret key create --name weather --serve '/0/weather/**' >"$run/weather.key"
  bearer --name demo --allow 'GET /0/**' --allow 'POST /0/**' >"$run/auth"
  bearer --name weather-reader --allow 'GET /0/weather/**' >"$run/reader"
}

secret() { "$bin/hera" "$@" --admin "$admin" --data-dir "$run/data" 2>>"$run/cli.err"; }

bearer() {
  local token
  token=$(secret token create "$@")
  printf 'Authorization: Bearer %s\n' "$token"
}

# The key goes by the environment: a process's arguments can be read by everyone on the machine.
start_workers() {
  local copy data=demo/node/node_modules/vega-datasets/data
  for copy in 1 2; do
    HERA=$hera SECRET=$(<"$run/movies.key") start "movies-$copy" node demo/node/service.js "$run/movies.db"
    workers+=($!)
  done
  HERA=$hera SECRET=$(<"$run/weather.key") start weather "$bin/hera-demo" "$data/weather.csv" "$run/weather.db"
  workers+=($!)
}

three_workers() {
  local pid
  for pid in "${workers[@]}"; do alive "$pid" || fail "a worker ended"; done
  [ "$(secret workers --json | grep -o '"instance"' | wc -l)" -eq 3 ]
}

ready() { [ -n "$http" ] && curl -sf -m 2 -o /dev/null "http://$http/-/ready"; }

hints() {
  local at="--admin $admin --data-dir $run/data"
  say "
  It stays up until Ctrl-C. To try from this folder, in another terminal:

    curl -H @$run/auth 'http://$http/0/movies/search?q=star+wars'
    curl -i -H @$run/auth -H 'Hera-Timeout: 1ms' \\
      http://$http/0/movies/stats

  Who serves, what is served, how much, and a line for each call:

    $bin/hera workers $at
    $bin/hera endpoints $at
    curl http://$admin/metrics
    tail -f $run/broker.err

  One copy of movies drains and goes, and the other one serves on; then a new one comes:

    kill ${workers[0]}
    HERA=$hera SECRET_FILE=$run/movies.key \\
      node demo/node/service.js $run/movies.db
"
}

# Starts a program in a session of its own: Ctrl-C reaches this script alone, which then ends the others in order.
start() { # NAME COMMAND...: its pid is $!
  local name=$1
  shift
  setsid "$@" </dev/null >"$run/$name.out" 2>"$run/$name.err" &
}

alive() { kill -0 "$1" 2>/dev/null; }

await() { # SECONDS WHAT CONDITION
  local end=$((SECONDS + $1))
  until "$3"; do
    [ "$SECONDS" -lt "$end" ] || fail "waited $1 s for $2 in vain"
    sleep 0.05
  done
}

say() { printf '%s\n' "$*"; }

fail() {
  tail -n 20 "$run"/*.err >&2 || true
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

# Whatever way out is taken: nothing stays behind, neither process nor file.
leave() {
  trap '' INT TERM HUP
  end ${tour:+"$tour"}
  [ ${#workers[@]} -eq 0 ] || say "draining: first the workers, then the broker"
  end ${workers[@]+"${workers[@]}"}
  end ${broker:+"$broker"}
  rm -rf "$run"
  rmdir demo/.run 2>/dev/null || true
}

# Asks these to drain and leave, and takes no more than 10 s for an answer. The broker leaves once those who ask whether it is ready
# heard three times that it is not, as a load balancer does.
end() { # PID...
  local pid limit=$((SECONDS + 10))
  for pid in "$@"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  for pid in "$@"; do
    while alive "$pid" && [ "$SECONDS" -lt "$limit" ]; do
      ready || true
      sleep 0.05
    done
    kill -KILL -- "-$pid" 2>/dev/null || true
  done
}

main
