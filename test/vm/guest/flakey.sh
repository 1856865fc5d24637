# A device that first works, then fails writes (hf.fault=error_writes) or swallows them (drop_writes), then works again.
# hf.bug: a mistake planted in the engine.
. /guest/lib.sh
wait_for /dev/vda
sectors=$(blockdev --getsz /dev/vda)
good="0 $sectors linear /dev/vda 0"
turn() {
  dmsetup suspend --nolockfs --noudevsync flaky && dmsetup load flaky --table "$1" && dmsetup resume --noudevrules --noudevsync flaky || die "cannot turn to $1"
}
dmsetup create flaky --noudevrules --noudevsync --table "$good" || die "no dm"
device=/dev/dm-0 fs=ext4; prepare
driver run "$pool" file steps=20 || die "the first run ended with $?"
sync
echo "GUEST turns to $fault"
if [ "$fault" = error_writes ]; then
  mkfifo /tmp/pause
  HOLDFAST_PLANTED_BUG=$bug driver run "$pool" file steps=20 pause=/tmp/pause &  # opens while all is well, and goes on when the fault is there
  echo >/tmp/pause
  turn "0 $sectors flakey /dev/vda 0 0 180 1 error_writes"
  echo >/tmp/pause
  wait $!
  echo "GUEST driver ended with $?"
else
  turn "0 $sectors flakey /dev/vda 0 0 180 1 drop_writes"
  driver run "$pool" file steps=20 || echo "GUEST driver ended with $?"
fi
umount /mnt/p || umount -f /mnt/p || echo "GUEST umount: $?"
turn "$good"
echo 3 >/proc/sys/vm/drop_caches
echo "GUEST works again"
prepare
driver check "$pool" 0
