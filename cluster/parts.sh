# The parts of the cluster: how each begins, ends and is looked at. Read by run.sh and verb.sh; both set `run`.

bin=${CARGO_TARGET_DIR:-target}/$(if [ "${PROFILE:-release}" = dev ]; then echo debug; else echo "${PROFILE:-release}"; fi)
brokers=(b-1 b-2 b-3)
zookeepers=(zk-1 zk-2 zk-3)
workers=(movies-1 movies-2 weather ledger-rust ledger-node)
jars=/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar
# A part that ended comes back after so many seconds, as it would by systemd.
pause=2
log_bytes_max=67108864

say() { printf '%s\n' "$@"; }

fail() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

alive() { kill -0 "$1" 2>/dev/null; }

await() { # SECONDS WHAT CONDITION...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "waited in vain for $what"
    sleep 0.1
  done
}

# Whether the cluster of this run folder runs.
runs_in() { # FOLDER
  local main
  main=$(cat "$1/pid" 2>/dev/null) && [ -n "$main" ] && alive "$main"
}

# The process of a part now; nothing while it is down.
pid() { # NAME
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) && [ -n "$pid" ] && alive "$pid" && echo "$pid"
}

# Whether a part runs as another process than this one.
replaced() { # NAME PID
  local now
  now=$(pid "$1") && [ "$now" != "$2" ]
}

# Starts a part and keeps it: see `pause`. While NAME.hold is there, it stays down. Nothing outlives run.sh, however that ended.
keep() { # NAME COMMAND...
  local name=$1 part
  shift
  (
    trap - EXIT
    trap '' INT HUP
    until over; do
      if [ ! -e "$run/$name.hold" ]; then
        setsid "$@" </dev/null >>"$run/$name.out" 2>>"$run/$name.err" &
        part=$!
        echo "$part" >"$run/$name.pid.new"
        mv "$run/$name.pid.new" "$run/$name.pid"
        while alive "$part"; do
          alive $$ || kill -KILL -- "-$part"
          sleep 0.3
        done
      fi
      # In short steps, so that the end need not wait for it.
      for ((step = 0; step < pause * 10; step++)); do
        over || sleep 0.1
      done
    done
  ) 2>>"$run/keeper.err" &
}

# `$$` is run.sh also in what it runs beside itself.
over() { [ -e "$run/ending" ] || ! alive $$; }

# Asks parts to leave, and takes no more than 15 s for an answer.
end() { # NAME...
  local name pid limit=$((SECONDS + 15))
  for name in "$@"; do
    if pid=$(pid "$name"); then kill -TERM -- "-$pid" 2>/dev/null || true; fi
  done
  for name in "$@"; do
    while pid=$(pid "$name") && [ "$SECONDS" -lt "$limit" ]; do sleep 0.05; done
    if pid=$(pid "$name"); then
      # A frozen one hears SIGKILL alone.
      kill -KILL -- "-$pid" 2>/dev/null || true
    fi
  done
}

# `where` has the ports and addresses of this run, as shell variables.
load() { . "$run/where"; }

in_registry() { "$bin/hera" "$@" --registry "$registry" --cluster-key "$run/cluster.key" 2>>"$run/cli.err"; }

at_broker() { # BROKER ARGUMENT...
  local broker=$1
  shift
  "$bin/hera" "$@" --admin "127.0.0.1:${admin_port[$broker]}" --data-dir "$run/$broker" 2>>"$run/cli.err"
}

# `starting` is served already, with few calls at first.
serves_at() { # WORKER BROKER
  local pid
  pid=$(pid "$1") && at_broker "$2" workers | grep -e "-$pid-" | grep -qE ' (ok|starting) '
}

serves() { # WORKER
  local broker
  for broker in "${brokers[@]}"; do serves_at "$1" "$broker" || return 1; done
}

all_serve() {
  local worker
  for worker in "${workers[@]}"; do serves "$worker" || return 1; done
}

is_ready() { # BROKER
  pid "$1" >/dev/null && curl -sf -m 2 -o /dev/null "http://127.0.0.1:${http_port[$1]}/-/ready"
}

# One line for each broker in each of HAProxy's backends: backend, broker, state, calls now, calls so far.
haproxy_view() {
  printf 'show stat\n' | curl -sf -m 2 --unix-socket "$run/haproxy.sock" telnet://haproxy |
    awk -F, '/^#/ { for (n = 1; n <= NF; n++) { sub(/^# /, "", $n); at[$n] = n } next }
      $2 ~ /^b-/ { print $1, $2, $at["status"], $at["scur"], $at["stot"] }'
}

is_up() { # BROKER
  haproxy_view | awk -v broker="$1" '$2 == broker { seen++; up += $3 == "UP" } END { exit !(seen && up == seen) }'
}

is_back() { is_ready "$1" && is_up "$1"; } # BROKER

zookeeper_mode() { # ZOOKEEPER
  local answer
  exec 3<>"/dev/tcp/127.0.0.1/${zk_port[$1]}" || return 1
  printf srvr >&3
  answer=$(timeout 2 cat <&3) || true
  exec 3>&- 3<&-
  sed -n 's/^Mode: //p' <<<"$answer"
} 2>/dev/null

zookeeper_serves() { [ -n "$(zookeeper_mode "$1")" ]; }

leader() {
  local name
  for name in "${zookeepers[@]}"; do
    if [ "$(zookeeper_mode "$name")" = leader ]; then
      echo "$name"
      return
    fi
  done
  return 1
}

has_leader() { leader >/dev/null; }

in_sync() { # BROKER
  curl -sf -m 2 "http://127.0.0.1:${admin_port[$1]}/metrics" | grep -q '^hera_registry_in_sync 1$'
}

all_registered() {
  local ids broker
  ids=$(in_registry brokers --json) || return 1
  for broker in "${brokers[@]}"; do grep -q "\"$broker\"" <<<"$ids" || return 1; done
}

# The last line of the running verdict.
verdict() { tail -n 1 "$run/swarm.out"; }

failures() { verdict | sed -n 's/.*failures \([0-9]*\).*/\1/p'; }

# A cluster may stay up for days; the logs are opened to be added to, so that they can be cut.
trim() {
  local file
  for file in "$run"/*.out "$run"/*.err; do
    [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" -lt "$log_bytes_max" ] || : >"$file"
  done
}
