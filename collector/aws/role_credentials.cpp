#include "collector/aws/role_credentials.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "collector/aws/metadata_credentials.h"
#include "collector/aws/process_credentials.h"
#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kTokenBytesMax = std::size_t{64} << 10;
constexpr std::size_t kRolesMax = 10;  // of a chain; each is a request to STS

std::string in_quotes(std::string_view name) {
    return "\"" + printable(name, 128) + "\"";
}

}  // namespace

struct RoleCredentials::Peers {
    Environment environment;
    HttpClient& http;
    ProgramRunner& programs;
    std::shared_ptr<StsClient> sts;
};

// One way from a profile to its keys. Lives in the callbacks under way.
class RoleCredentials::Resolution : public std::enable_shared_from_this<Resolution> {
  public:
    Resolution(std::shared_ptr<const Peers> peers, AwsProfiles profiles)
        : peers_(std::move(peers)), profiles_(std::move(profiles)) {}

    static bool has_role(const AwsProfile& profile) {
        return profile.value("role_arn") && !profile.value("web_identity_token_file");
    }

    void assume_role_of(const std::string& name, CredentialsDone done) {
        const AwsProfile& profile = *profiles_.find(name);
        visited_.push_back(name);
        if (profile.value("mfa_serial")) {
            return refuse(name, "mfa_serial asks for a code that nobody enters here", done);
        }
        const auto source_profile = profile.value("source_profile");
        const auto source = profile.value("credential_source");
        if (source_profile.has_value() == source.has_value()) {
            return refuse(name, "needs either source_profile or credential_source", done);
        }
        AssumeRole role;
        role.role_arn = *profile.value("role_arn");
        role.session_name = profile.value("role_session_name").value_or("");
        role.external_id = profile.value("external_id").value_or("");
        role.duration_seconds = profile.value("duration_seconds").value_or("");
        if (const auto good = check_assume_role(role); !good) {
            return refuse(name, good.error().context, done);
        }
        auto then = [self = shared_from_this(), role, name,
                     done = std::move(done)](Result<AwsCredentials> keys) {
            self->assume(role, name, std::move(keys), done);
        };
        if (source) {
            from_source(name, *source, std::move(then));
        } else {
            from_profile(name, *source_profile, std::move(then));
        }
    }

  private:
    static void refuse(const std::string& name, const std::string& why,
                       const CredentialsDone& done) {
        done(fail(Errc::invalid_argument, "profile " + in_quotes(name) + ": " + why));
    }

    void assume(const AssumeRole& role, const std::string& name, Result<AwsCredentials> keys,
                const CredentialsDone& done) {
        if (!keys) {
            // What a profile names must be there: it is nobody else's turn.
            Error error = std::move(keys).error();
            if (error.code == Errc::not_found) error.code = Errc::invalid_argument;
            done(fail(std::move(error).within("profile " + in_quotes(name))));
            return;
        }
        const std::string origin =
            printable(role.role_arn, 256) + " by the keys of " + keys->origin;
        peers_->sts->assume_role(
            role, *keys, [origin, name, role, done](Result<AwsCredentials> assumed) {
                if (!assumed) {
                    Error error = std::move(assumed).error();
                    done(fail(std::move(error).within("profile " + in_quotes(name) + ", " +
                                                      printable(role.role_arn, 256))));
                    return;
                }
                assumed->origin = origin;
                done(std::move(assumed));
            });
    }

    void from_source(const std::string& name, const std::string& source, CredentialsDone then) {
        if (source == "Environment") {
            ask(std::make_shared<EnvironmentCredentials>(peers_->environment), std::move(then));
        } else if (source == "EcsContainer") {
            ask(std::make_shared<ContainerCredentials>(peers_->environment, peers_->http),
                std::move(then));
        } else if (source == "Ec2InstanceMetadata") {
            ask(std::make_shared<InstanceCredentials>(peers_->environment, peers_->http),
                std::move(then));
        } else {
            refuse(name,
                   "credential_source must be Environment, EcsContainer or Ec2InstanceMetadata, "
                   "not " +
                       in_quotes(source),
                   then);
        }
    }

    void from_profile(const std::string& name, const std::string& source, CredentialsDone then) {
        const AwsProfile* profile = profiles_.find(source);
        if (profile == nullptr) {
            return refuse(name, "source_profile " + in_quotes(source) + " does not exist", then);
        }
        // A profile may name itself, for static keys that stand beside its role.
        const bool again = std::find(visited_.begin(), visited_.end(), source) != visited_.end();
        if (again && (source != name || !profile->has_static_keys())) {
            return refuse(name, "source_profile " + in_quotes(source) + " leads back here", then);
        }
        if (visited_.size() > kRolesMax) {
            return refuse(name, "more roles one after the other than anybody needs", then);
        }
        if (has_role(*profile) && !profile->has_static_keys()) {
            assume_role_of(source, std::move(then));
            return;
        }
        // botocore's order within a profile.
        const Environment& environment = peers_->environment;
        using File = FileCredentials::File;
        Environment without = environment;
        without.erase("AWS_ROLE_ARN");
        without.erase("AWS_WEB_IDENTITY_TOKEN_FILE");
        without.erase("AWS_ROLE_SESSION_NAME");
        providers_ = {
            std::make_shared<WebIdentityCredentials>(without, peers_->sts, source),
            std::make_shared<FileCredentials>(environment, File::credentials, source),
            std::make_shared<ProcessCredentials>(environment, peers_->programs, source),
            std::make_shared<FileCredentials>(environment, File::config, source),
        };
        ask_next(0, source, std::move(then));
    }

    void ask(const std::shared_ptr<CredentialsProvider>& provider, CredentialsDone then) {
        provider->fetch([provider, then = std::move(then)](Result<AwsCredentials> answer) {
            then(std::move(answer));
        });
    }

    void ask_next(std::size_t number, const std::string& source, CredentialsDone then) {
        if (number == providers_.size()) {
            then(fail(Errc::invalid_argument,
                      "source_profile " + in_quotes(source) + " has no credentials"));
            return;
        }
        ask(providers_[number], [self = shared_from_this(), number, source,
                                 then = std::move(then)](Result<AwsCredentials> answer) {
            if (!answer && answer.error().code == Errc::not_found) {
                self->ask_next(number + 1, source, then);
            } else {
                then(std::move(answer));
            }
        });
    }

    std::shared_ptr<const Peers> peers_;
    AwsProfiles profiles_;
    std::vector<std::string> visited_;
    std::vector<std::shared_ptr<CredentialsProvider>> providers_;
};

RoleCredentials::RoleCredentials(Environment environment, HttpClient& http, ProgramRunner& programs,
                                 std::shared_ptr<StsClient> sts)
    : peers_(std::make_shared<const Peers>(
          Peers{std::move(environment), http, programs, std::move(sts)})) {}

void RoleCredentials::fetch(CredentialsDone done) {
    auto profiles = AwsProfiles::load(peers_->environment);
    if (!profiles) {
        done(fail(profiles.error()));
        return;
    }
    const std::string name = aws_profile_name(peers_->environment);
    const AwsProfile* profile = profiles->find(name);
    if (profile == nullptr && variable(peers_->environment, "AWS_PROFILE")) {
        const auto shown = [](const std::filesystem::path& file) {
            return file.empty() ? std::string("(no HOME)") : file.string();
        };
        done(fail(Errc::invalid_argument, "there is no profile " + in_quotes(name) + " in " +
                                              shown(aws_config_file(peers_->environment)) + " or " +
                                              shown(aws_credentials_file(peers_->environment))));
        return;
    }
    if (profile == nullptr || !Resolution::has_role(*profile)) {
        done(
            fail(Errc::not_found, "profile " + printable(name, 128) +
                                      (profile == nullptr ? " is not there" : " has no role_arn")));
        return;
    }
    std::make_shared<Resolution>(peers_, std::move(*profiles))
        ->assume_role_of(name, std::move(done));
}

void WebIdentityCredentials::fetch(CredentialsDone done) {
    const auto profiles = AwsProfiles::load(environment_);
    if (!profiles) {
        done(fail(profiles.error()));
        return;
    }
    const std::string name = profile_.empty() ? aws_profile_name(environment_) : profile_;
    const AwsProfile* profile = profiles->find(name);
    const auto setting = [&](const char* of_environment, const char* of_profile) {
        auto value = variable(environment_, of_environment);
        if (!value && profile != nullptr) value = profile->value(of_profile);
        return value;
    };
    const auto file = setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
    if (!file) {
        done(fail(Errc::not_found, "AWS_WEB_IDENTITY_TOKEN_FILE is not set"));
        return;
    }
    AssumeRole role;
    role.role_arn = setting("AWS_ROLE_ARN", "role_arn").value_or("");
    role.session_name = setting("AWS_ROLE_SESSION_NAME", "role_session_name").value_or("");
    if (role.role_arn.empty()) {
        done(fail(Errc::invalid_argument, "a web identity's token needs AWS_ROLE_ARN beside it"));
        return;
    }
    auto token = read_regular_file(*file, kTokenBytesMax);
    if (!token) {
        // It was named, so that it is not there is an error.
        Error error = std::move(token).error();
        if (error.code == Errc::not_found) error.code = Errc::invalid_argument;
        done(fail(std::move(error)));
        return;
    }
    role.web_identity_token = std::string(trim(*token));
    wipe(*token);
    if (role.web_identity_token.empty()) {
        done(fail(Errc::invalid_argument, *file + " is empty"));
        return;
    }
    const std::string origin = printable(role.role_arn, 256) + " by the token in " + *file;
    sts_->assume_role(role, std::nullopt,
                      [origin, done = std::move(done)](Result<AwsCredentials> assumed) {
                          if (assumed) assumed->origin = origin;
                          done(std::move(assumed));
                      });
}

}  // namespace ridgeline::collector
