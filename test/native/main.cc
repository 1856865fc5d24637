// The one main of the native tests. See test/native/<unit>_test.cc and test/conformance/.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
