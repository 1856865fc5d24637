#include "engine/state/readers.h"

#include <chrono>
#include <thread>

#include "base/test_hooks.h"

namespace holdfast {

namespace {
// A reader that asks whether there is a writer holds the writer's byte for microseconds; one that
// was stopped just then is not waited for.
constexpr auto kProberGone = std::chrono::milliseconds(500);
}  // namespace

void Readers::attach_at_open(const std::string& path, const uint8_t uuid[16],
                             const Medium& medium) {
  path_ = resolved_path(
      path);  // for good: the process may go to another folder, and a link to another pool
  std::memcpy(uuid_, uuid, sizeof uuid_);
  durability_ = medium.info().durability;
  auto table = ReadersTable::open_if_there(path);
  if (!table) return;
  const auto until = std::chrono::steady_clock::now() + kProberGone;
  while (!table->lock_as_writer()) {
    // Not had: readers then see a root of an incarnation that their table does not know, and stop
    // trusting what they read.
    if (std::chrono::steady_clock::now() > until) return;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  const uint64_t before = RootWords::from_root(medium.root()).incarnation;
  table->publish_placing(false);
  table->attach(uuid_, before, before == 0 ? 2 : before + 1, 0, durability_);
  tables_.push_back(std::move(table));
  table_.store(tables_.back().get(), std::memory_order_release);
}

void Readers::look(uint64_t incarnation, const std::atomic<uint64_t>& durable) {
  if (path_.empty()) return;
  const std::string at = readers_table_path(path_);
  const ReadersTable* now = table_.load(std::memory_order_relaxed);
  // A table that somebody has removed while readers are in it keeps them until they are gone.
  if (now != nullptr && (now->is_at(at) || !now->readers().empty())) return;
  auto table = ReadersTable::open_if_there(path_);
  if (!table || !table->lock_as_writer()) return;  // a reader may hold it for a moment: next time
  std::lock_guard guard(announcing_);
  table->publish_placing(placing_);  // before a reader can know that it was taken notice of
  table->attach(uuid_, incarnation, incarnation, durable.load(), durability_);
  tables_.push_back(std::move(table));
  table_.store(tables_.back().get(), std::memory_order_release);
}

void Readers::failed() {
  ReadersTable* table = table_.load(std::memory_order_acquire);
  if (table != nullptr) table->publish_failure();
}

Readers::Pins Readers::pins() {
  ReadersTable* table = table_.load(std::memory_order_relaxed);
  if (table == nullptr) return {};
  Pins pins;
  pins.clock = table->tick();
  pins.oldest = table->oldest_pin();
  return pins;
}

// Both worlds of a reader that comes in between. It published its pin before we looked: we see it,
// and nothing is rewritten. It did so after we looked: then it sees `placing`, and reads no root
// before that is over.
bool Readers::begin_placing() {
  ReadersTable* table = table_.load(std::memory_order_relaxed);
  placing_ = true;
  if (make_way_) place_even_under_readers();
  if (table == nullptr || make_way_) return true;  // a table that is found meanwhile is told (look)
  table->publish_placing(true);
  if (planted(PlantedBug::kReaderPlacedUnder) || table->oldest_pin() == UINT64_MAX)
    return true;  // behind a full fence
  end_placing();
  return false;
}

void Readers::place_even_under_readers() {
  ReadersTable* table = table_.load(std::memory_order_relaxed);
  placing_ = true;
  if (table == nullptr) return;
  table->publish_placing(true);
  for (const ReaderSeen& reader : table->readers()) expire(reader);
}

void Readers::end_placing() {
  ReadersTable* table = table_.load(std::memory_order_relaxed);
  if (placing_ && table != nullptr) table->publish_placing(false);
  placing_ = make_way_ = false;
}

bool Readers::expire_oldest() {
  ReadersTable* table = table_.load(std::memory_order_relaxed);
  if (table == nullptr) return false;
  const uint64_t oldest = table->oldest_pin();
  bool any = false;
  for (const ReaderSeen& reader : table->readers()) {
    if (reader.pin != oldest) continue;
    expire(reader);
    any = true;
  }
  return any;
}

void Readers::expire(const ReaderSeen& reader) {
  ReadersTable* table = table_.load(std::memory_order_relaxed);
  if (table == nullptr) return;
  table->expire(reader.slot, reader.pin);
  expired_.fetch_add(1, std::memory_order_relaxed);
}

std::vector<ReaderSeen> Readers::list() const {
  const ReadersTable* table = table_.load(std::memory_order_acquire);
  return table == nullptr ? std::vector<ReaderSeen>() : table->readers();
}

void Readers::detach() {
  table_.store(nullptr, std::memory_order_release);
  for (const auto& table : tables_) table->unlock_as_writer();
}

}  // namespace holdfast
