// CRC-32C (Castagnoli, RFC 3720 appendix B.4), with the SSE4.2 instruction where the CPU has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ridgeline {

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

}  // namespace ridgeline
