#include "base/status.h"

#include <cstring>

namespace holdfast {

const char* code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
#define HOLDFAST_CODE_CASE(name, text) \
  case Code::name:                     \
    return text;
      HOLDFAST_CODES(HOLDFAST_CODE_CASE)
#undef HOLDFAST_CODE_CASE
  }
  return "OK";
}

const std::string& Status::message() const {
  static const std::string empty;
  return detail_ ? detail_->message : empty;
}

Status Status::system(Code code, const std::string& what, int system_errno) {
  return Status(
      code,
      what + ": " + std::strerror(system_errno) + " (errno " + std::to_string(system_errno) + ")",
      system_errno);
}

Status Status::clone() const {
  return detail_ ? Status(detail_->code, detail_->message, detail_->system_errno) : Status();
}

}  // namespace holdfast
