// A command-line program that remembers. Any number of them may run at once; none loses a note.
// Exit codes: 0 done, 1 no such note (or there is one already), 2 usage, 3 the store failed.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include <kvstore/kvstore.hpp>

namespace {

using kvstore::KVStore;

struct Note {
  std::string text;
  bool done = false;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Note, text, done)

bool add(KVStore& notes, const char* const* words) {
  return notes.insert(words[0], Note{words[1]}).has_value();  // never over another note
}

/// Without a prefix, which is the null pointer at the end of the words: all notes.
bool list(KVStore& notes, const char* const* words) {
  for (const kvstore::Entry& entry : notes.scan({.prefix = words[0] != nullptr ? words[0] : ""})) {
    std::cout << (entry.value.at("done") == true ? "[x] " : "[ ] ") << entry.key << '\n';
  }
  return true;  // no note is a good answer too
}

bool show(KVStore& notes, const char* const* words) {
  const std::optional<Note> note = notes.get<Note>(words[0]);
  if (note) std::cout << note->text << '\n';
  return note.has_value();
}

bool done(KVStore& notes, const char* const* words) {
  return notes.update(words[0], [](kvstore::json& note) { note["done"] = true; }).has_value();
}

bool rm(KVStore& notes, const char* const* words) {
  return notes.erase(words[0]);
}

struct Command {
  std::string_view name;
  int words;
  bool (*run)(KVStore& notes, const char* const* words);
};
constexpr std::array commands{Command{"add", 2, add},     Command{"list", 0, list},
                              Command{"show", 1, show},   Command{"done", 1, done},
                              Command{"search", 1, list}, Command{"rm", 1, rm}};
constexpr std::string_view usage =
    "usage: cli_notes add NAME TEXT | list | search PREFIX | show NAME | done NAME | rm NAME\n";

}  // namespace

int main(int argc, char** argv) {
  const auto* command = std::ranges::find_if(commands, [&](const Command& known) {
    return argc == known.words + 2 && known.name == argv[1];
  });
  if (command == commands.end()) {
    std::cerr << usage;
    return 2;
  }
  try {
    const char* file = std::getenv("NOTES_FILE");
    KVStore notes(file == nullptr ? "notes.db" : file);
    if (command->run(notes, argv + 2)) return 0;
    std::cerr << argv[2] << (command->run == add ? ": already there\n" : ": no such note\n");
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "cli_notes: " << error.what() << '\n';
    return 3;
  }
}
