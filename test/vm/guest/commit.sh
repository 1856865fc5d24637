# Commits steps until the power is cut: hf.device, hf.fs, hf.medium, hf.args (commas for spaces).
. /guest/lib.sh
prepare
# shellcheck disable=SC2046
driver run "$pool" "$medium" $(echo "$args" | tr , ' ')
