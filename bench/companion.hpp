#pragma once

#include <sys/types.h>

#include <span>
#include <string>

#include "peer.hpp"
#include "scale.hpp"

namespace bench {

/// Another process, for rows that take two: this program once more, with a verb that says what to
/// do with a database.
///
///   hold    has it open, and has read one entry
///   write   stores one of the first 1,000 entries, a thousand times a second if it gets to it, and
///           says in the end how often a second it did
///   memory  opens it and says how many bytes that took: of the heap, and of resident memory
///
/// It goes on until it is told to go, or this object is gone.
class Companion {
 public:
  /// Returns when the other process is ready. Throws: std::runtime_error, when it failed.
  Companion(const std::string& verb, const Peer& peer, const std::string& directory,
            const Data& data);
  ~Companion() noexcept;
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;
  Companion(Companion&&) = delete;
  Companion& operator=(Companion&&) = delete;

  /// What it said when it was ready.
  [[nodiscard]] const std::string& answer() const noexcept { return answer_; }

  /// Tells it to go. Returns what it said then; empty: nothing.
  std::string finish();

 private:
  void end() noexcept;

  pid_t process_ = -1;
  int input_ = -1;  ///< Whose end tells it to go.
  int output_ = -1;
  std::string answer_;
};

/// Whether these are the arguments of such a process.
bool is_companion(std::span<char* const> arguments);

/// Is one. Returns the exit code.
int be_companion(std::span<char* const> arguments);

}  // namespace bench
