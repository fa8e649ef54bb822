#pragma once

namespace bench {

/// Registers get, set, set_many, scan and open, for both sides and both sizes of documents.
void register_core();

}  // namespace bench
