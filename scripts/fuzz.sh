#!/usr/bin/env bash
# fuzz.sh [seconds]: libFuzzer on everything that reads a pool, from the corpus kept in test/fuzz/corpus. Needs clang and its fuzzer
# library (Debian: clang-14 libclang-rt-14-dev); without them it is one skipped case. New inputs go to build-fuzz/corpus.
# fuzz.sh --clang: prints the compiler it would take; exit code 1 if there is none.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-20}
# It must have the library too, which is a package of its own.
usable() {
  local probe code
  command -v "$1" >/dev/null || return 1
  probe=$(mktemp -d)
  printf 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long) { return 0; }\n' >"$probe/probe.cc"
  "$1" -fsanitize=fuzzer,address,undefined "$probe/probe.cc" -o "$probe/probe" >/dev/null 2>&1
  code=$?
  rm -rf "$probe"
  return $code
}
clang=''
for candidate in clang++ clang++-19 clang++-16 clang++-15 clang++-14; do
  usable "$candidate" && { clang=$candidate; break; }
done
if [ "${1:-}" = --clang ]; then
  printf '%s\n' "$clang"
  [ -n "$clang" ]
  exit
fi
summary() { printf '[doctest] test cases: 1 | %s passed | %s failed | %s skipped\n' "$1" "$2" "$3"; }
if [ -z "$clang" ]; then
  printf 'skipped: no clang++ with libFuzzer (Debian: clang-14 libclang-rt-14-dev)\n'
  summary 0 0 1
  exit 0
fi
mkdir -p build-fuzz/corpus
# One at a time: an ordinary run has this layer beside the sample of the long mode, which has it too.
exec 9>build-fuzz/lock
flock 9
if ! { cmake -S . -B build-fuzz -DCMAKE_CXX_COMPILER="$clang" -DHOLDFAST_WITH_PMEM=OFF \
  && cmake --build build-fuzz -j "$(nproc 2>/dev/null || echo 1)" --target pool_fuzz; } >build-fuzz/log 2>&1; then
  tail -n 40 build-fuzz/log
  summary 0 1 0
  exit 1
fi
build-fuzz/pool_fuzz -max_total_time="$seconds" -timeout=60 -rss_limit_mb=1024 -max_len=512 -print_final_stats=1 \
  -artifact_prefix=build-fuzz/ build-fuzz/corpus test/fuzz/corpus >build-fuzz/run.log 2>&1
code=$?
grep -aE 'stat::number_of_executed_units|stat::new_units_added' build-fuzz/run.log
if [ "$code" -ne 0 ]; then
  tail -n 60 build-fuzz/run.log
  summary 0 1 0
else
  summary 1 0 0
fi
exit "$code"
