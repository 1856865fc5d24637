# Commits steps until the power is cut: hf.device, hf.fs, hf.medium, hf.args (commas for spaces). With hf.preload: the first
# few without it.
. /guest/lib.sh
prepare
[ -z "$preload" ] || driver run "$pool" "$medium" steps=5 || die "driver ended with $?"
# shellcheck disable=SC2046
LD_PRELOAD=$preload driver run "$pool" "$medium" $(echo "$args" | tr , ' ')
