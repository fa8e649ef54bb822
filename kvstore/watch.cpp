#include <utility>

#include <kvstore/error.hpp>
#include <kvstore/internal/watcher.hpp>
#include <kvstore/watch.hpp>

namespace kvstore {

Subscription::Subscription(std::shared_ptr<internal::Watch> watch) noexcept
    : watch_(std::move(watch)) {}

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    end();
    watch_ = std::move(other.watch_);
  }
  return *this;
}

Subscription::~Subscription() noexcept {
  end();
}

void Subscription::cancel() {
  if (watch_ == nullptr) {
    throw Error(ErrorCode::misuse, "this subscription was moved from; use the one it was moved to");
  }
  watch_->watcher().refuse_forked();
  end();
}

void Subscription::end() noexcept {
  if (watch_ != nullptr) watch_->watcher().end(*watch_);
}

}  // namespace kvstore
