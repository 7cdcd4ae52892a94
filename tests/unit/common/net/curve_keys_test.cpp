#include "common/net/curve_keys.h"

#include <fstream>

#include <sys/stat.h>

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
