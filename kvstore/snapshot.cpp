#include <utility>

#include <kvstore/internal/open_snapshot.hpp>
#include <kvstore/snapshot.hpp>

namespace kvstore {

Snapshot::Snapshot(std::shared_ptr<internal::OpenSnapshot> session) noexcept
    : Reader(std::move(session)) {}

Snapshot& Snapshot::operator=(Snapshot&& other) noexcept {
  if (this != &other) {
    end();
    Reader::operator=(std::move(other));
  }
  return *this;
}

Snapshot::~Snapshot() noexcept {
  end();
}

void Snapshot::end() noexcept {
  // A cursor may keep the session, and with it the connection.
  if (!moved_from()) static_cast<internal::OpenSnapshot&>(session()).let_go();
}

}  // namespace kvstore
