#include "companion.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "documents.hpp"
#include "picks.hpp"

namespace bench {
namespace {

constexpr std::string_view flag = "--companion";

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe2");
  }
  return ends;
}

pid_t spawn(std::vector<std::string> arguments, int standard_input, int standard_output) {
  std::vector<char*> raw;
  raw.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, standard_input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, standard_output, STDOUT_FILENO);
  pid_t process = -1;
  const int code = posix_spawn(&process, "/proc/self/exe", &actions, nullptr, raw.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) throw std::system_error(code, std::generic_category(), "posix_spawn");
  return process;
}

std::string line_from(int file) {
  std::string line;
  char letter = '\0';
  while (read(file, &letter, 1) == 1) {
    if (letter == '\n') return line;
    line += letter;
  }
  return {};
}

/// Whether whoever started this process still wants it, after at most so many milliseconds.
bool wanted(int wait) {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  return poll(&input, 1, wait) == 0;
}

void ready(const std::string& answer) {
  std::cout << answer << '\n' << std::flush;
}

void hold(const Peer& peer, const std::string& directory, const Documents& documents) {
  const auto database = peer.open(directory, {});
  const auto session = database->session();
  // A single document would not make kvstore open the write-ahead log.
  const std::string key = Documents::key(documents.size() / 2);
  for (const auto& document : session->get_many(std::array{key, key})) {
    if (!document) throw std::runtime_error("no entry");
  }
  ready("open");
  while (wanted(-1)) {
  }
}

void write(const Peer& peer, const std::string& directory, const Documents& documents) {
  const auto database = peer.open(directory, {.durability = Durability::normal});
  const auto session = database->session();
  Picks picks = Picks::even(std::min(std::size_t{1'000}, documents.size()));
  Replacements replacements(documents);
  ready("open");
  const auto start = std::chrono::steady_clock::now();
  std::size_t stored = 0;
  for (; wanted(1); ++stored) session->set(Documents::key(picks.next()), replacements.next());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  ready(std::to_string(static_cast<double>(stored) / took.count()));
}

std::size_t heap_bytes() {
  const struct mallinfo2 heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

std::size_t resident_bytes() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// An absent key is read, so that all is there that a read needs, and no document is kept.
void memory(const Peer& peer, const std::string& directory) {
  const std::size_t heap = heap_bytes();
  const std::size_t resident = resident_bytes();
  const auto database = peer.open(directory, {});
  const auto session = database->session();
  if (session->get("nobody")) throw std::runtime_error("an entry that nobody stored");
  ready(std::to_string(heap_bytes() - heap) + " " + std::to_string(resident_bytes() - resident));
}

std::size_t number(std::string_view text) {
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Companion::Companion(const std::string& verb, const Peer& peer, const std::string& directory,
                     const Data& data) {
  const auto [its_input, input] = make_pipe();
  const auto [output, its_output] = make_pipe();
  process_ = spawn({"kvstore-bench", std::string(flag), verb, peer.name, directory,
                    std::to_string(data.bytes), std::to_string(data.entries)},
                   its_input, its_output);
  input_ = input;
  output_ = output;
  close(its_input);
  close(its_output);
  answer_ = line_from(output_);
  if (!answer_.empty()) return;
  end();
  throw std::runtime_error("the other process failed");
}

Companion::~Companion() noexcept {
  end();
}

std::string Companion::finish() {
  close(std::exchange(input_, -1));
  return line_from(output_);
}

void Companion::end() noexcept {
  if (input_ >= 0) close(input_);
  close(output_);
  waitpid(process_, nullptr, 0);
}

bool is_companion(std::span<char* const> arguments) {
  return arguments.size() == 7 && arguments[1] == flag;
}

int be_companion(std::span<char* const> arguments) {
  try {
    const std::string_view verb = arguments[2];
    const Peer& peer = peer_called(arguments[3]);
    const std::string directory = arguments[4];
    const Data data{.bytes = number(arguments[5]), .entries = number(arguments[6])};
    if (verb == "hold") hold(peer, directory, Documents::of(data));
    if (verb == "write") write(peer, directory, Documents::of(data));
    if (verb == "memory") memory(peer, directory);
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << "companion: " << failure.what() << '\n';
    return 1;
  }
}

}  // namespace bench
