#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/text.hpp>

namespace kvstore::engine {
namespace {

namespace fs = std::filesystem;

void refuse_missing_parent(const fs::path& parent, const std::string& name) {
  if (fs::is_directory(parent)) return;
  throw Error(ErrorCode::not_found, "cannot open " + name + ": there is no directory " +
                                        in_quotes(parent.native()) + "; create it");
}

bool may_be_there(const std::string& path) noexcept {
  return access(path.c_str(), F_OK) == 0 || errno != ENOENT;
}

/// File systems whose locks or shared memory do not hold between machines.
/// Source: linux/magic.h and statfs(2); https://sqlite.org/wal.html §1, "the same host computer".
std::string_view network_file_system(const std::string& directory) {
  struct Known {
    std::uint32_t magic;
    std::string_view name;
  };
  constexpr std::array known = {
      Known{0x6969, "NFS"},      Known{0x517B, "SMB"},       Known{0xFF534D42, "CIFS"},
      Known{0xFE534D42, "SMB"},  Known{0x01021997, "9p"},    Known{0x5346414F, "AFS"},
      Known{0x73757245, "Coda"}, Known{0x00C36400, "Ceph"},  Known{0x0BD00BD0, "Lustre"},
      Known{0x47504653, "GPFS"}, Known{0x19830326, "BeeGFS"}};
  struct statfs facts {};
  if (statfs(directory.c_str(), &facts) != 0) return {};
  const auto magic = static_cast<std::uint32_t>(facts.f_type);
  const auto* found = std::ranges::find(known, magic, &Known::magic);
  return found == known.end() ? std::string_view() : found->name;
}

void refuse_what_is_no_database(const struct stat& facts, const std::string& name) {
  constexpr int smallest_database = 512;
  if (S_ISDIR(facts.st_mode)) refuse_as_store(name, "it is a directory");
  if (!S_ISREG(facts.st_mode)) refuse_as_store(name, "it is not a regular file");
  if (facts.st_nlink > 1) {
    refuse_as_store(name, "it has " + std::to_string(facts.st_nlink) +
                              " hard links, and each name would get a write-ahead log of its own");
  }
  if (facts.st_size > 0 && facts.st_size < smallest_database) {
    refuse_as_store(name, "it is too short to be a database");
  }
}

/// An anonymous file with the permissions that a new database is to have: SQLite copies them from
/// it, so that the umask has no say and the database is never opened by anyone else.
class ModeTemplate {
 public:
  explicit ModeTemplate(fs::perms mode) : descriptor_(memfd_create("kvstore-mode", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || fchmod(descriptor_, static_cast<mode_t>(mode & fs::perms(0777))) != 0) {
      throw Error(ErrorCode::io, std::string("cannot prepare the permissions of a new file: ") +
                                     std::strerror(errno));
    }
  }
  ~ModeTemplate() noexcept { close(descriptor_); }
  ModeTemplate(const ModeTemplate&) = delete;
  ModeTemplate& operator=(const ModeTemplate&) = delete;
  ModeTemplate(ModeTemplate&&) = delete;
  ModeTemplate& operator=(ModeTemplate&&) = delete;

  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

/// A URI for exactly this path, whatever bytes it holds.
std::string uri(const std::string& path, const std::string& parameter) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out = "file://";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || c == '/' || c == '.' || c == '_' || c == '-';
    if (plain) {
      out += c;
    } else {
      out += {'%', digits[byte >> 4U], digits[byte & 0x0FU]};
    }
  }
  return out + "?" + parameter;
}

[[noreturn]] void refuse_setting(const std::string& what, const std::string& name) {
  throw Error(ErrorCode::unsupported, "cannot open " + name + ": this SQLite refuses " + what +
                                          "; use Debian's libsqlite3");
}

void configure(sqlite3* database, int option, int wanted, const std::string& name) {
  int now = -1;
  const int code = sqlite3_db_config(database, option, wanted, &now);
  if (code != SQLITE_OK || now != wanted) refuse_setting("option " + std::to_string(option), name);
}

void set_pragma(sqlite3* database, const std::string& pragma, const std::string& value,
                std::int64_t wanted, const std::string& name) {
  std::optional<std::int64_t> now;
  const auto take = [&](sqlite3_stmt* row) { now = sqlite3_column_int64(row, 0); };
  execute(database, "PRAGMA " + pragma + " = " + value, name, take);
  // Some answer with what they are now.
  if (!now) execute(database, "PRAGMA " + pragma, name, take);
  if (now != wanted) refuse_setting("PRAGMA " + pragma + " = " + value, name);
}

/// Settings that need no look at the file, so that nothing in it can act before they hold.
void harden(sqlite3* database, const std::string& name) {
  // Before 3.41 the JSON functions count as unsafe, and an index on one would make the whole schema
  // unreadable with trusted_schema off.
  const int trusted_schema = sqlite3_libversion_number() < 3041000 ? 1 : 0;
  configure(database, SQLITE_DBCONFIG_DEFENSIVE, 1, name);
  configure(database, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, name);
  configure(database, SQLITE_DBCONFIG_ENABLE_VIEW, 0, name);
  configure(database, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, name);
  configure(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, trusted_schema, name);
  configure(database, SQLITE_DBCONFIG_DQS_DML, 0, name);
  configure(database, SQLITE_DBCONFIG_DQS_DDL, 0, name);
}

void refuse_mapping(sqlite3* database, const std::string& name) {
  sqlite3_int64 mapped = 0;
  if (sqlite3_file_control(database, "main", SQLITE_FCNTL_MMAP_SIZE, &mapped) == SQLITE_OK) {
    mapped = -1;  // asks
    sqlite3_file_control(database, "main", SQLITE_FCNTL_MMAP_SIZE, &mapped);
    if (mapped != 0) refuse_setting("to read the file without mapping it", name);
  }
}

void leave_checkpoints_to_the_library(sqlite3* database, const std::string& name) {
  // One that SQLite starts by itself can lose commits; see sqlite_wal.hpp.
  if (sqlite3_wal_autocheckpoint(database, 0) != SQLITE_OK) {
    refuse_setting("to leave checkpoints to the library", name);
  }
}

Database open_handle(const std::string& path, int flags, const std::string& name) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw,
                                   flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) raise(raw, code, "open", name);
  return database;
}

}  // namespace

void refuse_as_store(const std::string& name, const std::string& why) {
  throw Error(ErrorCode::not_a_store,
              name + " is not a store: " + why + "; it was left as it is, choose another path");
}

DatabaseFile::DatabaseFile(std::string_view location, const Options& options)
    : name_(in_quotes(location)) {
  if (location.empty()) throw Error(ErrorCode::misuse, "cannot open \"\": the path is empty");
  if (location.find('\0') != std::string_view::npos) {
    throw Error(ErrorCode::misuse, "cannot open " + name_ + ": the path holds a NUL byte");
  }
  try {
    path_ = fs::absolute(location).native();
    look(options);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorCode::io, "cannot open " + name_ + ": " + error.code().message() +
                                   "; check the path, and the permissions of its directories");
  }
}

/// Follows links to the file itself, which need not exist.
void DatabaseFile::look(const Options& options) {
  constexpr int most_links = 40;  // as the kernel's own limit
  struct stat facts {};
  int failure = 0;
  for (int links = 0;; ++links) {
    failure = lstat(path_.c_str(), &facts) == 0 ? 0 : errno;
    if (failure != 0 || !S_ISLNK(facts.st_mode)) break;
    if (links == most_links) {
      throw Error(ErrorCode::io, "cannot open " + name_ + ": too many symbolic links");
    }
    path_ = (fs::path(path_).parent_path() / fs::read_symlink(path_)).native();
  }
  directory_ = fs::path(path_).parent_path().native();
  log_ = path_ + "-wal";
  index_of_log_ = path_ + "-shm";
  journal_ = path_ + "-journal";
  if (failure == 0) {
    refuse_what_is_no_database(facts, name_);
    found_ = FileId{facts.st_dev, facts.st_ino};
  } else if (failure != ENOENT) {
    throw Error(ErrorCode::io, "cannot open " + name_ + ": " + std::strerror(failure) +
                                   "; check the path, and the permissions of its directories");
  } else {
    refuse_missing_parent(directory_, name_);
    if (path_.ends_with('/')) refuse_as_store(name_, "its path is that of a directory");
    if (options.read_only || !options.create) {
      throw Error(ErrorCode::not_found, "cannot open " + name_ + ": there is no such file; " +
                                            "check the path, or let Options::create make it");
    }
  }
  const std::string_view network = network_file_system(directory_);
  if (!network.empty()) {
    throw Error(ErrorCode::unsupported,
                "cannot open " + name_ + ": it is on " + std::string(network) +
                    ", where locks do not hold between machines; use a local disk");
  }
}

void DatabaseFile::note() {
  found_ = id();
}

void DatabaseFile::refuse_other_file() const {
  struct stat facts {};
  const bool there = stat(path_.c_str(), &facts) == 0;
  if (found_ && (!there || *found_ != FileId{facts.st_dev, facts.st_ino})) raise_moved(name_);
}

FileId DatabaseFile::id() const {
  if (found_) return *found_;
  struct stat facts {};
  if (stat(path_.c_str(), &facts) != 0) return {};
  return {facts.st_dev, facts.st_ino};
}

bool DatabaseFile::has_log() const {
  struct stat facts {};
  const auto holds_data = [&](const std::string& path) {
    return stat(path.c_str(), &facts) == 0 && facts.st_size > 0;
  };
  return holds_data(log_) || holds_data(journal_);
}

bool DatabaseFile::is_in_place() const noexcept {
  struct stat facts {};
  return stat(path_.c_str(), &facts) == 0 && found_ == FileId{facts.st_dev, facts.st_ino};
}

bool DatabaseFile::may_have_log() const noexcept {
  return may_be_there(log_);
}

bool DatabaseFile::may_have_journal() const noexcept {
  return may_be_there(journal_);
}

bool DatabaseFile::may_be_written() const {
  // In this order: a log is missing also where the path does not lead to the file any more.
  return has_log() || (may_have_log() && may_be_there(index_of_log_)) || !is_in_place();
}

bool DatabaseFile::may_write() const noexcept {
  const auto allows = [](const std::string& path, int what) {
    return faccessat(AT_FDCWD, path.c_str(), what, AT_EACCESS) == 0;
  };
  return allows(path_, W_OK) && allows(directory_, W_OK | X_OK);
}

std::uint64_t DatabaseFile::trace() const {
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  std::uint64_t trace = 0;
  const auto mix = [&](auto number) {
    constexpr std::uint64_t prime = 0x100000001B3;
    trace = (trace ^ static_cast<std::uint64_t>(number)) * prime;
  };
  for (const std::string* path : {&path_, &log_, &journal_}) {
    struct stat facts {};
    const bool there = stat(path->c_str(), &facts) == 0;
    if (!there && path == &path_) raise_moved(name_);
    const std::int64_t modified = facts.st_mtim.tv_sec * second + facts.st_mtim.tv_nsec;
    mix(facts.st_dev);
    mix(facts.st_ino);
    mix(facts.st_size);
    mix(modified);
    if (there && std::abs(now - modified) < second) mix(now);
  }
  return trace;
}

Database DatabaseFile::open(const Options& options, bool keep_log) const {
  Database database;
  struct stat facts {};
  refuse_other_file();
  if (options.read_only) {
    database = open_handle(path_, SQLITE_OPEN_READONLY, name_);
  } else if (found_ || !options.create || stat(path_.c_str(), &facts) == 0) {
    database = open_handle(path_, SQLITE_OPEN_READWRITE, name_);
  } else {
    const ModeTemplate mode(options.file_mode);
    database = open_handle(uri(path_, "modeof=" + mode.path()),
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, name_);
  }
  if (!options.read_only && sqlite3_db_readonly(database.get(), "main") == 1) {
    throw Error(ErrorCode::read_only,
                "cannot write " + name_ +
                    ": this process may only read the file; change its permissions, or set "
                    "Options::read_only");
  }
  harden(database.get(), name_);
  configure(database.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_log ? 1 : 0, name_);
  refuse_mapping(database.get(), name_);
  leave_checkpoints_to_the_library(database.get(), name_);
  refuse_other_file();
  return database;
}

Database DatabaseFile::open_immutable() const {
  Database database =
      open_handle(uri(path_, "immutable=1"), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, name_);
  harden(database.get(), name_);
  refuse_mapping(database.get(), name_);
  return database;
}

Database open_unshared(const std::string& path) {
  const std::string name = in_quotes(path);
  Database database =
      open_handle(uri(path, "nolock=1"), SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, name);
  // Whoever fills it makes it durable at the end.
  execute(database.get(), "PRAGMA journal_mode = MEMORY", name);
  execute(database.get(), "PRAGMA synchronous = OFF", name);
  return database;
}

Database open_memory() {
  const std::string name = "\":memory:\"";
  Database database = open_handle(
      ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, name);
  harden(database.get(), name);
  return database;
}

void prepare_to_write(sqlite3* database, Durability durability, const std::string& name) {
  constexpr std::int64_t largest_idle_wal = 64 << 20;
  // So that damage cannot spread.
  set_pragma(database, "cell_size_check", "ON", 1, name);
  // Overwrites freed content only where that costs no extra write.
  set_pragma(database, "secure_delete", "FAST", 2, name);
  if (durability == Durability::full) {
    set_pragma(database, "synchronous", "FULL", 2, name);
  } else {
    set_pragma(database, "synchronous", "NORMAL", 1, name);
  }
  set_pragma(database, "journal_size_limit", std::to_string(largest_idle_wal), largest_idle_wal,
             name);
}

void keep_pages(sqlite3* database, const Options& options, const std::string& name) {
  constexpr std::size_t kibibyte = 1024;
  constexpr std::size_t default_kib = 2000;  // of SQLite
  constexpr std::size_t most_kib = 1U << 30U;
  const std::size_t kib = std::clamp(options.cache_bytes / kibibyte, default_kib, most_kib);
  const std::int64_t setting = -static_cast<std::int64_t>(kib);  // what is negative counts KiB
  set_pragma(database, "cache_size", std::to_string(setting), setting, name);
}

void use_wal(sqlite3* database, const std::string& name, Patience& patience) {
  std::string mode;
  for (const std::string_view pragma : {"PRAGMA journal_mode", "PRAGMA journal_mode = WAL"}) {
    for (;;) {
      const Statement statement = prepare(database, pragma, name);
      const int code = sqlite3_step(statement.get());
      if (code == SQLITE_ROW) {
        mode = column_text(statement.get(), 0);
        break;
      }
      if (!is_busy(code)) raise(database, code, "use", name);
      if (!patience.wait()) raise_busy(patience, name);
    }
    if (mode == "wal") return;
  }
  throw Error(ErrorCode::unsupported,
              "cannot open " + name + ": its journal mode stays " + mode + " instead of wal; " +
                  "the file system may lack shared memory, use a local disk");
}

}  // namespace kvstore::engine
