#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "documents.hpp"
#include "peer.hpp"

namespace bench {

/// The entries from `first` on, at most `count`.
Batch batch_of(const Documents& documents, std::size_t first, std::size_t count);

/// The same keys, with other documents.
Batch batch_of(const Documents& documents, std::size_t first, std::size_t count,
               Replacements& replacements);

/// The directory of a database that holds all documents and is only read; made when it is first
/// asked for.
std::string database_to_read(const Peer& peer, const Documents& documents);

/// A copy of it for one row of the table, which writes; made once, so that its state is that of a
/// database in use. Nobody may have the original open.
std::string database_to_write(const Peer& peer, const Documents& documents, const std::string& row);

/// A directory that no database has used yet.
std::string database_to_make(const Peer& peer);

/// A database that the threads of a row have open together: the first to come opens it, the last to
/// go closes it.
class Shared {
 public:
  using Open = std::function<std::unique_ptr<Database>()>;

  explicit Shared(Open open) : open_(std::move(open)) {}

  std::shared_ptr<Database> database();

 private:
  Open open_;
  std::mutex mutex_;
  std::weak_ptr<Database> opened_;
};

}  // namespace bench
