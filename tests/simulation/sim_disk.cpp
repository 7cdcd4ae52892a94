#include "tests/simulation/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ridgeline::sim {

namespace {

constexpr std::size_t kPageBytes = 512;  // small, so that small records span several

}  // namespace

const char* to_string(Refusal refusal) {
    switch (refusal) {
        case Refusal::none:
            return "works";
        case Refusal::full:
            return "is full";
        case Refusal::failing:
            return "fails";
        case Refusal::read_only:
            return "is read-only";
    }
    return "";
}

class SimDisk::Append final : public AppendFile {
  public:
    Append(SimDisk& disk, FilePtr file, std::string name)
        : disk_(&disk), file_(std::move(file)), name_(std::move(name)) {}

    Result<void> append(std::span<const std::byte> bytes) override {
        const bool dies = disk_->dies_here();
        std::size_t fits = bytes.size();
        const bool refuses = !disk_->works() && disk_->refusal_ != Refusal::none;
        if (dies || refuses)
            fits = static_cast<std::size_t>(
                disk_->world_->between(0, static_cast<Millis>(bytes.size())));
        if (refuses && disk_->refusal_ == Refusal::read_only) fits = 0;
        if (fits > 0) {
            Change change{false,
                          false,
                          file_->cached.size(),
                          {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(fits)}};
            apply(change, file_->cached);
            file_->unsynced.push_back(std::move(change));
        }
        if (dies) disk_->die("append to " + name_);
        if (!refuses) return {};
        return disk_->refused(name_, disk_->refusal_ == Refusal::full        ? ENOSPC
                                     : disk_->refusal_ == Refusal::read_only ? EROFS
                                                                             : EIO);
    }

    Result<void> sync() override {
        const bool dies = disk_->dies_here();
        if (dies && disk_->world_->chance(50)) disk_->die("sync of " + name_);
        if (!disk_->works() && (disk_->fail_syncs_ || disk_->refusal_ == Refusal::failing)) {
            if (disk_->failed_syncs_lose_) lose_dirty_pages();
            return disk_->refused(name_ + " (fsync)", EIO);
        }
        for (const Change& change : file_->unsynced)
            apply(change, file_->platter);
        file_->unsynced.clear();
        if (disk_->sync_covers_names_) disk_->sync_names();
        if (dies) disk_->die("sync of " + name_ + ", done");
        return {};
    }

    Result<void> truncate_to(std::uint64_t size) override {
        const bool dies = disk_->dies_here();
        if (dies && disk_->world_->chance(50)) disk_->die("truncation of " + name_);
        if (!disk_->works() &&
            (disk_->refusal_ == Refusal::failing || disk_->refusal_ == Refusal::read_only)) {
            return disk_->refused(name_, disk_->refusal_ == Refusal::failing ? EIO : EROFS);
        }
        Change change{true, false, size, {}};
        apply(change, file_->cached);
        file_->unsynced.push_back(std::move(change));
        if (dies) disk_->die("truncation of " + name_ + ", done");
        return {};
    }

    Result<void> write_again(std::uint64_t from) override {
        const bool dies = disk_->dies_here();
        if (dies && disk_->world_->chance(50)) disk_->die("rewriting of " + name_);
        if (!disk_->works() &&
            (disk_->refusal_ == Refusal::failing || disk_->refusal_ == Refusal::read_only)) {
            return disk_->refused(name_, disk_->refusal_ == Refusal::failing ? EIO : EROFS);
        }
        if (from < file_->cached.size()) {
            const auto begin = file_->cached.begin() + static_cast<std::ptrdiff_t>(from);
            file_->unsynced.push_back({false, true, from, {begin, file_->cached.end()}});
        }
        if (dies) disk_->die("rewriting of " + name_ + ", done");
        return {};
    }

    std::uint64_t size_bytes() const override { return file_->cached.size(); }

  private:
    // What fsyncgate taught: after a failed fsync the pages count as clean, written or not, and the
    // next fsync succeeds without them.
    void lose_dirty_pages() {
        disk_->lost_pages_ = true;
        for (Change& change : file_->unsynced) {
            const bool lost = !change.truncates && disk_->world_->chance(50);
            if (lost && change.in_place) continue;  // as it was
            if (lost) std::fill(change.bytes.begin(), change.bytes.end(), std::byte{0});
            apply(change, file_->platter);
            if (lost && disk_->failed_sync_drops_) apply(change, file_->cached);
        }
        file_->unsynced.clear();
        file_->platter.resize(file_->cached.size());
    }

    SimDisk* disk_;
    FilePtr file_;
    std::string name_;
};

class SimDisk::Read final : public ReadFile {
  public:
    Read(SimDisk& disk, FilePtr file) : disk_(&disk), file_(std::move(file)) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> bytes) override {
        if (disk_->fail_reads_ && !disk_->works()) {
            ++disk_->unreadable_;
            return fail(errno_error("read", EIO));
        }
        if (offset >= file_->cached.size()) return std::size_t{0};
        const std::size_t n = std::min<std::size_t>(bytes.size(), file_->cached.size() - offset);
        std::copy_n(file_->cached.begin() + static_cast<std::ptrdiff_t>(offset), n, bytes.begin());
        return n;
    }

  private:
    SimDisk* disk_;
    FilePtr file_;
};

SimDisk::SimDisk(World& world, std::string owner)
    : world_(&world),
      owner_(std::move(owner)),
      sync_covers_names_(world.chance(50)),
      names_keep_order_(world.chance(50)),
      failed_sync_drops_(world.chance(30)) {}

void SimDisk::apply(const Change& change, Bytes& bytes) {
    if (change.truncates) {
        bytes.resize(change.offset);
        return;
    }
    bytes.resize(std::max<std::size_t>(bytes.size(), change.offset + change.bytes.size()));
    std::copy(change.bytes.begin(), change.bytes.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(change.offset));
}

void SimDisk::apply(const Renaming& renaming, Names& names) {
    if (!renaming.from.empty()) names.erase(renaming.from);
    if (renaming.file) {
        names[renaming.name] = renaming.file;
    } else {
        names.erase(renaming.name);
    }
}

bool SimDisk::dies_here() {
    if (works()) return false;
    if (!changes_left_) return false;
    if (*changes_left_ > 0) {
        --*changes_left_;
        return false;
    }
    return true;
}

void SimDisk::die(std::string_view doing) {
    disarm();
    world_->say(owner_, armed_power_ ? "POWER CUT at " : "KILLED at ", doing);
    throw Killed{armed_power_};
}

Result<void> SimDisk::refused(std::string_view what, int error) {
    ++refusals_;
    return fail(errno_error(what, error));
}

void SimDisk::sync_names() {
    for (const Renaming& renaming : unsynced_names_)
        apply(renaming, platter_names_);
    unsynced_names_.clear();
}

void SimDisk::lose_power(File& file) {
    const auto kept =
        static_cast<std::size_t>(world_->between(0, static_cast<Millis>(file.unsynced.size())));
    for (std::size_t i = 0; i < kept; ++i) {
        Change& change = file.unsynced[i];
        if (!change.truncates && i + 1 == kept && world_->chance(50)) {  // torn
            change.bytes.resize(static_cast<std::size_t>(
                world_->between(0, static_cast<Millis>(change.bytes.size()))));
        }
        apply(change, file.platter);
        if (change.truncates || change.in_place || !world_->chance(10)) continue;
        // A page that was not written yet, although the size of the file was.
        const std::size_t page = change.offset / kPageBytes * kPageBytes;
        const std::size_t from = std::max<std::size_t>(page, change.offset);
        const std::size_t to = std::min<std::size_t>(page + kPageBytes, file.platter.size());
        for (std::size_t at = from; at < to; ++at)
            file.platter[at] = std::byte{0};
    }
    file.unsynced.clear();
    file.cached = file.platter;
}

void SimDisk::cut_power() {
    std::size_t kept =
        static_cast<std::size_t>(world_->between(0, static_cast<Millis>(unsynced_names_.size())));
    std::map<std::string, bool> stuck;  // a later change of a name cannot survive an earlier one
    for (const Renaming& renaming : unsynced_names_) {
        bool survives = names_keep_order_ ? kept > 0 : world_->chance(50);
        if (kept > 0) --kept;
        if (stuck[renaming.name] || (!renaming.from.empty() && stuck[renaming.from]))
            survives = false;
        if (survives) {
            apply(renaming, platter_names_);
        } else {
            stuck[renaming.name] = true;
            if (!renaming.from.empty()) stuck[renaming.from] = true;
        }
    }
    unsynced_names_.clear();
    names_ = platter_names_;
    for (auto& [name, file] : names_)
        lose_power(*file);
}

Result<std::vector<std::string>> SimDisk::list() {
    if (fail_reads_ && !works()) return fail(errno_error("list", EIO));
    std::vector<std::string> names;
    for (const auto& [name, file] : names_)
        names.push_back(name);
    return names;
}

Result<std::unique_ptr<AppendFile>> SimDisk::open_append(std::string_view name) {
    const std::string key(name);
    const auto it = names_.find(key);
    if (!works() && refusal_ == Refusal::read_only) {
        RL_TRY(refused(name, EROFS));
    }
    if (it != names_.end())
        return std::unique_ptr<AppendFile>(std::make_unique<Append>(*this, it->second, key));
    const bool dies = dies_here();
    if (dies && world_->chance(50)) die("creation of " + key);
    if (!works() &&
        (refusal_ == Refusal::failing || (refusal_ == Refusal::full && world_->chance(50)))) {
        RL_TRY(refused(name, refusal_ == Refusal::full ? ENOSPC : EIO));
    }
    const auto file = std::make_shared<File>();
    names_[key] = file;
    unsynced_names_.push_back({key, file, {}});
    if (dies) die("creation of " + key + ", done");
    return std::unique_ptr<AppendFile>(std::make_unique<Append>(*this, file, key));
}

Result<std::unique_ptr<ReadFile>> SimDisk::open_read(std::string_view name) {
    const auto it = names_.find(std::string(name));
    if (it == names_.end()) return fail(errno_error(name, ENOENT));
    return std::unique_ptr<ReadFile>(std::make_unique<Read>(*this, it->second));
}

Result<void> SimDisk::remove(std::string_view name) {
    const std::string key(name);
    const bool dies = dies_here();
    if (dies && world_->chance(50)) die("removal of " + key);
    if (!works() && (refusal_ == Refusal::failing || refusal_ == Refusal::read_only)) {
        return refused(name, refusal_ == Refusal::failing ? EIO : EROFS);
    }
    if (names_.erase(key) > 0) unsynced_names_.push_back({key, nullptr, {}});
    if (dies) die("removal of " + key + ", done");
    return {};
}

Result<void> SimDisk::rename(std::string_view from, std::string_view to) {
    const std::string key(to);
    const bool dies = dies_here();
    if (dies && world_->chance(50)) die("renaming to " + key);
    if (!works() && (refusal_ == Refusal::failing || refusal_ == Refusal::read_only))
        return refused(to, refusal_ == Refusal::failing ? EIO : EROFS);
    const auto old = names_.find(std::string(from));
    if (old == names_.end()) return fail(errno_error(from, ENOENT));
    unsynced_names_.push_back({key, old->second, std::string(from)});
    apply(unsynced_names_.back(), names_);
    if (dies) die("renaming to " + key + ", done");
    return {};
}

Result<void> SimDisk::sync_directory() {
    const bool dies = dies_here();
    if (dies && world_->chance(50)) die("sync of the directory");
    if (!works() && (fail_syncs_ || refusal_ == Refusal::failing))
        return refused("directory (fsync)", EIO);
    sync_names();
    if (dies) die("sync of the directory, done");
    return {};
}

}  // namespace ridgeline::sim
