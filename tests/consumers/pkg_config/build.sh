#!/bin/sh
# Builds the program into the directory $1, with what pkg-config says about kvstore.
set -eu
here=$(dirname "$0")
flags=$(pkg-config --cflags kvstore)
libraries=$(pkg-config --libs kvstore)
# shellcheck disable=SC2086  # The words of the answers are arguments of their own.
${CXX:-c++} -std=c++20 -Wall -Wextra -Wconversion -Wshadow -Werror \
  $flags "$here/settings.cpp" -o "$1/settings" $libraries
