// The places on which the conformance suite runs: each medium, behind one small interface.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "medium/open_medium.h"

namespace holdfast::test {

// Where one pool lives. Dropped: gone with all its bytes.
class MediumPlace {
 public:
  virtual ~MediumPlace() = default;
  virtual const char* name() const = 0;
  // Creates the pool the first time, opens it after that. `size` 0: this place's usual one.
  virtual Result<OpenedMedium> open(uint64_t size = 0) = 0;
  virtual uint64_t usual_size() const = 0;
  // open_medium on the same path with this mode; false where there is no path (simulated).
  virtual bool has_path() const { return true; }
  virtual Result<OpenedMedium> open_with(CreateMode mode, uint64_t size) = 0;
};

using MakePlace = std::unique_ptr<MediumPlace> (*)();
const std::vector<MakePlace>& all_media();

// A test case that runs once on each medium.
#define MEDIUM_CASE_(title, function)                         \
  static void function(::holdfast::test::MediumPlace& place); \
  TEST_CASE("medium conformance: " title) {                   \
    for (const auto make : ::holdfast::test::all_media()) {   \
      const auto made = make();                               \
      const std::string on_medium = made->name();             \
      CAPTURE(on_medium);                                     \
      function(*made);                                        \
    }                                                         \
  }                                                           \
  static void function(::holdfast::test::MediumPlace& place)
#define MEDIUM_CASE(title) MEDIUM_CASE_(title, DOCTEST_ANONYMOUS(medium_case_))

}  // namespace holdfast::test
