// Who this host is: its id, and its tags from the configuration and, on EC2, from the instance
// metadata service. Loop thread; the question itself (ask_ec2) runs on a worker.
#pragma once

#include <memory>
#include <string>

#include "agent/config.h"
#include "agent/facts/facts_book.h"
#include "agent/facts/imds.h"
#include "agent/facts/platform.h"
#include "agent/source/host_root.h"
#include "common/base/clock.h"
#include "common/wire/messages.h"

namespace ridgeline::agent {

// Beside the spool's segments.
inline constexpr const char* kHostFactsFile = "host_facts";
inline constexpr const char* kHostIdFile = "host_id";

// What Hello can carry (common/wire).
inline constexpr std::size_t kIdentityTagsMax = 64;

// Of the running kernel; "" when it is not known.
std::string read_boot_id(const HostRoot& root);

class Identity {
  public:
    // The host id is the configured literal, or for "auto" the EC2 instance id, else the machine
    // id. Off EC2 no network is touched; on EC2 neither, but for Xen instances, whose firmware does
    // not tell their id: those are asked once, for at most a second an address. What was found then
    // is kept in `directory` and stays, or one host would be two when the service comes late. With
    // `keep` false nothing is written there.
    static Result<Identity> establish(const AgentConfig& config, const HostRoot& root,
                                      const std::filesystem::path& directory, bool keep,
                                      const Clock& clock);

    const std::string& host_id() const { return host_id_; }
    // The configured ones over those of the metadata service.
    wire::TextMap tags(const AgentConfig& config) const;
    wire::TextMap facts(const AgentConfig& config) const;  // kernel, architecture, name …
    const std::string& boot_id() const { return boot_id_; }

    bool ec2_due() const { return book_ && book_->due(); }
    // True when tags() has changed.
    bool take(const Result<Facts>& answer) { return book_->take(answer); }
    std::string ec2_error() const { return book_ ? book_->error() : std::string(); }

  private:
    std::string host_id_;
    std::string boot_id_;
    std::shared_ptr<FactsBook> book_;  // on EC2, unless turned off
};

}  // namespace ridgeline::agent
