// The header alone, so that the state can live on the stack.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <bit>

#include <kvstore/internal/checksum.hpp>

namespace kvstore::internal {
namespace {

std::array<unsigned char, 8> little_endian(std::uint64_t number) noexcept {
  std::array<unsigned char, 8> bytes{};
  for (auto& byte : bytes) {
    byte = static_cast<unsigned char>(number & 0xFFU);
    number >>= 8U;
  }
  return bytes;
}

}  // namespace

std::int64_t checksum(std::string_view key, std::string_view value, std::string_view updated_at,
                      std::string_view expires_at, Revision revision) noexcept {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  const auto length = little_endian(key.size());
  XXH3_64bits_update(&state, length.data(), length.size());
  for (const std::string_view part : {key, value, updated_at, expires_at}) {
    if (!part.empty()) XXH3_64bits_update(&state, part.data(), part.size());
  }
  const auto last = little_endian(static_cast<std::uint64_t>(revision));
  XXH3_64bits_update(&state, last.data(), last.size());
  return std::bit_cast<std::int64_t>(static_cast<std::uint64_t>(XXH3_64bits_digest(&state)));
}

}  // namespace kvstore::internal
