#pragma once

#include <filesystem>

#include <kvstore/engine/function_ref.hpp>

namespace kvstore::engine {

/// Calls with the number of each descriptor that this process has open, and with the path of its
/// file without links. To look costs some 2 µs for each, and the programs that have thousands of
/// them should be asked seldom.
///
/// Compare the paths, do not ask for the status of a descriptor: that could wait for a server.
/// False: they cannot be listed here.
bool each_descriptor(FunctionRef<void(int, const std::filesystem::path&)> take);

}  // namespace kvstore::engine
