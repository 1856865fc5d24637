#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "simulation.h"
using namespace holdfast::crash;
int main(int argc, char** argv) {
  uint64_t from = 1, n = 100; bool trace = false;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--seed")) from = strtoull(argv[++i], 0, 10), n = 1, trace = true;
    if (!strcmp(argv[i], "--seeds")) n = strtoull(argv[++i], 0, 10);
    if (!strcmp(argv[i], "--from")) from = strtoull(argv[++i], 0, 10);
  }
  setvbuf(stdout, 0, _IOLBF, 0);
  Tally t; int failed = 0;
  for (uint64_t s = from; s < from + n; s++) {
    if (getenv("SHOW")) printf("%llu\n", (unsigned long long)s);
    Verdict v = simulate(s, trace);
    t.add(v.tally);
    if (!v.failure.empty()) { printf("seed %llu: %s\n", (unsigned long long)s, v.failure.c_str()); if (++failed > 15) break; }
  }
  printf("failed %d; commits %llu crashes %llu faults %llu opens %llu full %llu folds %llu cleaned %llu merges %llu between %llu\n", failed,
    (unsigned long long)t.commits,(unsigned long long)t.crashes,(unsigned long long)t.faults,(unsigned long long)t.opens,(unsigned long long)t.refused_full,(unsigned long long)t.folds,(unsigned long long)t.cleaned,(unsigned long long)t.merges,(unsigned long long)t.interleaved);
}
