#!/usr/bin/env bash
# arm64.sh [options of native_tests]: the native tests built for arm64 and run here, by qemu's emulation of a process. Debian on x86-64, as root:
# it installs a cross compiler and qemu with apt, and unpacks arm64's libraries into build-arm64/. No part of npm test: it takes an hour, since each
# file of tests runs by itself. Its last line is the sum.
#
# What it cannot show: the order in which another arm64 processor sees stores (that is this machine's), larger pages (native/base/system_page_test.cc
# has those), pages that are counted (huge ones, faults that waited: qemu has its own, so those tests are left out).
set -eu
cd "$(dirname "$0")/.."
here=$PWD/build-arm64
lib=$here/root/usr/lib/aarch64-linux-gnu

apt-get install -y -qq g++-aarch64-linux-gnu qemu-user-static cmake doctest-dev >/dev/null
if [ ! -e "$here/ready" ]; then
  mkdir -p "$here/debs" "$here/cache/archives/partial" "$here/lists/partial" "$here/root" "$here/include"
  # Lists and packages of arm64 in folders of their own: nothing of this system changes.
  arm64=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
    -o "Dir::Cache=$here/cache" -o "Dir::State::Lists=$here/lists" -o Dir::State::status=/dev/null)
  apt-get "${arm64[@]}" update
  (cd "$here/debs" && apt-get "${arm64[@]}" download libpmemobj-dev libpmemobj1 libpmem-dev libpmem1 libxxhash-dev libndctl6 libdaxctl1 \
    libkmod2 libuuid1 libzstd1 liblzma5 libssl3 libudev1 libcap2)
  for package in "$here"/debs/*.deb; do dpkg -x "$package" "$here/root"; done
  cp -r /usr/include/doctest "$here/root"/usr/include/libpmem* "$here/root"/usr/include/xxh* "$here/include"
  # What qemu takes for the root of the other system.
  mkdir -p "$here/system" && cp -a /usr/aarch64-linux-gnu/lib "$here/system"
  cp -a "$lib"/*.so* "$here"/root/lib/aarch64-linux-gnu/*.so* "$here/system/lib"
  touch "$here/ready"
fi

# Tests start children: the kernel has to know whom to ask for arm64's programs.
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
  magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  printf '%s' ":qemu-aarch64:M::$magic:$mask:/usr/bin/qemu-aarch64-static:F" >/proc/sys/fs/binfmt_misc/register
fi

rpath="-Wl,-rpath-link,$lib -Wl,-rpath-link,$here/root/lib/aarch64-linux-gnu"
cmake -S . -B "$here/build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
  -DCMAKE_EXE_LINKER_FLAGS="$rpath" -DXXHASH_INCLUDE_DIR="$here/include" -DDOCTEST_INCLUDE_DIR="$here/include" \
  -DPMEMOBJ_INCLUDE_DIR="$here/include" -DPMEMOBJ_LIBRARY="$lib/libpmemobj.so" -DPMEM_LIBRARY="$lib/libpmem.so" >/dev/null
cmake --build "$here/build" -j "$(nproc)" --target native_tests holdfast_pmem_probe

# A processor without `dc cvap`, which qemu does not do for a process; and fewer addresses, since qemu keeps books about each page of the 4 TiB that a
# growing pool reserves (the engine takes less where it does not get so much).
export QEMU_LD_PREFIX=$here/system QEMU_CPU=cortex-a72 QEMU_RESERVED_VA=64G
passed=0 failed=0
for file in $(cd test && find native conformance -name '*_test.cc' | grep -v 'fresh_pages\|cold_reads\|system_page' | sort); do
  printf '%s\n' "$file"
  "$here/build/native_tests" --source-file="*/$file" "$@" >"$here/output" 2>&1 || cat "$here/output"
  read -r good bad < <(sed -n 's/.*test cases: *[0-9]* | *\([0-9]*\) passed | *\([0-9]*\) failed.*/\1 \2/p' "$here/output") || { good=0 bad=1; }
  passed=$((passed + good)) failed=$((failed + bad))
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
