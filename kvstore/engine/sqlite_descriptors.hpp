#pragma once

#include <string_view>

#include <kvstore/engine/function_ref.hpp>

namespace kvstore::engine {

/// Calls with the number of each descriptor that this process has open, and with the path of its
/// file without links. A program can have thousands of them: call it seldom. False: they cannot be
/// listed here, or not all of them.
///
/// Compare the paths, do not ask for the status of a descriptor: that could wait for a server.
bool each_descriptor(FunctionRef<void(int, std::string_view)> take);

}  // namespace kvstore::engine
