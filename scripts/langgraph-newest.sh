#!/usr/bin/env bash
# The tests of LangGraph's adapter, against the newest LangGraph that npm gives instead of the one in package.json. It is
# installed in a folder of its own; nothing here changes.
#   langgraph-newest.sh             all of them
#   langgraph-newest.sh <vitest's arguments>
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '{ "private": true }' >"$folder/package.json"
npm install --prefix "$folder" --no-audit --no-fund --silent \
  @langchain/langgraph @langchain/core @langchain/langgraph-checkpoint @langchain/langgraph-checkpoint-validation
for name in langgraph langgraph-checkpoint core; do
  node -p 'const { name, version } = require(process.argv[1]); `${name} ${version}`' "$folder/node_modules/@langchain/$name/package.json"
done
[ $# -gt 0 ] || set -- test/langgraph
HOLDFAST_LANGGRAPH=$folder npx vitest run "$@"
