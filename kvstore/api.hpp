#pragma once

/// Marks what the library exports; everything else is built with hidden visibility.
#define KVSTORE_API __attribute__((visibility("default")))
