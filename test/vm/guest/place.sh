# What the package says of a place and does on it: doctor, a pool with everything, info.
. /guest/lib.sh
prepare
place=/mnt/p; [ "$fs" = none ] && place=$device
holdfast() { node /app/dist/cli/main.js "$@"; }
echo "DOCTOR $(holdfast doctor --json "$place" | tr -d '\n')"
node /guest/place.cjs "$pool" || die "place.cjs ended with $?"
echo "INFO $(holdfast info --json "$pool" | tr -d '\n')"
