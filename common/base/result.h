// Result<T>: the value, or an Error that says what failed and where.
//
// Expected failures (bad input, a missing file, a peer that went away) travel as values, because an
// exception cannot cross a libuv, libzmq, libcurl or mbedTLS frame. Broken invariants end the
// process. A function handles an error or returns it, never both logs and returns it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace ridgeline {

enum class Errc {
    invalid_argument,  // the caller or the user gave something unusable
    not_found,
    permission,
    io,           // the operating system refused; sys_errno says why
    corrupt,      // bytes do not have the form they should
    limit,        // a named limit was reached
    unsupported,  // well-formed, but not something this build can do
    unavailable,  // a peer or device is not answering now
};

struct Error {
    Errc code = Errc::io;
    int sys_errno = 0;    // 0 when no system call was involved
    std::string context;  // "spool: segment 12: No space left on device"

    // Puts `where` in front of the context; errors gain context on their way up.
    Error within(std::string_view where) &&;
};

// Errc::io (or permission / not_found) for the current errno: "<what>: <strerror>".
Error errno_error(std::string_view what);
Error errno_error(std::string_view what, int sys_errno);

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
  public:
    using tl::expected<T, Error>::expected;
};

inline tl::unexpected<Error> fail(Errc code, std::string context) {
    return tl::unexpected<Error>(Error{code, 0, std::move(context)});
}
inline tl::unexpected<Error> fail(Error error) {
    return tl::unexpected<Error>(std::move(error));
}

}  // namespace ridgeline

// RL_TRY(expr): returns the error of a Result<…> expression from the enclosing function.
#define RL_TRY(expr)                                                              \
    do {                                                                          \
        auto rl_result_ = (expr);                                                 \
        if (!rl_result_) return ::ridgeline::fail(std::move(rl_result_).error()); \
    } while (false)

#define RL_CONCAT_INNER_(a, b) a##b
#define RL_CONCAT_(a, b) RL_CONCAT_INNER_(a, b)
// NOLINTBEGIN(bugprone-macro-parentheses): a declaration cannot stand in parentheses
// RL_ASSIGN_OR_RETURN(auto x, expr): binds the value or returns the error.
#define RL_ASSIGN_OR_RETURN(decl, expr)                                             \
    auto RL_CONCAT_(rl_tmp_, __LINE__) = (expr);                                    \
    if (!RL_CONCAT_(rl_tmp_, __LINE__))                                             \
        return ::ridgeline::fail(std::move(RL_CONCAT_(rl_tmp_, __LINE__)).error()); \
    decl = std::move(*RL_CONCAT_(rl_tmp_, __LINE__))
// NOLINTEND(bugprone-macro-parentheses)
