#include <kvstore/error.hpp>
#include <kvstore/internal/known.hpp>

namespace kvstore::internal {
namespace {

bool has_passed(std::string_view expires, std::string_view now) noexcept {
  return !expires.empty() && expires <= now;
}

/// Whether a row cannot be read for what stands in it, rather than for the state of the store.
bool is_of_the_row(const Error& error) noexcept {
  return error.code() == ErrorCode::corrupt || error.code() == ErrorCode::invalid_value ||
         error.code() == ErrorCode::invalid_key;
}

}  // namespace

void Known::note(std::string_view key, const Version& version, bool readable) {
  auto found = entries_.find(key);
  if (found == entries_.end()) found = entries_.emplace(key, State{}).first;
  auto& [own_key, state] = *found;
  if (state.expires != version.expires_text) {
    if (!state.expires.empty()) expiries_.erase({state.expires, own_key});
    state.expires = version.expires_text;
    if (!state.expires.empty()) expiries_.emplace(state.expires, own_key);
  }
  state.revision = version.revision;
  state.print = version.print;
  state.comparison = comparison_;
  state.readable = readable;
}

std::optional<Known::State> Known::take(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  if (!found->second.expires.empty()) expiries_.erase({found->second.expires, found->first});
  std::optional<State> state = std::move(found->second);
  entries_.erase(found);
  return state;
}

const Known::State* Known::state_of(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

Look Known::look_at(const Reading& reading, std::string_view key) const {
  Look look;
  const auto see = [&](const Version& version, bool live) {
    look.row = Look::Row{version.revision, version.print, std::string(version.expires_text), live};
  };
  const State* known = state_of(key);
  try {
    find(reading, key, [&](const Record& record) {
      const Version version = version_of(record);
      see(version, true);
      const bool is_known = known != nullptr && known->readable && known->has(version);
      if (!is_known) look.value = record.parsed();
    });
  } catch (const Error& error) {
    if (!is_of_the_row(error)) throw;
    look.readable = false;
    look.damage = std::current_exception();
  }
  if (look.row && look.readable) return look;
  const std::string behind = std::string(key) + '\x01';
  each_version(reading, key, behind, [&](std::string_view found, const Version& version) {
    if (found != key) return;
    see(version, !look.readable);
    if (look.readable) return;
    look.row->expires.clear();  // damage may have moved it
    if (known != nullptr && !known->readable && known->has(version)) look.damage = nullptr;
  });
  return look;
}

std::optional<Change> Known::settle(const std::string& key, Look look, std::string_view now) {
  using Kind = Change::Kind;
  if (look.row && look.row->live) {
    note(key, {look.row->revision, look.row->print, look.row->expires}, look.readable);
    if (!look.value) return std::nullopt;
    return Change{Kind::set, key, std::move(look.value), look.row->revision};
  }
  const std::optional<State> state = take(key);
  if (!state) return std::nullopt;
  const bool expired = look.row || has_passed(state->expires, now);
  return Change{expired ? Kind::expired : Kind::erased, key, std::nullopt,
                look.row ? look.row->revision : state->revision};
}

bool Known::agrees(std::string_view key, const Version& version, std::string_view now) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return has_passed(version.expires_text, now);
  State& state = found->second;
  state.comparison = comparison_;
  return state.has(version) && state.expires == version.expires_text;
}

void Known::missing(engine::FunctionRef<void(const std::string& key)> on_key) const {
  for (const auto& [key, state] : entries_) {
    if (state.comparison != comparison_) on_key(key);
  }
}

void Known::expired(std::string_view now,
                    engine::FunctionRef<void(std::string_view key)> on_key) const {
  for (const auto& [expires, key] : expiries_) {
    if (!has_passed(expires, now)) return;
    on_key(key);
  }
}

}  // namespace kvstore::internal
