#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace kvstore::test {

/// Runs `body` in a forked child and returns the text that it returned: of a `kvstore::Error` that
/// leaves it "code: text", of a child that died "died: status".
std::string in_child(const std::function<std::string()>& body);

/// The same, without any privilege: as the user nobody. Only root can do this.
std::string as_nobody(const std::function<std::string()>& body);

/// Whether this process may become somebody else, and ignores permissions.
bool is_root();

/// Another process, started by exec, with pipes to its input and from its output.
class Process {
 public:
  explicit Process(const std::vector<std::string>& command);

  /// Ends it with SIGKILL when it is still running.
  ~Process() noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  Process(Process&&) = delete;
  Process& operator=(Process&&) = delete;

  /// The next line of its output without the newline. Waits. Absent: it closed its output; a last
  /// line without newline, as a killed process leaves it, is dropped.
  std::optional<std::string> line();

  /// All further lines.
  std::vector<std::string> lines();

  void write_line(const std::string& text);
  void close_input();
  void kill_now();

  /// Waits for its end. Returns the exit status, or 128 + the signal.
  int wait();

 private:
  pid_t pid_ = -1;
  int input_ = -1, output_ = -1, status_ = -1;
  std::string buffer_;
};

/// The command line of the test worker, see worker.cpp.
std::vector<std::string> worker(std::vector<std::string> arguments);

}  // namespace kvstore::test
