#!/usr/bin/env bash
# pmdk-debug.sh: the native tests of persistent memory once more, with libpmemobj's debug build: it asserts what its books say at each
# call, and takes all rights from its header's page. Without it (Debian: libpmemobj1-debug libpmem1-debug) it is one skipped case.
# pmdk-debug.sh --where: prints its folder; exit code 1 if there is none.
set -u
cd "$(dirname "$0")/.." || exit 1
where=''
for folder in /usr/lib/*/pmdk_dbg /usr/lib/pmdk_debug /usr/lib64/pmdk_debug; do
  [ -e "$folder/libpmemobj.so.1" ] && [ -e "$folder/libpmem.so.1" ] && where=$folder
done
if [ "${1:-}" = --where ]; then
  printf '%s\n' "$where"
  [ -n "$where" ]
  exit
fi
if [ -z "$where" ]; then
  printf 'skipped: no debug build of libpmemobj (Debian: libpmemobj1-debug libpmem1-debug)\n'
  printf '[doctest] test cases: 1 | 0 passed | 0 failed | 1 skipped\n'
  exit
fi
# What the filter leaves out is not skipped.
LD_LIBRARY_PATH=$where${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} build-native/native_tests --no-skipped-summary=true \
  -tc='pmem*,parts:*,mapping:*,*persistent memory*,a pool that was*' | sed 's/^\(\[doctest\] test cases:.* failed |\)$/\1 0 skipped/'
exit "${PIPESTATUS[0]}"
