#include "outside.hpp"

#include <stdexcept>

namespace kvstore::test {

Outside::Outside(const std::string& file) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open(file.c_str(), &raw);
  database_.reset(raw);
  if (code != SQLITE_OK) throw std::runtime_error("cannot open " + file);
  sqlite3_busy_timeout(raw, 5000);
}

void Outside::run(const std::string& sql) {
  if (try_to(sql) != SQLITE_OK) {
    throw std::runtime_error(sql + ": " + sqlite3_errmsg(database_.get()));
  }
}

int Outside::try_to(const std::string& sql) {
  return sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) & 0xFF;
}

std::vector<std::string> Outside::rows(const std::string& sql) {
  std::vector<std::string> found;
  const auto collect = [](void* context, int count, char** columns, char** /*names*/) {
    std::string row;
    for (int i = 0; i < count; ++i) {
      if (i > 0) row += '|';
      row += columns[i] == nullptr ? "NULL" : columns[i];
    }
    static_cast<std::vector<std::string>*>(context)->push_back(std::move(row));
    return 0;
  };
  if (sqlite3_exec(database_.get(), sql.c_str(), collect, &found, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sql + ": " + sqlite3_errmsg(database_.get()));
  }
  return found;
}

std::string Outside::one(const std::string& sql) {
  const std::vector<std::string> found = rows(sql);
  if (found.size() != 1) throw std::runtime_error(sql + ": not one row");
  return found[0];
}

void run_outside(const std::string& file, const std::string& sql) {
  Outside(file).run(sql);
}

}  // namespace kvstore::test
