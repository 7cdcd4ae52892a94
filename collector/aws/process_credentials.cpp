#include "collector/aws/process_credentials.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace ridgeline::collector {

Result<std::vector<std::string>> split_command(std::string_view command) {
    std::vector<std::string> words;
    bool in_word = false;
    char quote = '\0';
    const auto word = [&]() -> std::string& {
        if (!std::exchange(in_word, true)) words.emplace_back();
        return words.back();
    };
    for (std::size_t i = 0; i < command.size(); ++i) {
        const char c = command[i];
        const bool more = i + 1 < command.size();
        if (quote == '\'') {
            if (c == quote) {
                quote = '\0';
            } else {
                word() += c;
            }
        } else if (c == '\\' && more) {
            const char next = command[++i];
            // Within double quotes a backslash only covers what would mean something there.
            if (quote == '"' && next != '"' && next != '\\') word() += c;
            word() += next;
        } else if (quote == '"') {
            if (c == quote) {
                quote = '\0';
            } else {
                word() += c;
            }
        } else if (c == '"' || c == '\'') {
            quote = c;
            word();
        } else if (c == ' ' || c == '\t') {
            in_word = false;
        } else {
            word() += c;
        }
    }
    if (quote != '\0') return fail(Errc::invalid_argument, "a quote that does not end");
    if (words.empty() || words.front().empty()) {
        return fail(Errc::invalid_argument, "names no program");
    }
    return words;
}

Result<AwsCredentials> parse_process_credentials(std::string_view json) {
    auto document = nlohmann::json::parse(json, nullptr, false);
    if (!document.is_object()) return fail(Errc::corrupt, "its output is not a JSON object");
    const auto version = document.find("Version");
    if (version == document.end() || !version->is_number_integer() || *version != 1) {
        return fail(Errc::corrupt, "its output is not of Version 1");
    }
    // Taken out of the document, so that no copy is left there.
    const auto text = [&](const char* key) {
        const auto it = document.find(key);
        return it != document.end() && it->is_string()
                   ? std::exchange(it->get_ref<std::string&>(), std::string())
                   : std::string();
    };
    AwsCredentials out{text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken"), {}};
    RL_TRY(check_credentials(out, "its output"));
    if (const std::string expiration = text("Expiration"); !expiration.empty()) {
        RL_ASSIGN_OR_RETURN(out.expires, parse_expiration(expiration));
    }
    return out;
}

void ProcessCredentials::fetch(CredentialsDone done) {
    const auto profiles = AwsProfiles::load(environment_);
    if (!profiles) {
        done(fail(profiles.error()));
        return;
    }
    const std::string name = profile_.empty() ? aws_profile_name(environment_) : profile_;
    const AwsProfile* profile = profiles->find(name);
    const auto command = profile == nullptr ? std::nullopt : profile->value("credential_process");
    if (!command) {
        done(fail(Errc::not_found,
                  "profile " + printable(name, 128) + " has no credential_process"));
        return;
    }
    ProgramRequest request;
    if (auto words = split_command(*command)) {
        request.arguments = std::move(*words);
    } else {
        Error error = std::move(words).error();
        done(
            fail(std::move(error).within("credential_process of profile " + printable(name, 128))));
        return;
    }
    const std::string program = printable(request.arguments.front(), 256);
    // Its arguments may hold secrets: only the program's name is shown.
    const std::string origin = program + ", profile " + printable(name, 128);
    programs_.run(std::move(request), [program, origin,
                                       done = std::move(done)](Result<ProgramOutput> output) {
        if (!output) {
            // A program that is not there is a mistake, not another source's turn.
            Error error = std::move(output).error();
            if (error.code == Errc::not_found) error.code = Errc::invalid_argument;
            done(fail(std::move(error)));
            return;
        }
        if (output->status != 0) {
            done(fail(Errc::unavailable, program + " failed with status " +
                                             std::to_string(output->status) +
                                             (output->err.empty() ? "" : ": " + output->err)));
            return;
        }
        auto credentials = parse_process_credentials(output->out.text());
        if (!credentials) {
            Error error = std::move(credentials).error();
            done(fail(std::move(error).within(program)));
            return;
        }
        credentials->origin = origin;
        done(std::move(credentials));
    });
}

}  // namespace ridgeline::collector
