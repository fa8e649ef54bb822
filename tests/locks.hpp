#pragma once

#include <string>

namespace kvstore::test {

/// Whether somebody reads from the write-ahead log of a database, so that it cannot start anew, as
/// the system tells: to ask over a connection would disturb the store.
bool log_is_pinned(const std::string& file);

/// Whether somebody holds the write lock, or keeps it.
bool log_is_locked(const std::string& file);

/// Whether the system tells of the locks on a database that somebody has open.
bool locks_can_be_seen(const std::string& file);

}  // namespace kvstore::test
