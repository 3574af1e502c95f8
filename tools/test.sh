#!/usr/bin/env bash
# Creates or reuses .venv, checks style and types, and runs the tests:
#
#   bash tools/test.sh           fast tests only
#   bash tools/test.sh --all     all tests
#
# Other arguments are passed to pytest: bash tools/test.sh -k prefix
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh

marker="not slow"
if [ "${1:-}" = --all ]; then
  marker=""
  shift
fi
make_environment "[test,dev]"
say "ruff"
ruff format --check .
ruff check .
say "mypy"
mypy tfstyle
say "pytest${marker:+ (fast tests only; --all runs all tests)}"
exec python -m pytest -m "$marker" --durations=15 "$@"
