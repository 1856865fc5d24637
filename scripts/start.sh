#!/usr/bin/env bash
# npm start: sets up what is missing, builds, and runs the demo.
set -eu
cd "$(dirname "$0")/.."
bash scripts/setup.sh
bash scripts/build.sh
exec node dist/cli/main.js demo "$@"
