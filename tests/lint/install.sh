#!/usr/bin/env bash
# Makes the virtual environment of the linter under target/, once for each state of requirements.txt, and prints where its Python is.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/lint/$(sha256sum tests/lint/requirements.txt | cut -c1-16)
if [ ! -e "$venv/installed" ]; then
  scripts/ensure.sh python3 venv
  rm -rf "$venv"
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/lint/requirements.txt >&2
  touch "$venv/installed"
fi
echo "$PWD/$venv/bin/python"
