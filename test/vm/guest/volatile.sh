# A device dax that is no persistent memory.
. /guest/lib.sh
prepare
echo "DOCTOR $(node /app/dist/cli/main.js doctor --json "$device" | tr -d '\n')"
driver run "$device" pmem steps=1 | sed 's/^BAD/BUT/'
