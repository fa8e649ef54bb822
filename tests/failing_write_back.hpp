#pragma once

namespace kvstore::test {

/// While it lives, sync_file_range fails with this `errno`, in every thread.
class FailingWriteBack {
 public:
  explicit FailingWriteBack(int cause) noexcept;
  ~FailingWriteBack() noexcept;
  FailingWriteBack(const FailingWriteBack&) = delete;
  FailingWriteBack& operator=(const FailingWriteBack&) = delete;
  FailingWriteBack(FailingWriteBack&&) = delete;
  FailingWriteBack& operator=(FailingWriteBack&&) = delete;
};

}  // namespace kvstore::test
