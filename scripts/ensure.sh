#!/usr/bin/env bash
# Installs what a fresh Debian 12 with Rust, Node 20, JDK 17 and Maven lacks, and says so. Usage: scripts/ensure.sh TOOL...
set -euo pipefail

declare -A PACKAGE=(
  [curl]=curl [haproxy]=haproxy [wrk]=wrk [promtool]=prometheus [cc]=gcc [c++]=g++ [cmake]=cmake [python3]=python3
  [pip3]=python3-pip [openssl]=openssl
  [venv]=python3-venv [java]=openjdk-17-jdk-headless [mvn]=maven [zookeeper]=zookeeper [nft]=nftables [ip]=iproute2
)

# A module of Python's is no command: Debian has what makes a virtual environment in a package of its own. ZooKeeper is a library of Java's.
has() {
  if [ "$1" = venv ]; then
    python3 -c 'import ensurepip' >/dev/null 2>&1
  elif [ "$1" = zookeeper ]; then
    [ -e /usr/share/java/zookeeper.jar ]
  else
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]
  fi
}

missing=()
for tool in "$@"; do
  has "$tool" || missing+=("${PACKAGE[$tool]:-$tool}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing what is missing: ${missing[*]}" >&2
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
