// How much memory a process may fill with what it reads of files, as the system and the control
// groups it is in say: what a container is allowed is less than what the machine has.
#pragma once

#include <cstdint>
#include <string>

namespace holdfast {

// 0: nobody says. `root`: where /proc and /sys are, for tests.
uint64_t memory_for_files(const std::string& root = "");

}  // namespace holdfast
