#include "common/base/result.h"

#include <cerrno>
#include <system_error>

namespace ridgeline {

Error Error::within(std::string_view where) && {
    context = std::string(where) + ": " + context;
    return std::move(*this);
}

Error errno_error(std::string_view what, int sys_errno) {
    Errc code = Errc::io;
    if (sys_errno == ENOENT) code = Errc::not_found;
    if (sys_errno == EACCES || sys_errno == EPERM) code = Errc::permission;
    return {code, sys_errno, std::string(what) + ": " + std::generic_category().message(sys_errno)};
}

Error errno_error(std::string_view what) {
    return errno_error(what, errno);
}

}  // namespace ridgeline
