#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <kvstore/api.hpp>
#include <kvstore/entry.hpp>

namespace kvstore {

class KVStore;
class Reader;
class Transaction;

/// One step in the life of a program's documents: how what the program before it stored becomes
/// what this one expects.
///
/// Once released, a step is never changed, renamed or removed; what is wrong with it is mended by
/// the next one.
struct Migration {
  int version = 0;                           ///< 1, 2, 3, … in the order of the list.
  std::string name{};                        ///< What the step does. UTF-8 without NUL bytes.
  std::function<void(Transaction&)> up{};    ///< Takes the step.
  std::function<void(Transaction&)> down{};  ///< Takes it back. Only needed to go back.
};

/// Takes the steps that the store lacks, up to the newest or to `target`, or takes back those that
/// it has beyond `target`; 0 is before the first.
///
/// Each step is one transaction, together with the note that it was taken. Of programs that start
/// at the same time, one takes it and the others go on from there. What a step throws comes
/// through: that step has changed nothing, and those before it stay. A step must use what it is
/// given, which it neither commits nor rolls back. A store that is where it should be is not
/// written.
///
/// Throws, before anything is written: misuse, when the steps are not numbered 1, 2, 3, …, one that
/// is needed has no `up` or `down`, or `target` is none of them; newer_format, when the store has
/// steps that this program does not know; conflict, when a step of the store has another name here.
/// Throws: conflict, when another program takes back what this one takes; what a write throws.
KVSTORE_API void migrate(KVStore& store, std::span<const Migration> steps,
                         std::optional<int> target = {});
KVSTORE_API void migrate(KVStore& store, std::initializer_list<Migration> steps,
                         std::optional<int> target = {});

/// What a store knows of its migrations.
namespace migration {

/// A step that was taken, and not taken back.
struct Applied {
  int version = 0;
  std::string name{};
  Time applied_at{};
};

/// The number of the last step that was taken; 0 before the first.
[[nodiscard]] KVSTORE_API int current(const Reader& store);

/// The steps that were taken, in order.
[[nodiscard]] KVSTORE_API std::vector<Applied> history(const Reader& store);

}  // namespace migration
}  // namespace kvstore
