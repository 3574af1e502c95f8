#!/usr/bin/env bash
# Makes or reuses .venv, then checks style and types and runs the tests:
#
#   bash tools/test.sh           under 15 minutes on two cores
#   bash tools/test.sh --all     with the slow tests
#
# Other arguments go to pytest: bash tools/test.sh -k prefix
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
say "pytest${marker:+ (without the slow tests; --all runs them too)}"
exec python -m pytest -m "$marker" --durations=15 "$@"
