#include "medium/open_medium.h"

#include "base/system_page.h"
#include "medium/file_medium.h"
#include "medium/place_facts.h"
#include "medium/pool_file.h"
#include "medium/pool_kind.h"
#include "medium/pool_parts.h"
#ifdef HOLDFAST_WITH_PMEM
#include "medium/pmem/pmem_medium.h"
#endif

namespace holdfast {
namespace {

// libpmemobj lays its pools out by the kernel's page, and what we know of that layout
// (pmem_library_layout.h) is of this one.
bool pages_fit_pmem() { return system_page_bytes() == 4 * kKiB; }

#ifdef HOLDFAST_WITH_PMEM
constexpr bool kBuiltWithPmem = true;
Result<OpenedMedium> open_on_pmem(const std::string& path, const MediumOptions& options) {
  if (!pages_fit_pmem()) {
    return Status(Code::kMediumUnavailable,
                  "the pool " + path +
                      " needs persistent memory, which takes a kernel with pages "
                      "of 4 KiB; this one's have " +
                      std::to_string(system_page_bytes() / kKiB) +
                      " KiB: take the medium 'file' (a backup restores into it)");
  }
  return open_pmem_medium(path, options);
}
std::string pmem_version() { return libpmemobj_version(); }
#else
constexpr bool kBuiltWithPmem = false;
Result<OpenedMedium> open_on_pmem(const std::string& path, const MediumOptions&) {
  return Status(
      Code::kMediumUnavailable,
      "the pool " + path +
          " needs persistent memory through libpmemobj, which this build is without: install the "
          "Debian package libpmemobj-dev (apt-get install libpmemobj-dev), then rebuild (npm "
          "rebuild holdfast)");
}
std::string pmem_version() { return ""; }
#endif

// Where a new pool would go by itself: persistent memory only where a mapping proves it.
// PMEM_IS_PMEM_FORCE alone decides nothing: it makes libpmem believe, not the memory persistent.
bool auto_takes_pmem(const std::string& folder) {
  if (!kBuiltWithPmem || !pages_fit_pmem()) return false;
  Result<bool> works = map_sync_works(folder);
  return works.is_ok() && *works;  // an error will be met again, and worded, by the creation itself
}

// Before anything is made.
Status check_directories_option(const MediumOptions& options) {
  if (options.directories.empty()) return {};
  if (options.choice == MediumChoice::kFile) {
    return Status(
        Code::kInvalidArgument,
        "directories are for pools on the medium 'pmem': a pool on the medium 'file' is one file");
  }
  if (!options.grow)
    return Status(
        Code::kInvalidArgument,
        "directories need grow: a pool over several directories takes its space as it needs it");
  return {};
}

Result<OpenedMedium> dispatch(const std::string& path, const MediumOptions& options,
                              PoolKind kind) {
  const bool is_pmem = kind == PoolKind::kPmem || kind == PoolKind::kDevice;
  switch (options.choice) {
    case MediumChoice::kFile:
      return is_pmem ? Result<OpenedMedium>(wrong_medium(path, "pmem", "file"))
                     : open_file_medium(path, options);
    case MediumChoice::kPmem:
      return kind == PoolKind::kFile ? Result<OpenedMedium>(wrong_medium(path, "file", "pmem"))
                                     : open_on_pmem(path, options);
    case MediumChoice::kAuto:
      break;
  }
  if (!options.directories.empty() && kind == PoolKind::kFile)
    return wrong_medium(path, "file", "pmem");
  const bool new_takes_pmem = kind == PoolKind::kNothing &&
                              (!options.directories.empty() || auto_takes_pmem(folder_of(path)));
  const bool take_pmem = new_takes_pmem || is_pmem;
  return take_pmem ? open_on_pmem(path, options) : open_file_medium(path, options);
}

void choose(PlaceReport* report, const FilePlace& place, bool persistent_device) {
  const bool pmem = report->map_sync || report->device_dax;
  if (report->device_dax && !persistent_device) {
    report->reason = "a device dax, but not of persistent memory: no pool can be kept on it";
    return;
  }
  if (report->exists ? report->pool_medium == std::string("pmem")
                     : pmem && kBuiltWithPmem && pages_fit_pmem()) {
    report->choice = "pmem";
    report->durability = pmem ? DurabilityClass::kPower : DurabilityClass::kProcess;
    report->reason =
        report->device_dax ? "a device dax: persistent memory without a file system"
        : pmem
            ? "MAP_SYNC works here: stores reach persistent memory"
            : "a pmem pool on what is not persistent memory: survives the process, not a power cut";
    return;
  }
  if (place.network) {
    report->reason = place.reason;
    return;
  }
  report->choice = "file";
  report->durability = place.durability;
  report->reason = place.reason;
  if (pmem && !report->exists)
    report->reason +=
        pages_fit_pmem()
            ? "; this is persistent memory, but this build is without libpmemobj (install "
              "libpmemobj-dev and rebuild)"
            : "; this is persistent memory, but for that the kernel's pages must be of 4 KiB";
}

// What is asked about a pool that lies in several directories: the first place that is no
// persistent memory, else the first.
std::string place_of_pool(const std::string& path) {
  Result<PoolParts> pool = PoolParts::open(path, false, PoolParts::Damaged::kReadAsZeros);
  if (!pool || !pool->is_set()) return path;
  for (const PoolPart& part : pool->parts()) {
    Result<bool> works = map_sync_works(folder_of(part.path));
    if (part.file.is_open() && !(works.is_ok() && *works)) return part.path;
  }
  return pool->parts()[0].path;
}

}  // namespace

Result<OpenedMedium> open_medium(const std::string& path, const MediumOptions& options) {
  HOLDFAST_TRY(check_directories_option(options));
  Result<PoolKind> kind = kind_at(path);
  if (!kind) return std::move(kind.status());
  HOLDFAST_TRY(check_mode(*kind, options.create, path));
  Result<OpenedMedium> result = dispatch(path, options, *kind);
  if (!result) return result;
  const MediumInfo& info = result->medium->info();
  if (info.durability < options.at_least) {
    return accept_place(FilePlace{info.name, false, info.durability, info.durability_reason},
                        options.at_least, path);
  }
  return result;
}

Status Medium::make_ready(uint64_t bytes) {
  const MediumSpace now = space();
  if (now.ready >= bytes) return {};
  return Status(now.free < bytes ? Code::kPoolFull : Code::kDiskFull,
                std::to_string(now.ready) + " bytes are ready, not " + std::to_string(bytes));
}

Status Medium::resize(uint64_t) {
  return Status(
      Code::kMediumUnavailable,
      std::string("a pool on the medium '") + info().name +
          "' keeps the size it was made with: holdfast resize copies it, while nobody has it open");
}

Result<PlaceReport> probe_place(const std::string& path) {
  PlaceReport report;
  report.built_with_pmem = kBuiltWithPmem;
  report.libpmemobj_version = pmem_version();
  report.pmem_forced = pmem_is_forced();
  report.device_dax = is_device_dax(path);

  FileFacts facts;
  const bool is_folder = path_facts(path, &facts) == 0 && facts.folder;
  std::string folder = is_folder ? path : folder_of(path);
  if (!is_folder) {
    Result<PoolKind> kind = kind_at(path);
    if (!kind) return std::move(kind.status());
    report.exists = *kind == PoolKind::kFile || *kind == PoolKind::kPmem;
    report.pool_medium = *kind == PoolKind::kFile ? "file" : *kind == PoolKind::kPmem ? "pmem" : "";
  }
  const std::string probed = report.exists       ? place_of_pool(path)
                             : report.device_dax ? path
                                                 : folder;
  if (report.exists) folder = folder_of(probed);
  Result<FilePlace> place = file_place(probed);
  if (!place) return std::move(place.status());
  if (const int error = path_facts(probed, &facts))
    return file_error(error, "cannot look at " + probed);
  report.dax = facts.dax;
  report.writable = path_writable(probed) == 0;
  report.file_system = report.device_dax ? "device dax" : place->file_system;
  if (!report.device_dax && path_writable(folder) == 0) {
    Result<bool> works = map_sync_works(folder);
    report.map_sync = works.is_ok() && *works;
  }
  choose(&report, *place, device_dax_is_persistent(facts));
  if (!report.writable) {
    report.reason += report.exists
                         ? "; but nothing can be written here: open the pool with readOnly"
                         : "; but nothing can be written here: no pool can be made";
  }
  return report;
}

}  // namespace holdfast
