// Creating and opening a pool on the file medium. See open_medium.h for what creation promises
// across a crash.
#include <cerrno>
#include <cstring>

#include "medium/file_medium.h"
#include "medium/pool_file.h"
#include "medium/pool_kind.h"

namespace holdfast {
namespace {

Status check_size(uint64_t size) {
  if (size == 0 || (size >= kMinFilePoolBytes && size <= kMaxFilePoolBytes)) return {};
  return Status(Code::kOutOfRange, "the size of a pool must be 0 (grows by itself) or " +
                                       std::to_string(kMinFilePoolBytes) + " to " +
                                       std::to_string(kMaxFilePoolBytes) + " bytes, not " +
                                       std::to_string(size));
}

OpenedMedium opened(std::unique_ptr<FileMedium> medium, const Superblock& superblock,
                    bool created) {
  OpenedMedium result;
  result.medium = std::move(medium);
  result.created = created;
  std::memcpy(result.uuid, superblock.uuid, sizeof result.uuid);
  result.secret = superblock.secret;
  result.format_version = superblock.format_version;
  return result;
}

// Everything but the superblocks is synced before they are written: a file that has one is whole.
Status write_front(PosixFile& file, const Superblock& superblock, const std::string& path) {
  const std::string what = "cannot write the new pool " + path;
  uint64_t writes = 0;
  if (const int error = file.write_zeros(0, kSegmentsOffset, &writes))
    return file_error(error, what);
  for (int slot = 0; slot < 2; slot++) {
    const RootSlot root = make_root_slot(Root{}, 1 + slot, slot, superblock.secret);
    if (const int error = file.write_at(kRootSlotOffsets[slot], &root, sizeof root, &writes))
      return file_error(error, what);
  }
  if (const int error = file.sync_all()) return file_error(error, what);
  for (const uint64_t offset : kSuperblockOffsets) {
    if (const int error = file.write_at(offset, &superblock, sizeof superblock, &writes))
      return file_error(error, what);
  }
  if (const int error = file.sync_all()) return file_error(error, what);
  return {};
}

Result<OpenedMedium> create(const std::string& path, const MediumOptions& options) {
  HOLDFAST_TRY(check_size(options.size));
  const std::string folder = folder_of(path);
  Result<FilePlace> place = file_place(folder);
  if (place.status().code() == Code::kNotFound) {
    return Status(
        Code::kNotFound,
        "cannot create the pool " + path + ": there is no folder " + folder + ", make it first",
        place.status().system_errno());
  }
  if (!place) return std::move(place.status());
  HOLDFAST_TRY(accept_place(*place, options.at_least, folder));
  Result<Superblock> superblock =
      make_superblock(MediumKind::kFile, round_down(options.size, kFileSegmentUnit));
  if (!superblock) return std::move(superblock.status());
  Result<NewPoolFile> made = NewPoolFile::create(path);
  if (!made) return std::move(made.status());
  HOLDFAST_TRY(write_front(made->file(), *superblock, path));
  const ChosenRoot root = {Root{}, 2, 1};
  // Before it has its name: what cannot be opened here is not made.
  Result<std::unique_ptr<FileMedium>> medium =
      FileMedium::start(std::move(made->file()), path, *superblock, root, *place);
  if (!medium) return std::move(medium.status());
  HOLDFAST_TRY(made->publish());
  return opened(std::move(*medium), *superblock, true);
}

Status check_options(const Superblock& superblock, const MediumOptions& options,
                     const std::string& path) {
  if (superblock.medium != MediumKind::kFile) return wrong_medium(path, "pmem", "file");
  if (options.size == 0 || round_down(options.size, kFileSegmentUnit) == superblock.size) return {};
  const std::string had = superblock.size == 0
                              ? "to grow by itself"
                              : "with " + std::to_string(superblock.size) + " bytes";
  return Status(Code::kOutOfRange, "the pool " + path + " was created " + had +
                                       ", its size cannot be changed to " +
                                       std::to_string(options.size) + ": leave the size out");
}

// Between open and lock the name may have been given to another file.
bool still_named(const PosixFile& file, const std::string& path) {
  FileFacts opened_facts, named_facts;
  return file.facts(&opened_facts) == 0 && path_facts(path, &named_facts) == 0 &&
         opened_facts.inode == named_facts.inode && opened_facts.device == named_facts.device;
}

// Is what differs in this copy only what a resize writes? Torn by a crash, its checksum is that of
// neither size.
bool left_by_resize(Superblock copy, const Superblock& whole) {
  copy.size = whole.size;
  copy.checksum = whole.checksum;
  return std::memcmp(&copy, &whole, sizeof copy) == 0;
}

// Where a crash has left the copies of the superblock with different sizes both get the larger one;
// a torn one gets the other's. Crash here: the other copy is whole, and this is done again. A copy
// that is damaged elsewhere is left for check() to name.
Status finish_resize(PosixFile& file, Bytes head, const Superblock& superblock,
                     const std::string& path) {
  for (const uint64_t offset : kSuperblockOffsets) {
    if (head.size() < offset + sizeof superblock) continue;
    const auto copy = load<Superblock>(head.data() + offset);
    if (std::memcmp(&superblock, &copy, sizeof copy) == 0 || !left_by_resize(copy, superblock))
      continue;
    uint64_t writes = 0;
    int error = file.write_at(offset, &superblock, sizeof superblock, &writes);
    if (error == 0) error = file.sync_data();
    if (error != 0) return file_error(error, "cannot make the superblocks of " + path + " equal");
  }
  return {};
}

// A page that a failed sync did not bring to the disk stays in the cache, marked clean, and no
// later sync says so again: only what is read anew is what the disk has. Were it believed, durable
// commits would be appended behind records that are not there. (Pages that a reader in another
// process has mapped stay: docs/durability.md.)
void forget_lost_pages(PosixFile& file, bool failed_now) {
  if (failed_now)
    file.mark_failed();
  else if (!file.is_marked_failed())
    return;
  file.forget_cached();
  if (!failed_now) file.unmark_failed();
}

Result<OpenedMedium> open_existing(const std::string& path, const MediumOptions& options) {
  PosixFile file;
  if (const int error = file.open_existing(path, true))
    return file_error(error, "cannot open the pool " + path);
  HOLDFAST_TRY(lock_pool_file(file, path));
  if (!still_named(file, path))
    return Status(Code::kNotFound, "the pool " + path + " was removed while it was opened");
  // What a killed process left in the page cache is made durable before anybody sees it. Else a
  // root could be read and acted on (its predecessor's segments reused), and then be undone by a
  // power cut.
  const int unsynced = file.sync_data();
  forget_lost_pages(file, unsynced != 0);
  if (unsynced != 0) return file_error(unsynced, "cannot sync the pool " + path);

  std::string head(kSegmentsOffset, '\0');
  size_t got = 0;
  if (const int error = file.read_at(0, head.data(), head.size(), &got))
    return file_error(error, "cannot read the pool " + path);
  head.resize(got);
  if (kind_of_head(head) == PoolKind::kPmem) return wrong_medium(path, "pmem", "file");
  Result<Superblock> superblock = choose_superblock(head, path);
  if (!superblock) return std::move(superblock.status());
  HOLDFAST_TRY(check_options(*superblock, options, path));
  HOLDFAST_TRY(finish_resize(file, head, *superblock, path));
  Result<ChosenRoot> root = choose_root(head, superblock->secret, path);
  if (!root) return std::move(root.status());

  Result<FilePlace> place = file_place(path);
  if (!place) return std::move(place.status());
  HOLDFAST_TRY(accept_place(*place, options.at_least, path));
  Result<std::unique_ptr<FileMedium>> medium =
      FileMedium::start(std::move(file), path, *superblock, *root, *place);
  if (!medium) return std::move(medium.status());
  return opened(std::move(*medium), *superblock, false);
}

}  // namespace

Result<OpenedMedium> open_file_medium(const std::string& path, const MediumOptions& options) {
  // Others may create or remove the pool while we look: whoever loses looks again, a few times.
  for (int attempt = 0;; attempt++) {
    Result<PoolKind> kind = kind_at(path);
    if (!kind) return std::move(kind.status());
    HOLDFAST_TRY(check_mode(*kind, options.create, path));
    const bool exists = *kind != PoolKind::kNothing;
    Result<OpenedMedium> result = exists ? open_existing(path, options) : create(path, options);
    const Code code = result.status().code();
    const bool raced = exists ? code == Code::kNotFound : code == Code::kExists;
    if (!raced || attempt == 3 || options.create != CreateMode::kIfMissing) return result;
  }
}

}  // namespace holdfast
