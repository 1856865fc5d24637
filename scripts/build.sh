#!/usr/bin/env bash
# Builds the addons (build/Release) and the TypeScript (dist). Quiet unless it fails. Run setup.sh first.
set -u
cd "$(dirname "$0")/.." || exit 1
say() { printf 'build: %s\n' "$*"; }

# Where Node's own headers are installed, nothing has to be downloaded.
if [ -z "${npm_config_nodedir:-}" ] && [ -z "$(npm config get nodedir 2>/dev/null | grep -v '^undefined$')" ]; then
  prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
  if node -e '
    const text = require("fs").readFileSync(process.argv[1], "utf8");
    const number = (name) => text.match(new RegExp(`#define NODE_${name}_VERSION (\\d+)`))[1];
    const version = ["MAJOR", "MINOR", "PATCH"].map(number).join(".");
    process.exit(version === process.versions.node ? 0 : 1);
  ' "$prefix/include/node/node_version.h" 2>/dev/null; then
    export npm_config_nodedir="$prefix"
  fi
fi
export JOBS="${JOBS:-$(nproc 2>/dev/null || echo 1)}"

step() {  # step <what> <npm script>
  say "$1"
  local log
  log=$(mktemp)
  if ! npm run --silent "$2" </dev/null >"$log" 2>&1; then
    cat "$log"
    rm -f "$log"
    say "$1: failed" >&2
    exit 1
  fi
  rm -f "$log"
}
step "native addon (a minute or two the first time)" build:native
step "TypeScript" build:ts
