#include "medium/readers_table.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "medium/pool_file.h"

namespace holdfast {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

uint64_t wall_ms() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

// Whoever may read the pool may say that it does.
uint32_t mode_for(uint32_t pool_mode) {
  const uint32_t readable = pool_mode & 0444;
  return readable | (readable >> 1);
}

// May this file be made a table, or go on being one? A new one is empty, a crash leaves less of it
// or zeros, damage leaves its length: all else may be dear to somebody (a file of that name, or
// what a link of that name leads to), and is not written to.
bool may_be_a_table(const PosixFile& file, const FileFacts& facts) {
  if (!facts.regular) return false;
  std::string found(kReadersFileBytes, '\0');
  size_t got = 0;
  if (file.read_at(0, found.data(), found.size(), &got) != 0) return false;
  found.resize(got);
  const size_t begins = std::min(got, sizeof kReadersMagic);
  if (std::memcmp(found.data(), kReadersMagic, begins) == 0) return true;
  if (facts.size > kReadersFileBytes) return false;
  return found.find_first_not_of('\0') == std::string::npos ||
         (facts.size == kReadersFileBytes && facts.names == 1);
}

}  // namespace

std::string readers_table_path(const std::string& pool_path) {
  return resolved_path(pool_path) + ".readers";
}

int ReadersTable::map() {
  FileFacts facts;
  if (const int error = file_.facts(&facts)) return error;
  if (!may_be_a_table(file_, facts)) return EEXIST;
  // Made longer by whoever comes first; never shorter. What is new in it is zeros.
  if (facts.size < kReadersFileBytes) {
    if (const int error = file_.truncate(kReadersFileBytes)) return error;
  }
  if (const int error = file_.reserve(0, kReadersFileBytes); error != 0 && is_disk_full(error))
    return error;
  if (const int error = file_.map_writable(kReadersFileBytes, &mapped_)) return error;
  guard_.watch(mapped_, kReadersFileBytes);
  header_ = reinterpret_cast<ReadersHeader*>(mapped_);
  return 0;
}

Result<std::shared_ptr<ReadersTable>> ReadersTable::open_or_make(const std::string& pool_path) {
  const std::string path = readers_table_path(pool_path);
  const std::string what = "cannot use the readers' table " + path;
  FileFacts pool;
  if (const int error = path_facts(pool_path, &pool))
    return file_error(error, "cannot look at the pool " + pool_path);
  std::shared_ptr<ReadersTable> table(new ReadersTable());
  FileFacts found;
  const bool there = path_facts(path, &found) == 0;
  const uint32_t mode = mode_for(pool.mode);
  const int opened = table->file_.open_or_create(path, mode);
  if (opened != 0 && opened != EISDIR) return file_error(opened, what);
  // The umask may have taken more away than the pool has; and a table made by root is the pool's
  // owner's. Neither must succeed.
  if (!there) (void)table->file_.give_to(pool.user, pool.group, mode);
  const int error = opened != 0 ? EEXIST : table->map();
  if (error == EEXIST) {
    return Status(Code::kExists, what +
                                     ", through which the pool's readers and its writer know of "
                                     "each other: something else is there; move it away");
  }
  if (error != 0) return file_error(error, what);
  return table;
}

std::unique_ptr<ReadersTable> ReadersTable::open_if_there(const std::string& pool_path) {
  std::unique_ptr<ReadersTable> table(new ReadersTable());
  if (table->file_.open_existing(readers_table_path(pool_path), true) != 0) return nullptr;
  if (table->map() != 0) return nullptr;
  return table;
}

ReadersTable::~ReadersTable() {
  guard_.stop();
  if (mapped_ != nullptr) PosixFile::unmap(mapped_, kReadersFileBytes);
}

ReaderSlot* ReadersTable::slot(uint32_t number) const {
  return reinterpret_cast<ReaderSlot*>(mapped_ + kReaderSlotsOffset) + number;
}

// Where it cannot be asked it counts as alive: nothing is given away on a guess.
bool ReadersTable::owner_lives(uint32_t number) const {
  bool locked = true;
  return file_.byte_is_locked(kFirstSlotLockByte + number, &locked) != 0 || locked;
}

bool ReadersTable::writer_lives() const {
  bool locked = false;
  return file_.byte_is_locked(kWriterLockByte, &locked) == 0 && locked;
}

bool ReadersTable::lock_as_writer() { return file_.try_lock_byte(kWriterLockByte) == 0; }
void ReadersTable::unlock_as_writer() { file_.unlock_byte(kWriterLockByte); }

bool ReadersTable::is_of(const uint8_t uuid[16]) const {
  return std::memcmp(header_->magic, kReadersMagic, sizeof kReadersMagic) == 0 &&
         header_->version == kReadersVersion && header_->slots == kReaderSlots &&
         std::memcmp(header_->uuid, uuid, sizeof header_->uuid) == 0;
}

// Where it was another pool's, or a writer that did not look at it has had the pool since, all
// readers lose their pins: what they read may have been given away.
void ReadersTable::make_sound(const uint8_t uuid[16], uint64_t incarnation) {
  if (is_of(uuid) && header_->incarnation.load() >= incarnation) return;
  for (uint32_t i = 0; i < kReaderSlots; i++) {
    if (slot(i)->pin.load(kRelaxed) != kSlotFree) slot(i)->pin.store(kSlotExpired);
  }
  header_->durable.store(0);
  header_->failed.store(0);
  header_->clock.fetch_add(1);
  header_->version = kReadersVersion;
  header_->slots = kReaderSlots;
  std::memcpy(header_->uuid, uuid, sizeof header_->uuid);
  header_->attachments.fetch_add(1);
  header_->incarnation.store(incarnation);
  std::memcpy(header_->magic, kReadersMagic, sizeof kReadersMagic);
}

void ReadersTable::attach(const uint8_t uuid[16], uint64_t before, uint64_t incarnation,
                          uint64_t durable, DurabilityClass durability) {
  // While this writer recovers, what the last one said stays true: unless the pool is older than
  // that, a backup put in its place.
  const bool goes_on = is_of(uuid) && before + 1 >= header_->incarnation.load();
  make_sound(uuid, before);
  if (!goes_on) header_->durable.store(0);
  publish_durable(durable);
  header_->failed.store(0);
  header_->writer_pid.store(static_cast<uint64_t>(own_pid()));
  header_->durability.store(static_cast<uint64_t>(durability));
  header_->attachments.fetch_add(1);
  header_->incarnation.store(incarnation);
}

// Never goes back, whichever of two threads comes last.
void ReadersTable::publish_durable(uint64_t epoch) {
  uint64_t seen = header_->durable.load(kRelaxed);
  while (seen < epoch && !header_->durable.compare_exchange_weak(seen, epoch, kRelease, kRelaxed)) {
  }
}

uint64_t ReadersTable::tick() { return header_->clock.fetch_add(1) + 1; }

uint64_t ReadersTable::oldest_pin() const {
  if (guard_.failed())
    return 0;  // somebody has cut the file: the pins cannot be seen, so all stand
  std::atomic_thread_fence(std::memory_order_seq_cst);
  uint64_t oldest = UINT64_MAX;
  for (uint32_t i = 0; i < kReaderSlots; i++) {
    const uint64_t pin = slot(i)->pin.load();
    if (pin == kSlotFree || pin == kSlotExpired || pin >= oldest) continue;
    // A dead one's pin is passed over and left: whoever takes the slot next replaces it. Were it
    // cleared here, it might already be his.
    if (owner_lives(i)) oldest = pin;
  }
  return guard_.failed() ? 0 : oldest;  // cut meanwhile: what was seen of it were zeros
}

bool ReadersTable::is_at(const std::string& path) const {
  FileFacts here, there;
  return !guard_.failed() && file_.facts(&here) == 0 && path_facts(path, &there) == 0 &&
         here.inode == there.inode && here.device == there.device;
}

std::vector<ReaderSeen> ReadersTable::readers() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::vector<ReaderSeen> seen;
  for (uint32_t i = 0; i < kReaderSlots; i++) {
    const ReaderSlot& s = *slot(i);
    ReaderSeen one;
    one.slot = i;
    one.pin = s.pin.load();
    if (one.pin == kSlotFree || one.pin == kSlotExpired || !owner_lives(i)) continue;
    for (int tries = 0; tries < 1000; tries++) {
      const uint64_t version = s.version.load(kAcquire);
      one.pid = s.pid.load(kRelaxed);
      one.since_ms = s.since_ms.load(kRelaxed);
      one.epoch = s.epoch.load(kRelaxed);
      one.fold = {s.fold_offset.load(kRelaxed), s.fold_segment_bytes.load(kRelaxed)};
      one.fold_bytes = s.fold_bytes.load(kRelaxed);
      one.fold_checksum = s.fold_checksum.load(kRelaxed);
      std::atomic_thread_fence(kAcquire);
      one.consistent = version % 2 == 0 && s.version.load(kRelaxed) == version;
      if (one.consistent) break;
    }
    seen.push_back(one);
  }
  return seen;
}

void ReadersTable::expire(uint32_t number, uint64_t pin) {
  slot(number)->pin.compare_exchange_strong(pin, kSlotExpired);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

Result<std::unique_ptr<ReaderPin>> ReaderPin::take(const std::shared_ptr<ReadersTable>& table) {
  std::lock_guard guard(table->mutex_);
  for (uint32_t i = 0; i < kReaderSlots; i++) {
    if (table->mine_[i] || table->file_.try_lock_byte(kFirstSlotLockByte + i) != 0) continue;
    table->mine_[i] = true;
    std::unique_ptr<ReaderPin> pin(new ReaderPin(table, i));
    ReaderSlot* slot = table->slot(i);
    // Nobody is asked about the fold before it is known: until then the reader stands for "the root
    // as it is now".
    pin->reads({}, 0, 0);
    slot->epoch.store(0, kRelaxed);
    slot->pid.store(static_cast<uint64_t>(own_pid()), kRelaxed);
    slot->since_ms.store(wall_ms(), kRelaxed);
    pin->pin_ = table->header_->clock.load();
    if (pin->pin_ == kSlotFree) pin->pin_ = 1;
    slot->pin.store(pin->pin_);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return pin;
  }
  return Status(Code::kLocked, "all " + std::to_string(kReaderSlots) +
                                   " places for readers of the pool are taken: close some of them");
}

ReaderPin::~ReaderPin() { let_go(); }

void ReaderPin::let_go() {
  std::lock_guard guard(table_->mutex_);
  if (gone_.exchange(true)) return;
  table_->slot(number_)->pin.store(kSlotFree);
  table_->file_.unlock_byte(kFirstSlotLockByte + number_);
  table_->mine_[number_] = false;
}

void ReaderPin::reads(const Segment& fold, uint64_t fold_bytes, uint64_t fold_checksum) {
  ReaderSlot* slot = table_->slot(number_);
  slot->version.store(slot->version.load(kRelaxed) | 1, kRelaxed);
  std::atomic_thread_fence(kRelease);
  slot->fold_offset.store(fold.offset, kRelaxed);
  slot->fold_segment_bytes.store(fold.bytes, kRelaxed);
  slot->fold_bytes.store(fold_bytes, kRelaxed);
  slot->fold_checksum.store(fold_checksum, kRelaxed);
  slot->version.store((slot->version.load(kRelaxed) | 1) + 1, kRelease);
}

void ReaderPin::at(uint64_t epoch) { table_->slot(number_)->epoch.store(epoch, kRelaxed); }

bool ReaderPin::stands() const {
  std::atomic_thread_fence(kAcquire);
  return !gone_.load(kRelaxed) && table_->slot(number_)->pin.load(kRelaxed) == pin_;
}

}  // namespace holdfast
