// Certificates in files: PEM (bundles too) and DER, by path, directory or glob.
//
// Dates, names and serial are read by a bounds-checked walk over the DER (RFC 5280), because a TLS
// library refuses whole certificates over keys and extensions that a monitor need not understand.
// Runs on a worker thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

struct Certificate {
    std::int64_t not_before_s = 0;  // Unix seconds; years 0000–9999
    std::int64_t not_after_s = 0;
    std::string subject;  // the common name, else the whole name "O=…, C=…"; printable
    std::string issuer;
    std::string serial;  // hexadecimal, at most 64 bytes of it
};

// One certificate in DER; bytes after it are ignored. Errc::corrupt says what is wrong.
Result<Certificate> parse_certificate(std::string_view der);

struct CertificateFile {
    std::vector<Certificate> certificates;  // in the file's order: the leaf comes first in a chain
    std::vector<std::string> problems;      // blocks that could not be read
};
inline constexpr std::size_t kCertificatesPerFileMax = 2000;
inline constexpr std::size_t kCertificateFileBytesMax = 4U << 20;
// PEM blocks or a single DER certificate. Errc::not_found when there is no certificate in it at
// all.
Result<CertificateFile> parse_certificate_file(std::string_view content);

struct CertificateOptions {
    std::vector<std::string> files;  // paths, directories (not recursive) or globs
};

class CertificateSource final : public Source {
  public:
    CertificateSource(const HostRoot& root, CertificateOptions options);
    std::string_view name() const override { return "certificate"; }
    bool blocking() const override { return true; }
    // Errors name every file that could not be read; the others are emitted all the same.
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;
    bool emits_after_error() const override { return true; }

  private:
    struct Reading {
        std::string path;
        std::size_t position = 0;  // 0: the leaf
        Certificate certificate;
    };
    struct Slots {
        SlotId expiry{}, remaining{}, lifetime{}, valid{};
        bool seen = false;
    };
    std::vector<std::string> find_files(std::vector<std::string>& problems) const;
    void read_one(const std::string& path, bool named, std::vector<std::string>& problems);

    const HostRoot* root_;
    CertificateOptions options_;
    std::int64_t now_s_ = 0;
    std::vector<Reading> readings_;
    std::map<std::string, Slots> slots_;
};

extern const SourceType kCertificateSource;

}  // namespace ridgeline::agent
