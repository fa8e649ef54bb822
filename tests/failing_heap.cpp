#include "failing_heap.hpp"

#include <cstdlib>
#include <new>

namespace kvstore::test {
namespace {

struct Plan {
  bool armed = false, lasting = false, failed = false;
  std::size_t before = 0;

  bool fails() noexcept {
    if (!armed || before-- != 0) return false;
    failed = true;
    armed = lasting;
    before = 0;
    return true;
  }
};

thread_local Plan plan;

}  // namespace

FailingHeap::FailingHeap(std::size_t before, Fails how) noexcept {
  plan = {.armed = true, .lasting = how == Fails::lastingly, .before = before};
}

FailingHeap::~FailingHeap() noexcept {
  plan = {};
}

bool FailingHeap::failed() const noexcept {
  return plan.failed;
}

}  // namespace kvstore::test

// NOLINTBEGIN(cppcoreguidelines-no-malloc): below operator new there is nothing else
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return kvstore::test::plan.fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
}

void* operator new(std::size_t size) {
  void* memory = operator new(size, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
// NOLINTEND(cppcoreguidelines-no-malloc)
