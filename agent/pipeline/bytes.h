// Little-endian integers into and out of the spool's and the head journal's records.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ridgeline::agent {

class ByteWriter {
  public:
    void u32(std::uint32_t value) { integer(value); }
    void u64(std::uint64_t value) { integer(value); }
    void f64(double value) { integer(std::bit_cast<std::uint64_t>(value)); }
    void text(std::string_view value) {
        const auto bytes = std::as_bytes(std::span(value.data(), value.size()));
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    }
    std::span<const std::byte> bytes() const { return bytes_; }
    bool empty() const { return bytes_.empty(); }
    void clear() { bytes_.clear(); }

  private:
    template <class Integer>
    void integer(Integer value) {
        for (std::size_t i = 0; i < sizeof value; ++i)
            bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
    std::vector<std::byte> bytes_;
};

// Each reader takes from the front; nullopt when fewer bytes are left.
class ByteReader {
  public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}
    std::optional<std::uint32_t> u32() { return integer<std::uint32_t>(); }
    std::optional<std::uint64_t> u64() { return integer<std::uint64_t>(); }
    std::optional<double> f64() {
        const auto bits = u64();
        if (!bits) return std::nullopt;
        return std::bit_cast<double>(*bits);
    }
    std::span<const std::byte> rest() const { return bytes_; }
    bool empty() const { return bytes_.empty(); }

  private:
    template <class Integer>
    std::optional<Integer> integer() {
        if (bytes_.size() < sizeof(Integer)) return std::nullopt;
        Integer value = 0;
        for (std::size_t i = 0; i < sizeof value; ++i) {
            value |= static_cast<Integer>(static_cast<Integer>(bytes_[i]) << (8 * i));
        }
        bytes_ = bytes_.subspan(sizeof(Integer));
        return value;
    }
    std::span<const std::byte> bytes_;
};

// 16 lower-case hexadecimal digits.
std::string hex_u64(std::uint64_t value);
std::optional<std::uint64_t> parse_hex_u64(std::string_view digits);

}  // namespace ridgeline::agent
