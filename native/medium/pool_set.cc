#include "medium/pool_set.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "format/layout.h"

namespace holdfast {
namespace {

constexpr char kSetSignature[] = "PMEMPOOLSET";
constexpr char kSetOption[] = "OPTION SINGLEHDR";
constexpr size_t kMaxNameBytes = 200;  // what is put behind it still fits into a file's name

Status not_our_set(const std::string& path, const std::string& line) {
  return Status(Code::kNotAPool,
                path + " is a pool set, but not one that Holdfast made: it has the line '" + line +
                    "' (a set of ours has OPTION SINGLEHDR and a size in bytes and an absolute "
                    "path for each part)");
}

bool only_of(const std::string& text, const char* allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string::npos;
}

}  // namespace

bool is_pool_set(Bytes head) {
  return head.substr(0, sizeof kSetSignature - 1) == Bytes(kSetSignature);
}

std::string pool_set_text(const std::vector<SetPart>& parts) {
  std::string text = std::string(kSetSignature) + "\n" + kSetOption + "\n";
  for (const SetPart& part : parts) text += std::to_string(part.bytes) + " " + part.path + "\n";
  return text;
}

Result<std::vector<SetPart>> parse_pool_set(const std::string& text, const std::string& path) {
  if (!is_pool_set(text)) return Status(Code::kNotAPool, path + " is not a pool set");
  std::vector<SetPart> parts;
  bool single_header = false;
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  if (line != kSetSignature) return not_our_set(path, line);
  while (std::getline(lines, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line == kSetOption) {
      single_header = true;
      continue;
    }
    std::istringstream words(line);
    std::string bytes, where, more;
    const bool two = static_cast<bool>(words >> bytes >> where) && !(words >> more);
    if (!two || !only_of(bytes, "0123456789") || bytes.size() > 15 || where[0] != '/')
      return not_our_set(path, line);
    parts.push_back({where, std::strtoull(bytes.c_str(), nullptr, 10)});
    if (parts.back().bytes == 0 || parts.back().bytes % kPageBytes != 0)
      return not_our_set(path, line);
  }
  if (!single_header) return not_our_set(path, "PMEMPOOLSET without OPTION SINGLEHDR");
  if (parts.empty() || parts.size() > kMaxParts) {
    return Status(Code::kNotAPool, path + " is a pool set of " + std::to_string(parts.size()) +
                                       " parts: a pool has 1 to " + std::to_string(kMaxParts));
  }
  return parts;
}

std::string part_name(const std::string& pool_name, const std::string& mark, size_t number) {
  std::string name = pool_name.substr(0, kMaxNameBytes);
  // A blank would end the name in the set file.
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; }, '_');
  return name + "." + mark + ".part" + std::to_string(number);
}

bool is_part_name(const std::string& name) {
  const size_t part = name.rfind(".part");
  if (part == std::string::npos || part < 17 || name[part - 17] != '.') return false;
  return only_of(name.substr(part + 5), "0123456789") &&
         only_of(name.substr(part - 16, 16), "0123456789abcdef");
}

std::vector<uint64_t> share_out(uint64_t bytes, const std::vector<uint64_t>& free) {
  const uint64_t least = kMinPartBytes * free.size();
  if (free.empty() || bytes < least) return {};
  double all = 0;
  for (const uint64_t one : free) all += static_cast<double>(std::max<uint64_t>(one, 1));
  std::vector<uint64_t> shares;
  uint64_t left = bytes;
  for (size_t i = 0; i + 1 < free.size(); i++) {
    const double wish = static_cast<double>(bytes - least) *
                        (static_cast<double>(std::max<uint64_t>(free[i], 1)) / all);
    shares.push_back(round_down(kMinPartBytes + static_cast<uint64_t>(wish), kPartUnit));
    left -= shares.back();
  }
  shares.push_back(left);
  return shares;
}

}  // namespace holdfast
