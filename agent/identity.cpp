#include "agent/identity.h"

#include <cstdlib>
#include <random>
#include <utility>

#include <sys/utsname.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/log/log.h"

namespace ridgeline::agent {

namespace {

bool metadata_turned_off(const AgentConfig& config) {
    const char* disabled = std::getenv("AWS_EC2_METADATA_DISABLED");
    return !config.ec2 || (disabled != nullptr && std::string_view(disabled) == "true");
}

std::string instance_of(const FactsBook& book) {
    const auto id = book.facts().find("host.id");
    return id != book.facts().end() && is_instance_id(id->second) ? id->second : std::string();
}

// The id this machine was known by before; "" when it has none, or is another machine.
std::string kept_id(const std::filesystem::path& directory, std::string_view machine) {
    const auto content = read_file(directory / kHostIdFile, 4096);
    if (!content) return {};
    std::string_view rest = *content;
    if (next_line(rest) != machine) return {};
    const std::string_view id = next_line(rest);
    const bool plain = id.find_first_not_of("0123456789abcdefi-") == std::string_view::npos;
    return plain ? std::string(id) : std::string();
}
void keep_id(const std::filesystem::path& directory, std::string_view machine,
             std::string_view id) {
    std::string text(machine);
    text.append("\n").append(id).append("\n");
    (void)write_file_atomic(directory / kHostIdFile, text, 0640);  // else it is asked for again
}

}  // namespace

std::string read_boot_id(const HostRoot& root) {
    return read_attribute(root, "proc/sys/kernel/random/boot_id").value_or("");
}

Result<Identity> Identity::establish(const AgentConfig& config, const HostRoot& root,
                                     const std::filesystem::path& directory, bool keep,
                                     const Clock& clock) {
    Identity identity;
    identity.boot_id_ = read_boot_id(root);
    const Platform platform = detect_platform(root);
    const auto machine_id = read_machine_id(root);
    // An image, or a clone, has another instance id or hypervisor uuid.
    std::string machine = platform.instance_id;
    if (machine.empty())
        machine = read_attribute(root, "sys/hypervisor/uuid").value_or("") + '/' +
                  machine_id.value_or("");
    if (platform.ec2 && !metadata_turned_off(config)) {
        identity.book_ =
            std::make_shared<FactsBook>(keep ? directory / kHostFactsFile : std::filesystem::path(),
                                        machine, clock, std::random_device{}());
    }
    if (config.host_id != "auto") {
        identity.host_id_ = config.host_id;
        return identity;
    }
    identity.host_id_ = platform.instance_id;
    if (identity.host_id_.empty() && identity.book_) {
        identity.host_id_ = kept_id(directory, machine);
        if (!identity.host_id_.empty()) return identity;
        if (instance_of(*identity.book_).empty())
            (void)identity.book_->take(fetch_ec2_facts(imds_settings_from_environment()));
        identity.host_id_ = instance_of(*identity.book_);
        if (identity.host_id_.empty()) {
            log::warning("this is EC2, but its instance id is not known; the machine id is used",
                         {{"error", identity.book_->error()}});
            identity.host_id_ = machine_id.value_or("");
        }
        if (keep && !identity.host_id_.empty()) keep_id(directory, machine, identity.host_id_);
    }
    if (!identity.host_id_.empty()) return identity;
    if (!machine_id) return fail(machine_id.error());
    identity.host_id_ = *machine_id;
    return identity;
}

wire::TextMap Identity::tags(const AgentConfig& config) const {
    wire::TextMap tags = config.tags;
    if (!book_) return tags;
    // Identity before the instance's own tags, should there be more than can be told.
    for (const bool own_tags : {false, true}) {
        for (const auto& [key, value] : book_->facts()) {
            if (key.starts_with("ec2.tag.") == own_tags && tags.size() < kIdentityTagsMax)
                tags.try_emplace(key, value);
        }
    }
    return tags;
}

wire::TextMap Identity::facts(const AgentConfig& config) const {
    wire::TextMap facts;
    utsname names{};
    if (::uname(&names) == 0) {
        facts["os"] = names.sysname;
        facts["kernel"] = names.release;
        facts["arch"] = names.machine;
        facts["hostname"] = names.nodename;
    }
    facts["batch_ms"] = std::to_string(config.batch.count());
    return facts;
}

}  // namespace ridgeline::agent
