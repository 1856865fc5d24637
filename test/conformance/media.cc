#include "conformance/media.h"

#include "medium/simulated_medium.h"
#include "native/scratch.h"

namespace holdfast::test {
namespace {

class PathPlace : public MediumPlace {
 public:
  PathPlace(const char* name, Scratch scratch, MediumChoice choice, uint64_t usual_size)
      : name_(name), scratch_(std::move(scratch)), choice_(choice), usual_size_(usual_size) {}
  const char* name() const override { return name_; }
  uint64_t usual_size() const override { return usual_size_; }
  Result<OpenedMedium> open(uint64_t size) override {
    return open_with(CreateMode::kIfMissing, size ? size : usual_size_);
  }
  Result<OpenedMedium> open_with(CreateMode mode, uint64_t size) override {
    MediumOptions options;
    options.choice = choice_;
    options.create = mode;
    options.size = size;
    return open_medium(scratch_.path("pool.holdfast"), options);
  }

 private:
  const char* const name_;
  const Scratch scratch_;
  const MediumChoice choice_;
  const uint64_t usual_size_;
};

class SimulatedPlace : public MediumPlace {
 public:
  explicit SimulatedPlace(const SimulatedOptions& options) : options_(options) {}
  const char* name() const override {
    return options_.barrier_is_per_thread ? "simulated lines" : "simulated sectors";
  }
  uint64_t usual_size() const override { return options_.capacity; }
  bool has_path() const override { return false; }
  Result<OpenedMedium> open(uint64_t size) override {
    if (size) options_.capacity = size;
    if (!disk_) disk_ = SimulatedDisk::create(options_, 1 + seed_++);
    return disk_->open();
  }
  Result<OpenedMedium> open_with(CreateMode, uint64_t size) override { return open(size); }

 private:
  static inline uint64_t seed_ = 0;
  SimulatedOptions options_;
  std::shared_ptr<SimulatedDisk> disk_;
};

}  // namespace

const std::vector<MakePlace>& all_media() {
  static const std::vector<MakePlace> media = {
      +[]() -> std::unique_ptr<MediumPlace> {
        return std::make_unique<PathPlace>("file", Scratch::on_disk(), MediumChoice::kFile,
                                           32 * kMiB);
      },
      +[]() -> std::unique_ptr<MediumPlace> {
        SimulatedOptions options;
        options.capacity = 32 * kMiB;
        return std::make_unique<SimulatedPlace>(options);
      },
      +[]() -> std::unique_ptr<MediumPlace> {
        SimulatedOptions options;
        options.capacity = 32 * kMiB;
        options.atom_bytes = 64;
        options.barrier_is_per_thread = true;
        return std::make_unique<SimulatedPlace>(options);
      },
#ifdef HOLDFAST_WITH_PMEM
      // main.cc has seen to PMEM_IS_PMEM_FORCE=1.
      +[]() -> std::unique_ptr<MediumPlace> {
        return std::make_unique<PathPlace>("pmem", Scratch::in_memory(), MediumChoice::kPmem,
                                           64 * kMiB);
      },
#endif
  };
  return media;
}

}  // namespace holdfast::test
