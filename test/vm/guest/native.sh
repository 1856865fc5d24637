# The engine's own tests. What they take for memory (/dev/shm) and for a disk is the DAX file system here.
. /guest/lib.sh
prepare
mkdir -p /mnt/p/memory /mnt/p/disk
mount --bind /mnt/p/memory /dev/shm || die "cannot bind"
export HOLDFAST_TEST_TMP=/mnt/p/disk TMPDIR=/mnt/p/disk PMEM_IS_PMEM_FORCE=1
native_tests -tc="$(echo "$filters" | tr + ' ')" -d --no-colors --no-intro
