#include "support.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

namespace kvstore::test {

std::ptrdiff_t threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(tasks, std::filesystem::directory_iterator());
}

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "kvstore-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TempDir::~TempDir() noexcept {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* given = std::getenv("KVSTORE_TEST_SEED");
    const std::uint64_t chosen =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "[   SEED   ] KVSTORE_TEST_SEED=" << chosen << '\n';
    return chosen;
  }();
  return value;
}

bool long_run() {
  const char* given = std::getenv("KVSTORE_TEST_LONG");
  return given != nullptr && std::string_view(given) == "1";
}

void fill(KVStore& store, int entries, std::size_t value_bytes) {
  store.transaction([&](Transaction& tx) {
    for (int i = 0; i < entries; ++i) {
      tx.set("k" + std::to_string(i), std::string(value_bytes, static_cast<char>('a' + i % 26)));
    }
  });
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as documents are
bool identical_in_bits(const json& a, const json& b) {
  if (a.type() != b.type() || a.size() != b.size()) return false;
  if (a.is_number_float()) {
    return std::bit_cast<std::uint64_t>(a.get<double>()) ==
           std::bit_cast<std::uint64_t>(b.get<double>());
  }
  if (!a.is_structured()) return a == b;
  for (auto left = a.begin(), right = b.begin(); left != a.end(); ++left, ++right) {
    if (a.is_object() && left.key() != right.key()) return false;
    if (!identical_in_bits(*left, *right)) return false;
  }
  return true;
}

std::string bytes_of(const std::string& file) {
  const std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

void write_bytes(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

int run_program(const std::vector<std::string>& command, std::string* output) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  close(ends[1]);
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = read(ends[0], buffer.data(), buffer.size());
    if (got <= 0) break;
    if (output != nullptr) output->append(buffer.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace kvstore::test
