#include "engine/read_only/writer_seen.h"

#include <chrono>
#include <thread>

namespace holdfast {

namespace {
constexpr auto kLookAgain = std::chrono::milliseconds(2);
}

Status WriterSeen::begin() {
  auto bytes = PoolBytes::open(path_, options_.medium);
  if (!bytes.is_ok()) return std::move(bytes.status());
  bytes_ = *bytes;
  auto table = ReadersTable::open_or_make(path_);
  const Code code = table.status().code();
  if (table.is_ok()) {
    table_ = *table;
  } else if (code != Code::kPermission && code != Code::kReadOnly) {
    return std::move(table.status());
  }
  return {};
}

// From then on a writer that does not look at our table is known by the root's incarnation, which
// it raises before it changes anything (ReadingMedium::expired).
Status WriterSeen::meet() {
  if (!table_) return meet_without_table();
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.wait_for_writer_ms);
  while (true) {
    if (table_->lock_as_writer()) {
      const bool written = bytes_->writer_holds_lock();
      if (!written) table_->make_sound(bytes_->superblock().uuid, bytes_->incarnation());
      table_->unlock_as_writer();
      if (!written) return {};
    } else if (table_->is_of(bytes_->superblock().uuid) &&
               bytes_->incarnation() <= table_->header().incarnation.load()) {
      return {};
    }
    if (std::chrono::steady_clock::now() >= until) break;
    std::this_thread::sleep_for(kLookAgain);
  }
  return Status(Code::kLocked, "the process that has the pool " + path_ +
                                   " open has taken no notice of this reader within " +
                                   std::to_string(options_.wait_for_writer_ms) +
                                   " ms: it has failed, is stopped, of an older version, or sees "
                                   "another folder beside the pool; read there, or try again");
}

Status WriterSeen::meet_without_table() {
  const uint64_t before = bytes_->incarnation();
  if (bytes_->writer_holds_lock() || bytes_->incarnation() != before) {
    return Status(
        Code::kLocked,
        "the pool " + path_ +
            " is open in another process, and there is no permission to tell it of this reader: " +
            "allow writing to " + readers_table_path(path_) + ", or close the pool there");
  }
  incarnation_ = before;
  return {};
}

WriterSeen::Moment WriterSeen::look() const {
  Moment writer;
  if (!table_) return writer;
  const ReadersHeader& header = table_->header();
  writer.attachments = header.attachments.load(std::memory_order_acquire);
  writer.lives = table_->writer_lives();
  writer.failed = header.failed.load(std::memory_order_acquire) != 0;
  writer.durable = header.durable.load(std::memory_order_acquire);
  return writer;
}

Result<RootWords> WriterSeen::read_root() const {
  auto chosen = bytes_->root();
  if (!chosen.is_ok()) {
    const std::string cure = bytes_->superblock().medium == MediumKind::kPmem
                                 ? "; open it for writing once, which recovers it"
                                 : "";
    return Status(chosen.status().code(), chosen.status().message() + cure);
  }
  const RootWords root = RootWords::from_root(chosen->root);
  if (root.version > kRootVersion) {
    return Status(Code::kNewerFormat, "the pool's root has version " +
                                          std::to_string(root.version) +
                                          ", this build reads up to " +
                                          std::to_string(kRootVersion) + "; use a newer Holdfast");
  }
  return root;
}

// With a published pin, before the root is read. A fold that looked at the pins before ours was
// there may be rewriting regions in place; the next one will see ours. Only who had no pin that
// stood comes here at such a moment: who follows the writer never waits.
Status WriterSeen::wait_while_placing() const {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.wait_for_writer_ms);
  while (table_->placing()) {
    if (std::chrono::steady_clock::now() >= until) {
      return Status(Code::kLocked, "the process that writes the pool " + path_ +
                                       " has been placing regions for " +
                                       std::to_string(options_.wait_for_writer_ms) +
                                       " ms: it is stopped, or its disk is slow; try again");
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return {};
}

Status WriterSeen::wait_for_recovery() const {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.wait_for_writer_ms);
  for (Moment writer = look(); writer.lives && writer.durable == 0; writer = look()) {
    if (std::chrono::steady_clock::now() >= until) {
      return Status(Code::kLocked,
                    "the process that writes the pool " + path_ + " has been opening it for " +
                        std::to_string(options_.wait_for_writer_ms) + " ms; try again");
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return {};
}

}  // namespace holdfast
