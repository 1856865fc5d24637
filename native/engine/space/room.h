// Who may take how much of the pool, and the segments kept ready for the log.
//
// Users leave what the next fold and a round of cleaning need, deletions less, the cleaner only the
// fold's part: so a full pool can always be tidied up, and deleting makes room. What is left is
// counted in bytes that are there already (MediumSpace::ready), so that this holds on a full disk
// too.
//
// Under the append lock unless said otherwise. A crash leaves segments that nothing refers to: they
// are free at the next open.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/pool.h"
#include "engine/space/pace.h"
#include "engine/state/health.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"
#include "log/record_buffer.h"

namespace holdfast {

enum class Purpose { kUser, kDelete, kCleaner };
bool only_deletes(const RecordBuffer& record);  // keys or regions

class Room {
 public:
  Room(Medium& medium, const Health& health, const std::string& name, const PoolOptions& options,
       const IndexState& index, LogState& log, Pace& pace);

  uint64_t log_segment_bytes() const;
  uint64_t wanted_segment_bytes() const;
  uint64_t zeroed_at_once() const;
  uint64_t fold_reserve(bool merged = false) const;
  uint64_t cleaner_reserve() const;
  // What a file must have, blocks taken, so that a deletion goes through on a full disk.
  uint64_t deletion_reserve() const;
  uint64_t round_bytes() const;
  uint64_t reserve_bytes() const;
  uint64_t enough_free() const;  // beside what users leave: no cleaning, no pace
  uint64_t spare_bytes() const;
  uint64_t ready_with_spares() const;  // free bytes that no full disk can refuse
  Status make_ready(uint64_t needed, const std::string& what);  // for a message: needed `what`
  // Bytes of segments that a record can need: it leaves up to its longest operation unused at the
  // end of each.
  uint64_t space_for(const RecordBuffer& record) const;

  // For a record.
  uint64_t head_room(Purpose purpose);
  // Into which at least `room` bytes of operations will fit.
  Status take_log_segment(Purpose purpose, uint64_t room, std::vector<Segment>* fresh);
  Status make_room(const RecordBuffer& record, Purpose purpose, std::vector<Segment>* fresh,
                   bool* whole);
  void stow(const std::vector<Segment>& fresh, size_t from);
  Segment cut(const Segment& piece, uint64_t bytes);
  bool has_spare() const { return !spares_.empty(); }
  bool spare_is_due() const {
    return log_.writer.room() < log_.writer.head().bytes / 2 && spares_.empty();
  }
  void release_spares();
  void set_pace();

  // What the next fold and the round of cleaning under way will take.
  void note_key(uint64_t bytes) { active_key_bytes_ += bytes; }  // new in the active overlay
  void freeze_keys() { frozen_key_bytes_ = std::exchange(active_key_bytes_, 0); }
  void forget_frozen_keys() { frozen_key_bytes_ = 0; }
  // By the cleaner; it comes back with the next fold.
  void note_carried(uint64_t bytes) { round_carried_ += bytes; }
  void forget_carried() { round_carried_ = 0; }
  bool desperate() const { return desperate_; }  // under the maintenance lock too

  // ── not under the append lock
  Status make_ready_beside_reserve(uint64_t bytes, const std::string& what);
  void prepare_spare(uint64_t soon = 0);  // so many bytes will be committed before the next look
  void take_spare_ahead(uint64_t bytes, uint64_t want = 0);
  void trim_spares();  // to what is usual
  bool spare_on_its_way() const { return spare_on_its_way_.load(); }
  void give_back_spares();
  uint64_t free_now();                       // growth included
  uint64_t bytes_short_of(uint64_t wanted);  // of so many bytes that no full disk can refuse
  Status fits_at_all(uint64_t bytes) const;
  void set_desperate(bool desperate);

 private:
  std::optional<Segment> take_spare(uint64_t room, uint64_t most);
  bool goes_on_in_head(const RecordBuffer& record, uint64_t head) const;
  Status take_from_disk(uint64_t needed, uint64_t spares, const std::string& what);

  Medium& medium_;
  const Health& health_;
  const std::string& name_;
  const IndexState& index_;
  LogState& log_;
  Pace& pace_;
  const uint64_t given_segment_bytes_;  // 0: as large as is found right
  const bool paced_;
  const bool fence_at_once_;

  std::vector<Segment> spares_;  // log segments ready for use
  // Not in the medium any more and not yet among them; cleared under the append lock.
  std::atomic<bool> spare_on_its_way_{false};
  bool head_is_cleaners_ = false;  // the log's head was taken from what is kept for the cleaner
  bool desperate_ = false;         // the cleaner leaves less than folds usually need
  uint64_t active_key_bytes_ = 0, frozen_key_bytes_ = 0;  // of the overlays' keys
  uint64_t round_carried_ = 0;
  uint64_t longest_ = 0;  // operation of the records of late that began a segment
};

}  // namespace holdfast
