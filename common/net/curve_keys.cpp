#include "common/net/curve_keys.h"

#include <array>
#include <cstdint>
#include <utility>

#include <sodium.h>
#include <sys/stat.h>
#include <zmq.h>

#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::net {

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kKeyFileBytesMax = 4096;

std::string first_line(std::string_view content) {
    return std::string(trim(next_line(content)));
}

}  // namespace

// Best effort: without RLIMIT_MEMLOCK the key is only wiped. sodium_mlock also excludes the pages
// from core dumps (MADV_DONTDUMP).
SecretKey::SecretKey(std::string z85) : text_(std::move(z85)) {
    if (!text_.empty()) (void)sodium_mlock(text_.data(), text_.size());
}

// A key is longer than a short string's own room, so moving hands over its one buffer and leaves no
// copy.
SecretKey::SecretKey(SecretKey&& other) noexcept : text_(std::move(other.text_)) {
    other.wipe();
}
SecretKey& SecretKey::operator=(SecretKey&& other) noexcept {
    if (this != &other) {
        wipe();
        text_ = std::move(other.text_);
        other.wipe();
    }
    return *this;
}
SecretKey::~SecretKey() {
    wipe();
}
void SecretKey::wipe() {
    if (!text_.empty()) (void)sodium_munlock(text_.data(), text_.size());  // wipes it
    text_.clear();
}

Result<KeyPair> generate_key_pair() {
    std::array<char, kKeyTextLength + 1> public_key{};
    std::array<char, kKeyTextLength + 1> secret_key{};
    if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
        return fail(Errc::unsupported,
                    "this libzmq was built without CURVE; install Debian's libzmq5");
    }
    KeyPair keys{public_key.data(), SecretKey{secret_key.data()}};
    sodium_memzero(secret_key.data(), secret_key.size());
    return keys;
}

Result<KeyPair> load_secret_key_file(const std::filesystem::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return fail(errno_error(path.string()));
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return fail(
            Errc::permission,
            path.string() + ": others may read this secret key; run chmod 600 " + path.string());
    }
    RL_ASSIGN_OR_RETURN(std::string content, read_file(path, kKeyFileBytesMax));
    SecretKey secret{first_line(content)};
    sodium_memzero(content.data(), content.size());
    std::array<char, kKeyTextLength + 1> public_key{};
    if (!is_key_text(secret.z85()) ||
        zmq_curve_public(public_key.data(), secret.z85().c_str()) != 0) {
        return fail(
            Errc::corrupt,
            path.string() + ": the first line is not a CURVE secret key (40 characters of Z85)");
    }
    return KeyPair{public_key.data(), std::move(secret)};
}

Result<void> save_secret_key_file(const std::filesystem::path& path, const KeyPair& keys) {
    std::string content = keys.secret.z85() + "\n";
    auto saved = write_file_atomic(path, content, 0600);
    sodium_memzero(content.data(), content.size());
    return saved;
}

Result<std::string> load_public_key_file(const std::filesystem::path& path) {
    RL_ASSIGN_OR_RETURN(const std::string content, read_file(path, kKeyFileBytesMax));
    std::string key = first_line(content);
    if (!is_key_text(key)) {
        return fail(
            Errc::corrupt,
            path.string() + ": the first line is not a CURVE public key (40 characters of Z85)");
    }
    return key;
}

Result<void> save_public_key_file(const std::filesystem::path& path, std::string_view public_z85) {
    return write_file_atomic(path, std::string(public_z85) + "\n", 0644);
}

Result<LoadedKeys> load_or_create_key_file(const std::filesystem::path& path) {
    auto loaded = load_secret_key_file(path);
    if (loaded) return LoadedKeys{std::move(*loaded), false};
    if (loaded.error().code != Errc::not_found) return fail(std::move(loaded).error());
    RL_ASSIGN_OR_RETURN(KeyPair keys, generate_key_pair());
    std::error_code error;
    if (path.has_parent_path() && std::filesystem::create_directories(path.parent_path(), error)) {
        ::chmod(path.parent_path().c_str(), 0750);
    }
    RL_TRY(save_secret_key_file(path, keys));
    return LoadedKeys{std::move(keys), true};
}

Result<std::string> key_bytes_to_z85(std::string_view bytes) {
    if (bytes.size() != kKeyBytes) return fail(Errc::corrupt, "a CURVE key has 32 bytes");
    std::array<char, kKeyTextLength + 1> text{};
    zmq_z85_encode(text.data(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return std::string(text.data());
}

bool is_key_text(std::string_view z85) {
    if (z85.size() != kKeyTextLength) return false;
    std::array<std::uint8_t, kKeyBytes> bytes{};
    return zmq_z85_decode(bytes.data(), std::string(z85).c_str()) != nullptr;
}

}  // namespace ridgeline::net
