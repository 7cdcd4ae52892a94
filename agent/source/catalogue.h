// The list of sources: what each is configured by, and how they are made. Adding a source is a
// file, a line in make_sources and a row in the metric catalog.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/source/certificate.h"
#include "agent/source/cpu.h"
#include "agent/source/disk.h"
#include "agent/source/filesystem.h"
#include "agent/source/host_root.h"
#include "agent/source/network.h"
#include "agent/source/source.h"
#include "common/config/toml_reader.h"

namespace ridgeline::agent {

struct SourceSettings {
    bool enabled = true;
    std::chrono::milliseconds interval{1000};
};

struct SourcesConfig {
    SourceSettings cpu;
    CpuOptions cpu_options;
    SourceSettings memory;
    SourceSettings filesystem;
    FilesystemOptions filesystem_options;
    SourceSettings disk;
    DiskOptions disk_options;
    SourceSettings network;
    NetworkOptions network_options;
    SourceSettings certificate;
    CertificateOptions certificate_options;
    SourceSettings pressure;
    SourceSettings host;
    SourceSettings agent;
};

// Reads the [source.NAME] tables of an agent's configuration; what is wrong goes into the
// document's errors. Sources of fast-moving figures follow `default_interval`, the others have
// intervals of their own.
SourcesConfig read_sources_config(ConfigTable& root, std::chrono::milliseconds default_interval);

struct ScheduledSource {
    std::unique_ptr<Source> source;
    std::chrono::milliseconds interval;
};

// The enabled ones, in the order in which they are shown. `root` must outlive them.
std::vector<ScheduledSource> make_sources(const SourcesConfig& config, const HostRoot& root);

}  // namespace ridgeline::agent
