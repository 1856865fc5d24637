# The main job: the recording that comes with the package, its driver killed, on persistent memory.
. /guest/lib.sh
prepare
node -e 'require("fs").writeFileSync("/tmp/sample.json", JSON.stringify(require("/app/dist/cli/demo-sample.js").demoSample))'
echo "REPLAY $(node /app/dist/cli/main.js replay /tmp/sample.json --pool "$pool" --medium pmem --kills "$kills" \
  --think 0 --parallel 4 --json | tr -d '\n')"
