#include "databases.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "temp_dir.hpp"

namespace bench {
namespace {

namespace fs = std::filesystem;

const TempDir& temp_dir() {
  static const TempDir directory;
  return directory;
}

std::string directory_of(const Peer& peer, const std::string& name) {
  return temp_dir().file(peer.name + "-" + name);
}

/// What is still to be written back must not be paid for by the first flush that is measured.
void flush_file_system() {
  const int directory = ::open(temp_dir().file("").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  syncfs(directory);
  close(directory);
}

/// A system that needs memory, or one that takes back what was not used for minutes, drops pages of
/// one database while others are measured. Only for one that this process has not open: closing a
/// descriptor of its files would give up SQLite's locks.
void read_into_page_cache(const std::string& directory) {
  std::vector<char> buffer(std::size_t{1} << 20U);
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()))) {
    }
  }
}

template <class Document>
Batch fill(const Documents& documents, std::size_t first, std::size_t count,
           const Document& document) {
  Batch batch;
  batch.reserve(count);
  const std::size_t end = std::min(first + count, documents.size());
  for (std::size_t i = first; i < end; ++i) batch.emplace_back(Documents::key(i), document(i));
  return batch;
}

}  // namespace

Batch batch_of(const Documents& documents, std::size_t first, std::size_t count) {
  return fill(documents, first, count,
              [&](std::size_t index) -> const json& { return documents.value(index); });
}

Batch batch_of(const Documents& documents, std::size_t first, std::size_t count,
               Replacements& replacements) {
  return fill(documents, first, count,
              [&](std::size_t /*index*/) -> const json& { return replacements.next(); });
}

std::string database_to_read(const Peer& peer, const Documents& documents) {
  std::string directory = directory_of(peer, documents.name());
  if (fs::exists(directory)) {
    read_into_page_cache(directory);
    return directory;
  }
  fs::create_directory(directory);
  const auto database =
      peer.open(directory, {.durability = Durability::normal, .cache_bytes = cache_bytes()});
  const auto session = database->session();
  constexpr std::size_t at_once = 10'000;
  for (std::size_t first = 0; first < documents.size(); first += at_once) {
    session->set_many(batch_of(documents, first, at_once));
  }
  database->settle();
  return directory;
}

std::string database_to_write(const Peer& peer, const Documents& documents,
                              const std::string& row) {
  std::string name = documents.name() + "-" + row;
  std::ranges::replace(name, '/', '-');
  std::string directory = directory_of(peer, name);
  if (fs::exists(directory)) {
    read_into_page_cache(directory);
    return directory;
  }
  fs::copy(database_to_read(peer, documents), directory, fs::copy_options::recursive);
  flush_file_system();
  return directory;
}

std::string database_to_make(const Peer& peer) {
  std::string directory = directory_of(peer, "new");
  fs::remove_all(directory);
  fs::create_directory(directory);
  return directory;
}

std::shared_ptr<Database> Shared::database() {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Database> database = opened_.lock();
  if (database == nullptr) {
    database = open_();
    opened_ = database;
  }
  return database;
}

}  // namespace bench
