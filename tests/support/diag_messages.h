// Answers of the kernel's socket list (NETLINK_SOCK_DIAG), made up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

namespace ridgeline::test {

class DiagMessages {
  public:
    explicit DiagMessages(std::uint32_t sequence) : sequence_(sequence) {}

    DiagMessages& message(std::uint16_t type, std::string_view payload) {
        last_ = bytes_.size();
        nlmsghdr header{};
        header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + payload.size());
        header.nlmsg_type = type;
        header.nlmsg_flags = NLM_F_MULTI;
        header.nlmsg_seq = sequence_;
        append(&header, sizeof(header));
        bytes_ += payload;
        bytes_.resize(NLMSG_ALIGN(bytes_.size()));
        return *this;
    }
    // `extra` bytes of extensions follow the socket.
    DiagMessages& socket(std::uint8_t state, std::size_t extra = 0) {
        inet_diag_msg body{};
        body.idiag_family = 2;  // AF_INET
        body.idiag_state = state;
        std::string payload(reinterpret_cast<const char*>(&body), sizeof(body));
        return message(SOCK_DIAG_BY_FAMILY, payload + std::string(extra, '\x5a'));
    }
    DiagMessages& error(std::int32_t value) {
        nlmsgerr body{};
        body.error = value;
        return message(NLMSG_ERROR, {reinterpret_cast<const char*>(&body), sizeof(body)});
    }
    DiagMessages& done(std::int32_t value = 0) {
        return message(NLMSG_DONE, {reinterpret_cast<const char*>(&value), sizeof(value)});
    }
    DiagMessages& done_without_errno() { return message(NLMSG_DONE, {}); }
    DiagMessages& noop() { return message(NLMSG_NOOP, {}); }

    // Of the last message.
    DiagMessages& flag(std::uint16_t flag) {
        nlmsghdr header{};
        std::memcpy(&header, bytes_.data() + last_, sizeof(header));
        header.nlmsg_flags |= flag;
        std::memcpy(bytes_.data() + last_, &header, sizeof(header));
        return *this;
    }
    DiagMessages& length(std::uint32_t length) {
        std::memcpy(bytes_.data() + last_, &length, sizeof(length));  // nlmsg_len comes first
        return *this;
    }

    std::span<const std::byte> bytes() const { return std::as_bytes(std::span(bytes_)); }
    std::uint32_t sequence() const { return sequence_; }

  private:
    void append(const void* data, std::size_t size) {
        bytes_.append(static_cast<const char*>(data), size);
    }

    std::string bytes_;
    std::uint32_t sequence_;
    std::size_t last_ = 0;
};

}  // namespace ridgeline::test
