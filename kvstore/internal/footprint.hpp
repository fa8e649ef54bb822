#pragma once

#include <cstddef>
#include <string>

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// What a document occupies, with all it holds, as glibc's allocator hands it out. Units: bytes.
std::size_t footprint(const json& document);

/// What one allocation takes of the heap. Units: bytes.
/// Source: glibc 2.36, malloc.c: a word of bookkeeping, multiples of 16, at least 32.
constexpr std::size_t heap_bytes(std::size_t requested) noexcept {
  constexpr std::size_t word = 8;
  constexpr std::size_t step = 16;
  constexpr std::size_t least = 32;
  const std::size_t taken = (requested + word + step - 1) / step * step;
  return taken < least ? least : taken;
}

/// What a string takes of the heap. Units: bytes.
std::size_t heap_bytes(const std::string& text);

}  // namespace kvstore::internal
