#include "common/net/curve_keys.h"

#include <cstdlib>
#include <fstream>
#include <utility>

#include <sys/resource.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::net;

TEST_CASE("a key pair is made once, saved for its owner alone and read back", "[curve]") {
    const test::TempDir dir;
    const auto path = dir.path() / "new" / "agent.key";  // on a host that has nothing yet
    const auto first = load_or_create_key_file(path).value();
    CHECK(first.created);
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    const auto second = load_or_create_key_file(path).value();
    CHECK_FALSE(second.created);
    CHECK(second.keys.public_z85 == first.keys.public_z85);
    CHECK(second.keys.secret.z85() == first.keys.secret.z85());
}

TEST_CASE("a secret key that others can read is refused, as is a file without a key", "[curve]") {
    const test::TempDir dir;
    const auto path = dir.path() / "agent.key";
    REQUIRE(load_or_create_key_file(path));
    REQUIRE(::chmod(path.c_str(), 0640) == 0);
    CHECK(load_secret_key_file(path).error().code == Errc::permission);
    CHECK_FALSE(load_or_create_key_file(path));  // and is not replaced behind the owner's back
    std::ofstream(dir.path() / "x.pub") << "not a key\n";
    CHECK(load_public_key_file(dir.path() / "x.pub").error().code == Errc::corrupt);
}

#ifndef __SANITIZE_ADDRESS__  // which makes mlock(2) do nothing
TEST_CASE("a secret key is kept out of swap while it lives", "[curve]") {
    const auto locked_kib = [] {
        const std::string status = read_file("/proc/self/status").value();
        const std::size_t at = status.find("VmLck:");
        return at == std::string::npos ? 0L : std::strtol(status.c_str() + at + 6, nullptr, 10);
    };
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (limit.rlim_cur < 64 * 1024) return;  // nothing may be locked here
    const long before = locked_kib();
    {
        SecretKey key(std::string(kKeyTextLength, 'k'));
        const SecretKey moved = std::move(key);
        CHECK(locked_kib() > before);
        CHECK(moved.z85() == std::string(kKeyTextLength, 'k'));
    }
    CHECK(locked_kib() == before);
}
#endif
