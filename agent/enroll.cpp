#include "agent/enroll.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include <sys/stat.h>
#include <unistd.h>

#include "agent/identity.h"
#include "agent/pipeline/collector_socket.h"
#include "agent/source/host_root.h"
#include "common/base/file.h"
#include "common/base/json_writer.h"
#include "common/base/text.h"
#include "common/net/curve_keys.h"
#include "common/net/enroll_token.h"
#include "common/net/uv.h"
#include "common/wire/messages.h"

namespace ridgeline::agent {

namespace {

constexpr std::chrono::seconds kAnswerTimeout{15};  // the attempt to connect included
constexpr const char* kDropInName = "50-enrolled.toml";

// One question on a connection of its own.
class Question {
  public:
    Question(net::ZmqContext& context, std::string endpoint)
        : context_(context), endpoint_(std::move(endpoint)) {}

    Result<wire::Message> ask(const std::string& server_key, const net::KeyPair& keys,
                              const wire::Message& message) {
        RL_ASSIGN_OR_RETURN(CollectorSocket opened,
                            open_collector_socket(context_, endpoint_, server_key, keys));
        net::Loop loop;
        net::Timer timeout(loop,
                           [&] { end(loop, fail(Errc::unavailable, "no answer within 15 s")); });
        const net::ZmqWatcher answers(loop, opened.socket, [&] { on_answer(loop, opened.socket); });
        const net::ZmqWatcher events(loop, opened.monitor.socket(), [&] {
            const auto event = opened.monitor.next();
            if (!event || !*event) return;
            if ((*event)->id != ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
                const bool denied = (*event)->id == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
                const Errc code = denied ? Errc::permission : Errc::unavailable;
                return end(loop, fail(code, why_it_ended(**event)));
            }
            const auto sent = opened.socket.send(wire::encode(message));
            if (!sent || !*sent) end(loop, fail(Errc::io, "the question could not be sent"));
        });
        timeout.start(kAnswerTimeout);
        loop.run();
        if (!outcome_) return fail(Errc::io, "interrupted");
        if (!*outcome_) return fail(std::move(*outcome_).error().within(endpoint_));
        return std::move(*outcome_);
    }

  private:
    void on_answer(net::Loop& loop, net::ZmqSocket& socket) {
        const auto frames = socket.receive(1);
        if (!frames || frames->size() != 1) return;
        auto message = wire::decode(frames->front().bytes(), wire::Limits{});
        if (message) end(loop, std::move(message));  // what is newer than this agent is no answer
    }
    void end(net::Loop& loop, Result<wire::Message> outcome) {
        if (!outcome_) outcome_.emplace(std::move(outcome));
        loop.stop();
    }

    net::ZmqContext& context_;
    std::string endpoint_;
    std::optional<Result<wire::Message>> outcome_;
};

template <class Answer>
Result<Answer> ask(net::ZmqContext& context, const std::string& endpoint,
                   const std::string& server_key, const net::KeyPair& keys,
                   const wire::Message& message) {
    RL_ASSIGN_OR_RETURN(wire::Message answer,
                        Question(context, endpoint).ask(server_key, keys, message));
    auto* expected = std::get_if<Answer>(&answer);
    if (expected == nullptr)
        return fail(Errc::corrupt, endpoint + ": the collector answered something else");
    return std::move(*expected);
}

// Run by root, what the service must read or replace belongs to whoever owns the directory.
void give_to_owner_of_directory(const std::filesystem::path& file) {
    struct stat info {};
    if (::geteuid() != 0 || ::stat(file.parent_path().c_str(), &info) != 0) return;
    if (info.st_uid == 0) return;
    // Best effort: the service says which file it cannot read.
    (void)!::chown(file.c_str(), info.st_uid, info.st_gid);
}

// A TOML basic string; JSON's escapes are among TOML's. Control characters never get here.
std::string toml_string(std::string_view text) {
    JsonWriter json;
    json.value(text);
    return json.text();
}

Result<std::string> drop_in(const std::vector<std::string>& endpoints, const wire::TextMap& tags) {
    std::string out =
        "# Written by ridgeline-agent enroll; written again when the host is enrolled again.\n"
        "[collector]\nendpoints = [";
    for (std::size_t i = 0; i < endpoints.size(); ++i)
        out += (i == 0 ? "" : ", ") + toml_string(endpoints[i]);
    out += "]\n";
    if (tags.empty()) return out;
    out += "\n[agent.tags]\n";
    for (const auto& [key, value] : tags) {
        const auto is_control = [](char c) {
            return static_cast<unsigned char>(c) < ' ' || c == 127;
        };
        if (std::any_of(key.begin(), key.end(), is_control) ||
            std::any_of(value.begin(), value.end(), is_control))
            return fail(Errc::corrupt, "the collector gave a tag that is no plain text");
        out += toml_string(key) + " = " + toml_string(value) + "\n";
    }
    return out;
}

std::filesystem::path drop_in_directory(std::filesystem::path config_file) {
    if (config_file.extension() == ".toml") config_file.replace_extension();
    config_file += ".d";
    return config_file;
}

Result<std::vector<std::filesystem::path>> write_files(const net::EnrollToken& token,
                                                       const wire::TextMap& tags,
                                                       const AgentConfig& config,
                                                       const std::filesystem::path& config_file) {
    RL_ASSIGN_OR_RETURN(const std::string text, drop_in(token.endpoints, tags));
    RL_TRY(net::save_public_key_file(config.server_key_file, token.server_public_z85));
    const auto directory = drop_in_directory(config_file);
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return fail(Errc::io, directory.string() + ": " + error.message());
    const auto file = directory / kDropInName;
    RL_TRY(write_file_atomic(file, text, 0644));
    return std::vector{config.server_key_file, file};
}

}  // namespace

Result<Enrolled> enroll(std::string_view token_line, const AgentConfig& config,
                        const std::filesystem::path& config_file) {
    RL_ASSIGN_OR_RETURN(const net::EnrollToken token, net::parse_token(token_line));
    RL_ASSIGN_OR_RETURN(const HostRoot root, HostRoot::open(config.root));
    const SystemClock clock;
    RL_ASSIGN_OR_RETURN(const Identity identity,
                        Identity::establish(config, root, config.spool_path, false, clock));
    RL_ASSIGN_OR_RETURN(const net::LoadedKeys loaded,
                        net::load_or_create_key_file(config.key_file));
    if (loaded.created) give_to_owner_of_directory(config.key_file);

    const wire::Enroll request{identity.host_id(), loaded.keys.public_z85, RIDGELINE_VERSION};
    net::ZmqContext context(1, 8);
    std::string trouble;
    for (const std::string& endpoint : token.endpoints) {
        const auto reply =
            ask<wire::EnrollReply>(context, endpoint, token.server_public_z85, token.keys, request);
        if (!reply) {
            if (!trouble.empty()) trouble += '\n';
            // It is the token that was denied, not this host's key.
            trouble +=
                reply.error().code == Errc::permission
                    ? endpoint + ": the collector does not know this token; it may have expired"
                    : reply.error().context;
            continue;
        }
        if (reply->result != wire::EnrollResult::enrolled)
            return fail(Errc::permission, endpoint + ": " + printable(reply->detail, 500));
        Enrolled enrolled{identity.host_id(), endpoint, {}};
        RL_ASSIGN_OR_RETURN(enrolled.written, write_files(token, reply->tags, config, config_file));
        if (loaded.created) enrolled.written.push_back(config.key_file);
        return enrolled;
    }
    return fail(Errc::unavailable, trouble);
}

Result<std::string> change_key(const AgentConfig& config) {
    if (config.endpoints.empty())
        return fail(Errc::invalid_argument, "no collector is configured; enrol this host first");
    RL_ASSIGN_OR_RETURN(const net::KeyPair old, net::load_secret_key_file(config.key_file));
    RL_ASSIGN_OR_RETURN(const std::string server_key,
                        net::load_public_key_file(config.server_key_file));
    // Beside the old one until it is announced: whenever this ends, the file holds a valid key.
    auto next_file = config.key_file;
    next_file += ".next";
    RL_ASSIGN_OR_RETURN(const net::LoadedKeys next, net::load_or_create_key_file(next_file));
    net::ZmqContext context(1, 8);
    // Every collector this host may turn to must know the new key before it is the only one left.
    for (const std::string& endpoint : config.endpoints) {
        RL_ASSIGN_OR_RETURN(const auto reply,
                            ask<wire::KeyChangeReply>(context, endpoint, server_key, old,
                                                      wire::KeyChange{next.keys.public_z85}));
        if (!reply.accepted)
            return fail(Errc::permission, endpoint + ": " + printable(reply.detail, 500));
    }
    give_to_owner_of_directory(next_file);
    std::error_code error;
    std::filesystem::rename(next_file, config.key_file, error);
    if (error) return fail(Errc::io, config.key_file.string() + ": " + error.message());
    RL_TRY(fsync_directory(config.key_file.parent_path()));
    return next.keys.public_z85;
}

}  // namespace ridgeline::agent
