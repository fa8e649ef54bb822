#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <kvstore/engine/dialect.hpp>
#include <kvstore/engine/function_ref.hpp>
#include <kvstore/options.hpp>
#include <kvstore/stats.hpp>

/// The seam between the store and what keeps its rows. It is SQL-shaped and row-shaped: a feature
/// of the store adds a text, not a virtual function.
namespace kvstore::engine {

/// What stands in a column that holds a type which the store never stores, such as a BLOB.
struct Stranger {
  bool operator==(const Stranger&) const = default;
};

/// One column or parameter. Text is borrowed: a parameter for the length of the call, a column
/// until the callback returns.
using Value = std::variant<std::monostate, std::int64_t, double, std::string_view, Stranger>;

/// Empty where it holds no text.
inline std::string_view text_of(const Value& value) noexcept {
  const auto* text = std::get_if<std::string_view>(&value);
  return text == nullptr ? std::string_view() : *text;
}

using Row = std::span<const Value>;

/// Sees one row of a result; false ends the statement. It must not use the connection.
using OnRow = FunctionRef<bool(Row)>;

/// The parameters of the next execution; an empty row ends the series.
using NextRow = FunctionRef<Row()>;

/// Told how many rows one execution of a series changed.
using OnResult = FunctionRef<void(std::int64_t changed)>;

/// What a connection or a transaction is for. `read_row`: statements that read one row each, and
/// perhaps more later. `snapshot`: reading one moment over many calls; where there is only one
/// connection, this is one to a copy.
enum class Access : std::uint8_t { read_row, read, write, snapshot };

/// `lost`: the engine has ended the transaction by itself, or the connection is not to be trusted.
enum class State : std::uint8_t { idle, open, lost };

/// Whether a commit ends the read of its transaction, too. A connection that keeps reading what it
/// has committed keeps the write lock as well, and begins the next write cheaper; but nobody else
/// can write meanwhile, housekeeping cannot pass it, and it must not drop a table or an index.
enum class AfterCommit : std::uint8_t { end_read, keep_reading };

/// One connection; used by one thread at a time. Errors are `kvstore::Error`.
class Connection {
 public:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection(Connection&&) = delete;
  Connection& operator=(Connection&&) = delete;
  virtual ~Connection() = default;

  /// Runs one statement and returns how many rows it changed. `sql` is prepared once and kept.
  virtual std::int64_t run(std::string_view sql, Row parameters, OnRow on_row) = 0;

  /// Runs one statement for each row of parameters. `on_result` may run further statements.
  virtual void run_many(std::string_view sql, NextRow next_row, OnResult on_result) = 0;

  /// Starts a transaction. A read transaction sees one moment from here on; a write transaction
  /// holds the write lock from here on, or throws `busy` after `patience`.
  virtual void begin(Access access, std::chrono::milliseconds patience) = 0;

  /// Throws: `outcome_unknown`, here only, when nobody can know whether the commit happened. After
  /// any error the transaction is over or can be rolled back.
  virtual void commit(AfterCommit after) = 0;
  void commit() { commit(AfterCommit::end_read); }

  /// Keeps reading the moment of now: statements outside of a transaction see it, too. Returns
  /// whether it does; an engine need not.
  virtual bool keep_reading() noexcept = 0;

  /// Ends a read that is kept, and gives the write lock back. So do a rollback, and other
  /// transactions than a write.
  virtual void end_read() noexcept = 0;

  virtual void rollback() noexcept = 0;
  [[nodiscard]] virtual State state() const noexcept = 0;

  /// For statements that return no rows.
  std::int64_t run(std::string_view sql, Row parameters = {}) {
    return run(sql, parameters, [](Row) { return true; });
  }
};

/// Lends the store's idle write connection, in its turn among the writers of this process.
using WithWriter = FunctionRef<void(FunctionRef<void(Connection&)>)>;

/// What is true of every connection to an engine.
struct Traits {
  bool one_connection = false;  ///< There is only one connection, which all calls share.
};

/// How much the engine wants `tidy`. `urgent`: the next write should wait for it.
enum class Need : std::uint8_t { none, soon, urgent };

/// What `tidy` achieved. `advanced`: not all, for the disk was too slow or more came meanwhile.
/// `incomplete`: not all, for others are in the way, and may stay there.
enum class Tidied : std::uint8_t { done, advanced, incomplete };

/// A state of the database: marks that are equal and known stand for the same content.
struct Mark {
  std::array<std::uint32_t, 12> words{};
  bool known = false;
  bool operator==(const Mark&) const = default;
};

/// One database.
class Engine {
 public:
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&&) = delete;
  Engine& operator=(Engine&&) = delete;
  virtual ~Engine() = default;

  /// For `snapshot` the caller holds the only connection's turn, where there is only one.
  virtual std::unique_ptr<Connection> connect(Access role) = 0;

  /// Changes with every commit of anybody. Costs no system call.
  [[nodiscard]] virtual Mark mark() const noexcept = 0;

  /// Whether what `writer` committed last is all that happened between two marks, the first of
  /// which was taken under its write lock.
  [[nodiscard]] virtual bool only_commit(const Connection& writer, const Mark& before,
                                         const Mark& after) const noexcept = 0;

  /// Looks at the database from outside, for the price of a few system calls. Where `mark` counts
  /// nothing, the answer differs from the one before when somebody may have committed in between.
  /// Throws: io, when the database was deleted, renamed or replaced.
  [[nodiscard]] virtual std::uint64_t look() const = 0;

  /// Whether anybody else has the database open; in doubt, yes. Called by whoever is to write.
  virtual bool has_neighbours() = 0;

  /// Whether `tidy` is due. `others_write`: another process committed within the last minute.
  [[nodiscard]] virtual Need need_to_tidy(bool others_write) const noexcept = 0;

  /// Housekeeping beside readers and writers: bounds the write-ahead log.
  virtual Tidied tidy(WithWriter with_writer) = 0;

  /// Copies what the transaction that is open on `source` sees into a file `to`, which is a store
  /// then. It takes its place when it is complete, and `accept` was content with a connection to
  /// it. Throws: see `KVStore::backup`.
  virtual void backup(Connection& source, const std::filesystem::path& to, const Progress& progress,
                      FunctionRef<void(Connection&)> accept) = 0;

  /// Sizes and versions, asked over `connection`.
  virtual Stats facts(Connection& connection) = 0;

  /// Whether the database is still in the shape in which it was opened; a text for each defect.
  virtual std::vector<std::string> defects(Connection& connection) = 0;

  [[nodiscard]] const Dialect& dialect() const noexcept { return dialect_; }
  [[nodiscard]] const Traits& traits() const noexcept { return traits_; }

  /// What error messages call the database: a quoted path.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 protected:
  /// `dialect` outlives the engine.
  Engine(std::string name, const Dialect& dialect, Traits traits) noexcept
      : name_(std::move(name)), dialect_(dialect), traits_(traits) {}

 private:
  std::string name_;
  const Dialect& dialect_;
  Traits traits_;
};

}  // namespace kvstore::engine
