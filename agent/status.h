// The agent's status: gathered by the agent, answered as one JSON object on a Unix socket, shown by
// `status`.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/pipeline/agent_status.h"
#include "common/base/file.h"
#include "common/base/result.h"
#include "common/net/uv.h"

namespace ridgeline::agent {

std::string to_json(const AgentStatus& status);
// The same for people: indented, a line a value, elements of arrays on a line each.
std::string readable(std::string_view json);
// The same in one line, for `systemctl status`: what the agent does, and what it needs to do more.
std::string one_line(const AgentStatus& status);

// Answers every connection with the JSON object and closes it. Loop thread.
class StatusServer {
  public:
    // Makes the socket (0660) and its directory; takes the place of a socket that nobody listens on
    // any more. Errc::unavailable when another agent does.
    static Result<std::unique_ptr<StatusServer>> open(net::Loop& loop,
                                                      const std::filesystem::path& socket,
                                                      std::function<std::string()> answer);
    ~StatusServer();
    StatusServer(const StatusServer&) = delete;
    StatusServer& operator=(const StatusServer&) = delete;

  private:
    StatusServer(net::Loop& loop, std::filesystem::path path, UniqueFd listener,
                 std::function<std::string()> answer);
    void on_connection();

    std::filesystem::path path_;
    UniqueFd listener_;
    std::function<std::string()> answer_;
    net::Poll poll_;
};

// Asks a running agent; blocks for at most 5 s. Errc::unavailable when none runs.
Result<std::string> ask_status(const std::filesystem::path& socket);

}  // namespace ridgeline::agent
