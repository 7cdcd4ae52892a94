#include "collector/aws/credentials.h"

#include <utility>

#include <unistd.h>

#include "collector/aws/metadata_credentials.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kProfileFileBytesMax = std::size_t{1} << 20;
// botocore's advisory refresh, the time before expiry from which new keys are asked for.
constexpr auto kRefreshAhead = std::chrono::minutes{15};
// How long to leave a provider alone that failed while the old keys are still good.
constexpr auto kRefreshPause = std::chrono::minutes{1};

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::filesystem::path home_file(const Environment& environment, std::string_view name) {
    const auto home = variable(environment, "HOME");
    if (!home) return {};
    return std::filesystem::path(*home) / ".aws" / name;
}

std::string value_of(const std::map<std::string, std::string>& values, const std::string& key) {
    const auto it = values.find(key);
    return it == values.end() ? std::string() : it->second;
}

}  // namespace

Environment process_environment() {
    Environment out;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::size_t equals = text.find('=');
        if (equals == std::string_view::npos) continue;
        out.insert_or_assign(std::string(text.substr(0, equals)),
                             std::string(text.substr(equals + 1)));
    }
    return out;
}

std::optional<std::string> variable(const Environment& environment, std::string_view name) {
    const auto it = environment.find(name);
    if (it == environment.end() || it->second.empty()) return std::nullopt;
    return it->second;
}

Result<std::map<std::string, std::string>> read_aws_profile(const std::filesystem::path& file,
                                                            std::string_view section) {
    if (file.empty()) return fail(Errc::not_found, "no AWS configuration file: HOME is not set");
    RL_ASSIGN_OR_RETURN(const std::string text, read_file(file, kProfileFileBytesMax));
    std::map<std::string, std::string> values;
    bool found = false;
    bool inside = false;
    for (std::string_view rest = text; !rest.empty();) {
        const std::string_view raw = next_line(rest);
        const std::string_view line = trim(raw);
        if (line.empty() || line.front() == '#' || line.front() == ';') continue;
        if (line.front() == '[') {
            const std::size_t close = line.find(']');
            inside = close != std::string_view::npos && trim(line.substr(1, close - 1)) == section;
            found = found || inside;
            continue;
        }
        // An indented line belongs to a nested setting ("s3 =\n  key = value"), not to us.
        if (!inside || raw.front() == ' ' || raw.front() == '\t') continue;
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        values.insert_or_assign(lower(trim(line.substr(0, equals))),
                                std::string(trim(line.substr(equals + 1))));
    }
    if (!found) {
        return fail(Errc::not_found,
                    file.string() + ": no section [" + printable(section, 128) + "]");
    }
    return values;
}

std::string aws_profile_name(const Environment& environment) {
    return variable(environment, "AWS_PROFILE").value_or("default");
}

std::filesystem::path aws_credentials_file(const Environment& environment) {
    if (auto file = variable(environment, "AWS_SHARED_CREDENTIALS_FILE")) return *file;
    return home_file(environment, "credentials");
}

std::filesystem::path aws_config_file(const Environment& environment) {
    if (auto file = variable(environment, "AWS_CONFIG_FILE")) return *file;
    return home_file(environment, "config");
}

void EnvironmentCredentials::fetch(CredentialsDone done) {
    const auto id = variable(environment_, "AWS_ACCESS_KEY_ID");
    const auto secret = variable(environment_, "AWS_SECRET_ACCESS_KEY");
    if (!id && !secret) {
        done(fail(Errc::not_found, "AWS_ACCESS_KEY_ID is not set"));
    } else if (!id || !secret) {
        done(fail(Errc::invalid_argument,
                  "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together"));
    } else {
        done(AwsCredentials{
            *id, *secret, variable(environment_, "AWS_SESSION_TOKEN").value_or(""), {}});
    }
}

void FileCredentials::fetch(CredentialsDone done) {
    const std::filesystem::path file = aws_credentials_file(environment_);
    const auto values = read_aws_profile(file, aws_profile_name(environment_));
    if (!values) {
        done(fail(values.error()));
        return;
    }
    AwsCredentials credentials{value_of(*values, "aws_access_key_id"),
                               value_of(*values, "aws_secret_access_key"),
                               value_of(*values, "aws_session_token"),
                               {}};
    if (credentials.access_key_id.empty() && credentials.secret_access_key.empty()) {
        done(fail(Errc::not_found, file.string() + ": the profile holds no keys"));
    } else if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
        done(fail(Errc::invalid_argument, file.string() +
                                              ": the profile needs both aws_access_key_id and "
                                              "aws_secret_access_key"));
    } else {
        done(std::move(credentials));
    }
}

// Shared with the callbacks under way, which may outlive the chain.
struct CredentialsChain::State : std::enable_shared_from_this<CredentialsChain::State> {
    State(const Clock& c, std::vector<std::unique_ptr<CredentialsProvider>> l)
        : clock(c), links(std::move(l)) {}

    const Clock& clock;
    std::vector<std::unique_ptr<CredentialsProvider>> links;
    std::optional<AwsCredentials> cached;
    WallTime next_refresh{};
    bool asking = false;
    bool closed = false;
    std::vector<CredentialsDone> waiting;

    bool usable() const {
        return cached && (!cached->expires || clock.wall_now() < *cached->expires);
    }

    bool refresh_due() const {
        return cached && cached->expires && clock.wall_now() >= *cached->expires - kRefreshAhead &&
               clock.wall_now() >= next_refresh;
    }

    void ask(std::size_t link, std::string tried) {
        if (link == links.size()) {
            finish(fail(Errc::not_found, "no AWS credentials:" + tried));
            return;
        }
        links[link]->fetch([self = shared_from_this(), link,
                            tried = std::move(tried)](Result<AwsCredentials> answer) mutable {
            if (self->closed) return;
            if (!answer && answer.error().code == Errc::not_found) {
                self->ask(link + 1, tried + (link == 0 ? " " : "; ") + answer.error().context);
            } else {
                self->finish(std::move(answer));
            }
        });
    }

    void finish(Result<AwsCredentials> answer) {
        asking = false;
        next_refresh = clock.wall_now() + kRefreshPause;
        if (answer) cached = *answer;
        // With keys that are still good, a failed refresh is nobody's business yet.
        if (!answer && usable()) answer = *cached;
        for (CredentialsDone& done : std::exchange(waiting, {}))
            done(answer);
    }
};

CredentialsChain::CredentialsChain(const Clock& clock,
                                   std::vector<std::unique_ptr<CredentialsProvider>> links)
    : state_(std::make_shared<State>(clock, std::move(links))) {}

CredentialsChain::~CredentialsChain() {
    state_->closed = true;
}

void CredentialsChain::fetch(CredentialsDone done) {
    const bool usable = state_->usable();
    if (usable && !state_->refresh_due()) {
        done(*state_->cached);
        return;
    }
    if (usable) {
        done(*state_->cached);
    } else {
        state_->waiting.push_back(std::move(done));
    }
    if (std::exchange(state_->asking, true)) return;
    state_->ask(0, "");
}

void CredentialsChain::invalidate() {
    state_->cached.reset();
    for (auto& link : state_->links)
        link->invalidate();
}

std::unique_ptr<CredentialsProvider> default_credentials_chain(const Environment& environment,
                                                               HttpClient& http,
                                                               const Clock& clock) {
    std::vector<std::unique_ptr<CredentialsProvider>> links;
    links.push_back(std::make_unique<EnvironmentCredentials>(environment));
    links.push_back(std::make_unique<FileCredentials>(environment));
    links.push_back(std::make_unique<ContainerCredentials>(environment, http));
    links.push_back(std::make_unique<InstanceCredentials>(environment, http));
    return std::make_unique<CredentialsChain>(clock, std::move(links));
}

}  // namespace ridgeline::collector
