// Certificates where they are used: in files (PEM, DER, PKCS#12) and as servers present them.
//
// Files are read here; what needs more rights or a TLS library (files that only root may read,
// PKCS#12, keys, live endpoints) is asked of the helper `certprobe`. Runs on a worker thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/endpoint.h"
#include "agent/source/host_root.h"
#include "agent/source/probe_runner.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"
#include "agent/x509/x509.h"

namespace ridgeline::agent {

struct CertificateFileOptions {
    std::string path;           // a file, a directory (not recursive) or a glob
    std::string key;            // its private key, to be compared; a file only
    std::string password_file;  // of PKCS#12
};
struct CertificateEndpointOptions {
    Endpoint endpoint;
    std::string server_name;  // asked for and verified; the endpoint's host by default
    std::string file;         // what it is expected to serve; empty: not compared
    std::chrono::milliseconds timeout{10'000};

    // The URL, and the name that is asked for where it is another.
    std::string shown() const {
        return server_name == endpoint.host ? endpoint.url
                                            : endpoint.url + "?server_name=" + server_name;
    }
};
struct CertificateOptions {
    std::vector<CertificateFileOptions> files;
    std::vector<CertificateEndpointOptions> endpoints;
};

// A server is reloaded some time after its certificate was renewed; until then that it still serves
// the old one is no finding. Renewal hooks run at once, configuration management within this.
inline constexpr std::chrono::minutes kReloadGrace{30};

class CertificateSource final : public Source {
  public:
    CertificateSource(const HostRoot& root, CertificateOptions options,
                      std::unique_ptr<Prober> prober);
    std::string_view name() const override { return "certificate"; }
    bool blocking() override { return true; }
    // Every endpoint in turn may take its whole time-out, and every file that the helper reads its
    // share. On any thread.
    std::chrono::seconds patience() const override;
    // Errors name what could not be read and what was found; all that was read is emitted.
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;
    bool emits_after_error() const override { return true; }

  private:
    // What is found to be wrong with a chain beside its dates; nullopt: not looked at.
    struct Findings {
        std::optional<bool> untrusted, name_mismatch, key_mismatch, not_current;
    };
    struct Chain {
        std::string place;  // path or endpoint
        bool is_endpoint = false;
        bool readable = false;   // its first certificate could be read
        bool left_out = false;   // not what was looked for
        std::size_t blocks = 0;  // certificates it has, or should have
        std::vector<Certificate> certificates;
        std::string leaf_der;
        Findings findings;
    };
    struct Question {
        std::size_t chain = 0;  // index into chains_
        bool named = true;      // the configuration names this very place
        ProbeRequest request;
    };
    struct CertificateSlots {
        SlotId expiry{}, remaining{}, lifetime{}, valid{};
        bool seen = false;
    };
    struct FlagSlot {
        SlotId slot{};
        bool seen = false;
    };

    void read_files(std::vector<Question>& questions);
    void read_file_of(const std::string& path, const CertificateFileOptions& options, bool named,
                      std::vector<Question>& questions);
    void take_answer(Chain& chain, bool named, const Result<ProbeAnswer>& answer);
    void ask(const std::vector<Question>& questions);
    void compare_with_files();
    Result<CertificateFile> read_expected(const std::string& path);
    bool just_renewed(const std::string& path, const Certificate& leaf) const;
    void problem(std::string text) { problems_.push_back(std::move(text)); }
    void emit_certificates(const Chain& chain, Recorder& out);
    void emit_flag(std::string_view metric, Attributes attributes, bool value, Recorder& out);
    std::string on_disk(const std::string& path) const;

    const HostRoot* root_;
    CertificateOptions options_;
    std::unique_ptr<Prober> prober_;
    std::int64_t now_s_ = 0;
    std::atomic<std::size_t> files_asked_{0};  // of the helper, in the last read or this one
    std::vector<Chain> chains_;
    std::vector<std::string> problems_;
    std::map<std::string, CertificateSlots> slots_;
    std::map<std::string, FlagSlot> flags_;
};

extern const SourceType kCertificateSource;

}  // namespace ridgeline::agent
