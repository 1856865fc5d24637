# Commits steps until the power is cut: hf.device, hf.fs, hf.medium, hf.args (commas for spaces). With hf.bug, a mistake planted
# in the engine (native/base/test_hooks.h): the first few steps without it.
. /guest/lib.sh
# Nor may the kernel make it good, which by itself writes back what is dirty.
[ -z "$bug" ] || { echo 0 >/proc/sys/vm/dirty_writeback_centisecs; options=$options,commit=86400; }
prepare
[ -z "$bug" ] || driver run "$pool" "$medium" steps=5 || die "driver ended with $?"
# shellcheck disable=SC2046
HOLDFAST_PLANTED_BUG=$bug driver run "$pool" "$medium" $(echo "$args" | tr , ' ')
