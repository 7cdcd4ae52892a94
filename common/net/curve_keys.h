// CURVE key pairs and their files. A key is 32 bytes, written as 40 characters of Z85 (ZeroMQ RFC
// 32).
//
// A secret key file holds the secret key on its first line and must not be readable by group or
// others; the public key is computed from it. A public key file (*.pub) holds the public key on its
// first line.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ridgeline::net {

inline constexpr std::size_t kKeyTextLength = 40;

// Secret key text, kept out of swap and core dumps as far as the limits of the process allow, and
// wiped from memory when it goes. (libzmq has copies of its own while a socket is open.) Move-only.
class SecretKey {
  public:
    SecretKey() = default;
    explicit SecretKey(std::string z85);
    SecretKey(SecretKey&& other) noexcept;
    SecretKey& operator=(SecretKey&& other) noexcept;
    SecretKey(const SecretKey&) = delete;
    SecretKey& operator=(const SecretKey&) = delete;
    ~SecretKey();
    const std::string& z85() const { return text_; }

  private:
    void wipe();
    std::string text_;
};

struct KeyPair {
    std::string public_z85;
    SecretKey secret;
};

Result<KeyPair> generate_key_pair();
// Errc::permission when others may read the file, Errc::corrupt when it holds no key.
Result<KeyPair> load_secret_key_file(const std::filesystem::path& path);
Result<void> save_secret_key_file(const std::filesystem::path& path, const KeyPair& keys);  // 0600
Result<std::string> load_public_key_file(const std::filesystem::path& path);
Result<void> save_public_key_file(const std::filesystem::path& path,
                                  std::string_view public_z85);  // 0644
// Loads the pair, or makes and saves one when the file is not there yet; makes its directory too
// (0750).
struct LoadedKeys {
    KeyPair keys;
    bool created = false;
};
Result<LoadedKeys> load_or_create_key_file(const std::filesystem::path& path);

// 32 bytes -> 40 characters; the bytes are what ZAP hands over.
Result<std::string> key_bytes_to_z85(std::string_view bytes);
bool is_key_text(std::string_view z85);

}  // namespace ridgeline::net
