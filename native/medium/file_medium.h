// An ordinary disk: written with pwrite, made durable with fdatasync, read through one shared read-only mapping.
// See open_medium.h for how it comes to be; this header is only for open_medium.cc and the tests.
#pragma once

#include "medium/open_medium.h"

namespace holdfast {
Result<OpenedMedium> open_file_medium(const std::string& path, const MediumOptions& options);
}
