#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <variant>

#include <kvstore/engine/sqlite_handle.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_record.hpp>
#include <kvstore/engine/sqlite_schema.hpp>
#include <kvstore/engine/text.hpp>

namespace kvstore::engine {
namespace {

constexpr int application_id = 0x6B767374;  // "kvst"

constexpr std::string_view older_table =
    "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, "
    "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)";

constexpr std::string_view table =
    "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, "
    "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, expires_at TIMESTAMP, revision INTEGER, "
    "checksum INTEGER)";

constexpr std::array added_columns = {
    std::string_view("ALTER TABLE kv ADD COLUMN expires_at TIMESTAMP"),
    std::string_view("ALTER TABLE kv ADD COLUMN revision INTEGER"),
    std::string_view("ALTER TABLE kv ADD COLUMN checksum INTEGER")};

constexpr std::string_view floor_table = "CREATE TABLE kv_floor(revision INTEGER NOT NULL)";

struct Part {
  std::string_view type, name, sql;
};

/// What stands beside the table. The texts use nothing newer than SQLite 3.8, so that old programs
/// can open the file.
constexpr std::array parts = {
    Part{"table", "kv_floor", floor_table},
    Part{"index", "kv_expires_at",
         "CREATE INDEX kv_expires_at ON kv(expires_at) WHERE expires_at IS NOT NULL"},
    Part{"trigger", "kv_outside_replace",
         R"(CREATE TRIGGER kv_outside_replace BEFORE INSERT ON kv BEGIN
  UPDATE kv_floor SET revision = (SELECT k.revision FROM kv k WHERE k.key = NEW.key)
    WHERE revision < (SELECT k.revision FROM kv k WHERE k.key = NEW.key);
END)"},
    Part{"trigger", "kv_outside_insert",
         R"(CREATE TRIGGER kv_outside_insert AFTER INSERT ON kv BEGIN
  SELECT RAISE(ABORT, 'kv: key must be text, value must be JSON text')
    WHERE typeof(NEW.key) || typeof(NEW.value) <> 'texttext' OR instr(NEW.key, char(0))
      OR instr(NEW.value, char(0)) OR NOT json_valid(NEW.value);
  UPDATE kv SET checksum = NULL, updated_at = coalesce(NEW.updated_at, CURRENT_TIMESTAMP),
    expires_at = strftime('%Y-%m-%d %H:%M:%f', NEW.expires_at),
    revision = max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000,
      (SELECT revision FROM kv_floor) + 1)
    WHERE rowid = NEW.rowid;
END)"},
    Part{"trigger", "kv_outside_update",
         R"(CREATE TRIGGER kv_outside_update AFTER UPDATE OF key, value ON kv BEGIN
  SELECT RAISE(ABORT, 'kv: key must be text, value must be JSON text')
    WHERE typeof(NEW.key) || typeof(NEW.value) <> 'texttext' OR instr(NEW.key, char(0))
      OR instr(NEW.value, char(0)) OR NOT json_valid(NEW.value);
  UPDATE kv SET checksum = NULL,
    updated_at = coalesce(nullif(NEW.updated_at, OLD.updated_at), CURRENT_TIMESTAMP),
    expires_at = strftime('%Y-%m-%d %H:%M:%f', nullif(NEW.expires_at, OLD.expires_at)),
    revision = max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000,
      coalesce(OLD.revision, 0) + 1, (SELECT revision FROM kv_floor) + 1)
    WHERE rowid = NEW.rowid;
END)"},
    Part{"trigger", "kv_outside_touch",
         R"(CREATE TRIGGER kv_outside_touch AFTER UPDATE OF updated_at, expires_at, revision ON kv
WHEN NEW.checksum IS NOT NULL BEGIN
  UPDATE kv SET checksum = NULL WHERE rowid = NEW.rowid;
END)"},
    Part{"trigger", "kv_outside_delete", R"(CREATE TRIGGER kv_outside_delete AFTER DELETE ON kv
WHEN OLD.revision > (SELECT revision FROM kv_floor) BEGIN
  UPDATE kv_floor SET revision = OLD.revision;
END)"},
};

bool is_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// Quotes around these change nothing; around others (`DEFAULT "CURRENT_TIMESTAMP"`) they may.
bool plain_when_quoted(const std::string& word) {
  constexpr std::array words = {"kv",         "key",       "value",    "updated_at",
                                "expires_at", "revision",  "checksum", "kv_floor",
                                "text",       "timestamp", "integer"};
  return std::ranges::find(words, word) != words.end();
}

/// Consumes a comment or white space; false when there is none.
bool skip_blank(std::string_view& rest) {
  constexpr std::string_view blanks = " \t\r\n\f";
  if (blanks.find(rest[0]) != std::string_view::npos) {
    rest.remove_prefix(1);
    return true;
  }
  const std::string_view end = rest.starts_with("--") ? "\n" : rest.starts_with("/*") ? "*/" : "";
  if (end.empty()) return false;
  const std::size_t found = rest.find(end, 2);
  rest.remove_prefix(found == std::string_view::npos ? rest.size() : found + end.size());
  return true;
}

/// The tokens of a CREATE statement, one space apart: comments, quotes, case and white space, which
/// differ between programs that mean the same table, are gone. What could change the meaning stays.
std::string normalised(std::string_view sql) {
  std::string out;
  while (!sql.empty()) {
    if (skip_blank(sql)) continue;
    if (!out.empty()) out += ' ';
    std::size_t length = 1;
    if (is_word(sql[0])) {
      while (length < sql.size() && is_word(sql[length])) ++length;
      out += lower(sql.substr(0, length));
    } else if (sql[0] == '"' || sql[0] == '`' || sql[0] == '[') {
      const std::size_t end = sql.find(sql[0] == '[' ? ']' : sql[0], 1);
      if (end == std::string_view::npos) return std::string(sql);
      length = end + 1;
      const std::string word = lower(sql.substr(1, end - 1));
      out += plain_when_quoted(word) ? word : std::string(sql.substr(0, length));
    } else {
      out += sql[0];
    }
    sql.remove_prefix(length);
  }
  return out;
}

bool same_meaning(std::string_view a, std::string_view b) {
  return a == b || normalised(a) == normalised(b);
}

/// The cheap look: nearly no text has the word.
bool may_be_unique(std::string_view sql) {
  return lower(sql).find("unique") != std::string::npos;
}

struct Object {
  std::string type, table, sql;
};

/// What the head of a database says of it.
struct Facts {
  int application = 0, version = 0;
  std::string encoding{};

  friend bool operator==(const Facts&, const Facts&) = default;
};

struct Contents {
  Facts facts;
  std::map<std::string, Object, std::less<>> objects{};

  [[nodiscard]] const Object* find(std::string_view name) const {
    const auto found = objects.find(name);
    return found == objects.end() ? nullptr : &found->second;
  }
};

/// One moment for several statements, and one round of locks; a transaction that is open serves.
class ReadTransaction {
 public:
  ReadTransaction(sqlite3* database, const std::string& name)
      : database_(sqlite3_get_autocommit(database) != 0 ? database : nullptr) {
    if (database_ != nullptr) execute(database_, "BEGIN", name);
  }
  ~ReadTransaction() noexcept {
    if (database_ != nullptr) sqlite3_exec(database_, "COMMIT", nullptr, nullptr, nullptr);
  }
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;
  ReadTransaction(ReadTransaction&&) = delete;
  ReadTransaction& operator=(ReadTransaction&&) = delete;

 private:
  sqlite3* database_;
};

Facts read_facts(sqlite3* database, const std::string& name) {
  Facts facts;
  const auto number = [&](std::string_view pragma, int& value) {
    execute(database, pragma, name, [&](sqlite3_stmt* row) { value = sqlite3_column_int(row, 0); });
  };
  number("PRAGMA application_id", facts.application);
  number("PRAGMA user_version", facts.version);
  execute(database, "PRAGMA encoding", name,
          [&](sqlite3_stmt* row) { facts.encoding = column_text(row, 0); });
  return facts;
}

/// The same, as the first page of a file tells it.
/// Source: https://sqlite.org/fileformat2.html §1.3, where each stands.
Facts facts_of(std::string_view first_page) {
  constexpr std::size_t encoding = 56;
  constexpr std::size_t version = 60;
  constexpr std::size_t application = 68;
  const auto number = [&](std::size_t at) { return static_cast<int>(u32(first_page, at)); };
  return {number(application), number(version),
          number(encoding) == SQLITE_UTF8 ? "UTF-8" : "UTF-16"};
}

/// Whether the texts of a schema are all that this library makes, word for word, and nothing beside
/// it that may be a unique index. That is nearly every file.
class Completeness {
 public:
  /// False: this text is none of a complete store, or may be none.
  bool take(std::string_view sql) {
    const auto* part = std::ranges::find(parts, sql, &Part::sql);
    if (part != parts.end()) return has_part_.at(part - parts.begin()) = true;
    if (sql.starts_with("CREATE TABLE ") && same_meaning(sql, table)) return has_table_ = true;
    return !may_be_unique(sql);
  }
  [[nodiscard]] bool all() const {
    return has_table_ && std::ranges::find(has_part_, false) == has_part_.end();
  }

 private:
  bool has_table_ = false;
  std::array<bool, parts.size()> has_part_{};
};

/// Whether SQLite can open a file with this first page and uses WAL mode then, as far as the header
/// of the file says.
/// Source: https://sqlite.org/fileformat2.html §1.3.
bool has_usual_header(std::string_view first_page) {
  using std::string_view_literals::operator""sv;
  constexpr std::string_view begin = "SQLite format 3\0\x10\0\x02\x02"sv;  // 4,096, and twice WAL
  constexpr std::string_view fractions = "\x40\x20\x20";
  constexpr std::size_t fractions_at = 21;
  constexpr std::size_t schema_format = 44;
  constexpr std::uint32_t newest_schema_format = 4;
  return first_page.size() == usual_page_bytes && first_page.starts_with(begin) &&
         first_page.substr(fractions_at).starts_with(fractions) &&
         u32(first_page, schema_format) <= newest_schema_format;
}

bool is_current(const Facts& facts) {
  return facts == Facts{application_id, sqlite_format, "UTF-8"};
}

/// This look takes half of the instructions of a whole one, because each column costs a statement
/// some 10,000.
bool is_complete(sqlite3* database, const std::string& name) {
  Completeness found;
  // Its transaction, which ends with the last row, makes one moment of all that is asked.
  const Statement texts = prepare(database, "SELECT sql FROM sqlite_master", name);
  int code = sqlite3_step(texts.get());
  if (code != SQLITE_ROW || !is_current(read_facts(database, name))) return false;
  for (; code == SQLITE_ROW; code = sqlite3_step(texts.get())) {
    if (!found.take(column_text(texts.get(), 0))) return false;
  }
  return code == SQLITE_DONE && found.all();
}

Contents read_contents(sqlite3* database, const std::string& name) {
  const ReadTransaction one_moment(database, name);
  Contents contents{.facts = read_facts(database, name)};
  execute(database, "SELECT name, type, tbl_name, sql FROM sqlite_master", name,
          [&](sqlite3_stmt* row) {
            contents.objects.emplace(
                lower(column_text(row, 0)),
                Object{std::string(column_text(row, 1)), lower(column_text(row, 2)),
                       std::string(column_text(row, 3))});
          });
  return contents;
}

/// Only a store's own objects, and what changes no behaviour, may be in a file that bears no mark.
void refuse_strangers(const Contents& contents, const std::string& name) {
  for (const auto& [object_name, object] : contents.objects) {
    const bool own =
        object_name == "kv" || object_name.starts_with("kv_") || object_name.starts_with("sqlite_");
    const bool index = object.type == "index" && object.table == "kv";
    if (!own && !index) {
      refuse_as_store(name, "it holds the " + object.type + " " + in_quotes(object_name) +
                                " of another application");
    }
  }
}

void refuse_unique_indexes(const Contents& contents, const std::string& name) {
  for (const auto& [object_name, object] : contents.objects) {
    if (object.type == "index" && object.table == "kv" && may_be_unique(object.sql) &&
        normalised(object.sql).starts_with("create unique ")) {
      refuse_as_store(name,
                      "the index " + in_quotes(object_name) + " would refuse or replace entries");
    }
  }
}

Schema examine(const Contents& contents, const std::string& name) {
  const bool marked = contents.facts.application == application_id;
  if (marked && contents.facts.version > sqlite_format) {
    throw Error(ErrorCode::newer_format,
                name + " has format " + std::to_string(contents.facts.version) +
                    ", this program knows formats up to " + std::to_string(sqlite_format) +
                    "; it was left as it is, use a newer kvstore");
  }
  if (!marked && contents.facts.application != 0) {
    refuse_as_store(name, "its application_id is that of another application");
  }
  if (contents.facts.version != (marked ? sqlite_format : 0)) {
    refuse_as_store(name, "its user_version " + std::to_string(contents.facts.version) +
                              " is not one of a store");
  }
  if (contents.facts.encoding != "UTF-8") refuse_as_store(name, "its text is not stored as UTF-8");
  const Object* kv = contents.find("kv");
  if (!marked) refuse_strangers(contents, name);
  if (kv == nullptr) {
    if (marked || !contents.objects.empty()) refuse_as_store(name, "it has no table kv");
    return Schema::absent;
  }
  const bool old = !same_meaning(kv->sql, table);
  if (kv->type != "table" || (old && !same_meaning(kv->sql, older_table))) {
    refuse_as_store(name, "its " + kv->type + " kv has another definition");
  }
  refuse_unique_indexes(contents, name);
  bool complete = marked && !old;
  for (const Part& part : parts) {
    const Object* object = contents.find(part.name);
    if (object == nullptr) {
      complete = false;
    } else if (object->type != part.type) {
      refuse_as_store(
          name, "its " + object->type + " " + std::string(part.name) + " has another definition");
    }
  }
  const Object* floor = contents.find("kv_floor");
  if (floor != nullptr && !same_meaning(floor->sql, floor_table)) {
    refuse_as_store(name, "its table kv_floor has another definition");
  }
  return complete ? Schema::current : Schema::older;
}

void create_missing(sqlite3* database, const std::string& name) {
  const Contents contents = read_contents(database, name);
  const Schema found = examine(contents, name);
  if (found == Schema::current) return;
  if (found == Schema::absent) {
    execute(database, table, name);
  } else if (same_meaning(contents.find("kv")->sql, older_table)) {
    for (const std::string_view column : added_columns) execute(database, column, name);
  }
  for (const Part& part : parts) {
    if (contents.find(part.name) != nullptr) continue;
    execute(database, part.sql, name);
    if (part.name == "kv_floor") execute(database, "INSERT INTO kv_floor VALUES(0)", name);
  }
  execute(database, "PRAGMA application_id = " + std::to_string(application_id), name);
  execute(database, "PRAGMA user_version = " + std::to_string(sqlite_format), name);
}

}  // namespace

std::optional<StoreShape> shape_of_current_store(std::string_view first_page,
                                                 std::uint64_t file_bytes) {
  enum Column : std::size_t { type, object, of_table, root, sql, all };
  constexpr std::size_t reserved = 20;
  constexpr std::size_t pages = 28;
  if (!has_usual_header(first_page) ||
      std::uint64_t{u32(first_page, pages)} * usual_page_bytes > file_bytes ||
      !is_current(facts_of(first_page)))
    return std::nullopt;
  const std::optional<Node> node = node_of(first_page, file_header);
  if (!node || node->kind != PageKind::table_leaf || node->damaged) return std::nullopt;
  StoreShape shape{.file_bytes = file_bytes};
  shape.usable_bytes = first_page.size() - static_cast<unsigned char>(first_page[reserved]);
  Completeness found;
  std::vector<Value> columns;
  for (std::size_t at : node->cells) {
    const std::optional<std::uint64_t> bytes = varint(first_page, at);
    if (!bytes || !varint(first_page, at)) return std::nullopt;  // the second is the rowid
    if (*bytes > first_page.size() - at ||
        bytes_in_cell(node->kind, *bytes, shape.usable_bytes) != *bytes ||
        !read_columns(first_page.substr(at, *bytes), columns) || columns.size() < all) {
      return std::nullopt;
    }
    const auto* text = std::get_if<std::string_view>(&columns[sql]);
    if (text != nullptr && !found.take(*text)) return std::nullopt;
    const auto* page = std::get_if<std::int64_t>(&columns[root]);
    if (page == nullptr || *page < 2 || *page > std::numeric_limits<std::uint32_t>::max()) continue;
    const auto number = static_cast<std::uint32_t>(*page);
    if (columns[object] == Value("kv")) shape.table = number;
    if (columns[object] == Value("sqlite_autoindex_kv_1")) shape.keys = number;
  }
  if (!found.all() || shape.table == 0 || shape.keys == 0) return std::nullopt;
  return shape;
}

Schema examine_schema(sqlite3* database, const std::string& name) {
  return is_complete(database, name) ? Schema::current
                                     : examine(read_contents(database, name), name);
}

void upgrade_schema(sqlite3* database, const std::string& name, Patience& patience) {
  execute_patiently(database, "BEGIN IMMEDIATE", name, patience);
  try {
    create_missing(database, name);
    execute_patiently(database, "COMMIT", name, patience);
  } catch (...) {
    sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

std::vector<std::string> schema_defects(sqlite3* database, const std::string& name) {
  std::vector<std::string> defects;
  const Contents contents = read_contents(database, name);
  try {
    if (examine(contents, name) != Schema::current) {
      defects.emplace_back("a trigger, table or index of the store is missing; opening repairs it");
    }
  } catch (const Error& error) {
    defects.emplace_back(error.what());
  }
  for (const Part& part : parts) {
    const Object* object = contents.find(part.name);
    if (object != nullptr && !same_meaning(object->sql, part.sql)) {
      defects.push_back("the " + object->type + " " + std::string(part.name) +
                        " has another definition");
    }
  }
  if (contents.find("kv_floor") != nullptr) {
    int rows = 0;
    bool sound = true;
    execute(database, "SELECT revision FROM kv_floor", name, [&](sqlite3_stmt* row) {
      ++rows;
      sound = sound && sqlite3_column_type(row, 0) == SQLITE_INTEGER;
    });
    if (rows != 1 || !sound) {
      defects.emplace_back("the table kv_floor does not hold exactly one whole number");
    }
  }
  return defects;
}

}  // namespace kvstore::engine
