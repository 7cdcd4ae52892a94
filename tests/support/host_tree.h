// A directory that stands for a host's root, with the files a test gives it.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "agent/source/host_root.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::test {

class HostTree {
  public:
    HostTree& write(const std::string& relative, std::string_view content) {
        const auto path = dir_.path() / relative;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << content;
        return *this;
    }
    agent::HostRoot root() const { return agent::HostRoot::open(dir_.path()).value(); }
    const std::filesystem::path& path() const { return dir_.path(); }

  private:
    TempDir dir_;
};

}  // namespace ridgeline::test
