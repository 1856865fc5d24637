# Commits steps on a device that logs every write and flush; each acknowledgement is a mark in that log. hf.bug:
# a mistake planted in the engine, behind the first few steps.
. /guest/lib.sh
wait_for /dev/vda; wait_for /dev/vdb
dmsetup create log --noudevrules --noudevsync \
  --table "0 $(blockdev --getsz /dev/vda) log-writes /dev/vda /dev/vdb" || die "no log-writes"
device=/dev/dm-0 fs=ext4; prepare
driver run "$pool" file steps=5 mark=log || die "driver ended with $?"
# shellcheck disable=SC2046
HOLDFAST_PLANTED_BUG=$bug driver run "$pool" file mark=log $(echo "$args" | tr , ' ') || die "driver ended with $?"
umount /mnt/p
dmsetup remove --noudevrules --noudevsync log
