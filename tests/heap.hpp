#pragma once

#include <malloc.h>

#include <cstddef>

namespace kvstore::test {

/// A sanitizer has an allocator of its own, which takes more and counts nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool heap_is_replaced = true;
#else
inline constexpr bool heap_is_replaced = false;
#endif

/// What has been allocated and not freed. Units: bytes.
inline std::size_t heap_in_use() {
  const struct mallinfo2 facts = mallinfo2();
  return facts.uordblks + facts.hblkhd;
}

}  // namespace kvstore::test
