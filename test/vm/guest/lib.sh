# Shared by the guest's scripts.
die() { echo "GUEST failed: $*"; exit 1; }

wait_for() {  # a device appears by itself, some time after its module
  tries=0
  while [ ! -e "$1" ]; do
    tries=$((tries + 1)); [ $tries -gt 1200 ] && die "$1 does not appear"
    sleep 0.05
  done
}

blocks() { cat "/sys/block/${1#/dev/}/size"; }

# Mounts $device at /mnt/p, or leaves it alone where it is the pool itself; says the pool's path in $pool. With $second, another device
# is mounted at /mnt/q: the larger of the two, since which of them is called what is the kernel's choice.
prepare() {
  wait_for "$device"
  if [ -n "$second" ]; then
    wait_for "$second"
    [ "$(blocks "$device")" -lt "$(blocks "$second")" ] || { larger=$device; device=$second; second=$larger; }
    mkdir -p /mnt/q
    mount -t "$fs" -o "$options" "$second" /mnt/q || die "cannot mount $second"
  fi
  pool=/mnt/p/pool
  case "$fs" in
    none) pool=$device ;;
    ext4) mount -t ext4 -o "${options:-noatime}" "$device" /mnt/p || die "cannot mount $device" ;;
    xfs) mount -t xfs -o "${options:-noatime}" "$device" /mnt/p || die "cannot mount $device" ;;
    *) die "no fs" ;;
  esac
  [ -z "$second" ] || echo "GUEST second $(du -sk /mnt/q | cut -f1)"
  echo "GUEST domain $(cat /sys/bus/nd/devices/region0/persistence_domain 2>/dev/null)"
}
