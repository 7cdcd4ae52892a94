// A disk behind a page cache. What was written is read back at once, but is on the platter only
// after a sync; a power cut keeps, of what was not, any prefix of each file's changes, its last one
// torn and pages of it zero. Names are a matter of their own: a file created or removed may be as
// before, unless the directory was synced (or, as on ext4, the file itself).
//
// Also full, failing and read-only by spells, and the place where processes die: see arm().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/segment/storage.h"
#include "tests/simulation/world.h"

namespace ridgeline::sim {

enum class Refusal : std::uint8_t { none, full, failing, read_only };
const char* to_string(Refusal refusal);

class SimDisk final : public Storage {
  public:
    using Bytes = std::vector<std::byte>;

    SimDisk(World& world, std::string owner);

    void refuse(Refusal refusal) { refusal_ = refusal; }
    void fail_syncs(bool fail) { fail_syncs_ = fail; }
    void fail_reads(bool fail) { fail_reads_ = fail; }
    void heal() {
        refuse(Refusal::none);
        fail_syncs(false);
        fail_reads(false);
        disarm();
    }
    // The process dies at the change (or sync) after this many further ones: before it, in the
    // middle of it, or right after it.
    void arm(std::uint64_t changes, bool power) {
        changes_left_ = changes;
        armed_power_ = power;
    }
    void disarm() { changes_left_.reset(); }
    bool armed() const { return changes_left_.has_value(); }
    void cut_power();

    // A failed fsync loses pages, but not while the process that wrote them is gone: that the next
    // one, opening the file, gets an error and then none, is more than any user of fsync can stand.
    void sync_failures_lose_pages(bool lose) { failed_syncs_lose_ = lose; }
    bool drops_pages() const { return failed_sync_drops_; }

    bool lost_pages() const { return lost_pages_; }

    // Refused changes and syncs so far.
    std::uint64_t refusals() const { return refusals_; }
    std::uint64_t unreadable() const { return unreadable_; }  // refused reads

    // While it lives, the disk works: for the harness's own reading.
    class Truce {
      public:
        explicit Truce(SimDisk& disk) : disk_(disk) { ++disk_.truces_; }
        ~Truce() { --disk_.truces_; }
        Truce(const Truce&) = delete;
        Truce& operator=(const Truce&) = delete;

      private:
        SimDisk& disk_;
    };

    // Storage
    Result<std::vector<std::string>> list() override;
    Result<std::unique_ptr<AppendFile>> open_append(std::string_view name) override;
    Result<std::unique_ptr<ReadFile>> open_read(std::string_view name) override;
    Result<void> remove(std::string_view name) override;
    Result<void> rename(std::string_view from, std::string_view to) override;
    Result<void> sync_directory() override;
    void reserve(std::string_view, std::uint64_t) override {}

  private:
    struct Change {
        bool truncates = false;
        bool in_place = false;     // the same bytes again
        std::uint64_t offset = 0;  // or the size to cut to
        Bytes bytes;
    };
    struct File {
        Bytes cached;
        Bytes platter;
        std::vector<Change> unsynced;
    };
    using FilePtr = std::shared_ptr<File>;
    struct Renaming {
        std::string name;
        FilePtr file;      // null: removed
        std::string from;  // renamed: the name it had
    };
    using Names = std::map<std::string, FilePtr>;
    class Append;
    class Read;

    static void apply(const Change& change, Bytes& bytes);
    static void apply(const Renaming& renaming, Names& names);
    // One change is about to be made: true when the process dies somewhere about it.
    bool dies_here();
    [[noreturn]] void die(std::string_view doing);
    bool works() const { return truces_ > 0; }
    Result<void> refused(std::string_view what, int error);
    void sync_names();
    void lose_power(File& file);

    World* world_;
    std::string owner_;
    bool sync_covers_names_;  // of all files: a journal is written as a whole, as by ext4
    bool names_keep_order_;   // a journal: what was renamed first is durable first
    bool failed_sync_drops_;  // the pages of the cache, too
    Names names_;
    Names platter_names_;
    std::vector<Renaming> unsynced_names_;
    Refusal refusal_ = Refusal::none;
    bool fail_syncs_ = false;
    bool fail_reads_ = false;
    std::optional<std::uint64_t> changes_left_;
    bool armed_power_ = false;
    int truces_ = 0;
    std::uint64_t refusals_ = 0;
    std::uint64_t unreadable_ = 0;
    bool failed_syncs_lose_ = true;
    bool lost_pages_ = false;
};

}  // namespace ridgeline::sim
