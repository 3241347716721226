#!/usr/bin/env bash
# Installs what a fresh Debian 12 with Rust, Node 20, JDK 17 and Maven lacks, and says so. Usage: scripts/ensure.sh TOOL...
set -euo pipefail

declare -A PACKAGE=(
  [curl]=curl [haproxy]=haproxy [wrk]=wrk [promtool]=prometheus [cc]=gcc [cmake]=cmake [python3]=python3 [openssl]=openssl
)

missing=()
for tool in "$@"; do
  command -v "$tool" >/dev/null 2>&1 || [ -x "/usr/sbin/$tool" ] || missing+=("${PACKAGE[$tool]:-$tool}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing what is missing: ${missing[*]}" >&2
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
