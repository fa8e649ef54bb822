#include "child.hpp"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

#include <kvstore/error.hpp>

namespace kvstore::test {
namespace {

std::array<int, 2> new_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  return ends;
}

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = read(descriptor, buffer.data(), buffer.size());
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(descriptor, text.data(), text.size());
    if (put <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

int exit_status(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string outcome_of(const std::function<std::string()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  } catch (const std::exception& error) {
    return std::string("exception: ") + error.what();
  }
}

}  // namespace

std::string in_child(const std::function<std::string()>& body) {
  const auto [reader, writer] = new_pipe();
  const pid_t child = fork();
  if (child == 0) {
    write_all(writer, outcome_of(body));
    _exit(0);
  }
  close(writer);
  std::string text = read_all(reader);
  close(reader);
  int status = 0;
  waitpid(child, &status, 0);
  const int code = exit_status(status);
  return code == 0 ? text : "died: " + std::to_string(code);
}

std::string as_nobody(const std::function<std::string()>& body) {
  return in_child([&] {
    constexpr uid_t nobody = 65534;
    if (setgroups(0, nullptr) != 0 || setresgid(nobody, nobody, nobody) != 0 ||
        setresuid(nobody, nobody, nobody) != 0) {
      return std::string("cannot become nobody");
    }
    return body();
  });
}

bool is_root() {
  return geteuid() == 0;
}

Process::Process(const std::vector<std::string>& command) {
  const auto [in_reader, in_writer] = new_pipe();
  const auto [out_reader, out_writer] = new_pipe();
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(in_reader, STDIN_FILENO);
    dup2(out_writer, STDOUT_FILENO);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  close(in_reader);
  close(out_writer);
  input_ = in_writer;
  output_ = out_reader;
}

Process::~Process() noexcept {
  kill_now();
  close(output_);
}

std::optional<std::string> Process::line() {
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string text = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return text;
    }
    std::array<char, 4096> chunk{};
    const ssize_t got = read(output_, chunk.data(), chunk.size());
    if (got <= 0) return std::nullopt;
    buffer_.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

std::vector<std::string> Process::lines() {
  std::vector<std::string> all;
  while (std::optional<std::string> next = line()) all.push_back(*std::move(next));
  return all;
}

void Process::write_line(const std::string& text) {
  write_all(input_, text + "\n");
}

void Process::close_input() {
  if (input_ >= 0) close(std::exchange(input_, -1));
}

void Process::kill_now() {
  if (status_ < 0) kill(pid_, SIGKILL);
  wait();
}

int Process::wait() {
  close_input();
  if (status_ < 0) {
    int status = 0;
    waitpid(pid_, &status, 0);
    status_ = exit_status(status);
  }
  return status_;
}

std::vector<std::string> worker(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), KVSTORE_TEST_WORKER);
  return arguments;
}

}  // namespace kvstore::test
