# shellcheck shell=bash
# What the scripts of this repository need, and how to get it. Sourced by bash scripts that stand in
# the root of the repository.

# For what | what | how to see that it is there | Debian package
needs='
build    | a C++ compiler (g++ 12, clang 14) | command -v c++ | g++
build    | Meson (1.0.1)         | command -v meson                                | meson
build    | Ninja                 | command -v ninja                                | ninja-build
build    | pkg-config            | command -v pkg-config                           | pkg-config
build    | SQLite (3.38)         | pkg-config --atleast-version=3.38 sqlite3       | libsqlite3-dev
build    | nlohmann-json (3.10)  | pkg-config --atleast-version=3.10 nlohmann_json | nlohmann-json3-dev
build    | xxHash (0.8)          | pkg-config --atleast-version=0.8 libxxhash      | libxxhash-dev
build    | simdjson (3.0)        | pkg-config --atleast-version=3.0 simdjson       | libsimdjson-dev
examples | iso-codes             | test -d /usr/share/iso-codes/json               | iso-codes
test     | GoogleTest (1.12)     | pkg-config --atleast-version=1.12 gtest_main    | libgtest-dev
test     | Google Benchmark      | pkg-config --exists benchmark                   | libbenchmark-dev
test     | g++                   | command -v g++                                  | g++
test     | clang++               | command -v clang++                              | clang
test     | CMake (3.18)          | command -v cmake                                | cmake
test     | Python (3.9)          | command -v python3                              | python3
bench    | Google Benchmark      | pkg-config --exists benchmark                   | libbenchmark-dev
bench    | LMDB                  | pkg-config --exists lmdb                        | liblmdb-dev
bench    | LevelDB               | test -f /usr/include/leveldb/db.h               | libleveldb-dev
bench    | RocksDB               | pkg-config --exists rocksdb                     | librocksdb-dev
bench    | Matplotlib (3.6)      | /usr/bin/python3 -c "import matplotlib"         | python3-matplotlib
lint     | clang-format          | command -v clang-format                         | clang-format
lint     | clang-tidy            | command -v clang-tidy                           | clang-tidy
lint     | shellcheck            | command -v shellcheck                           | shellcheck
'

trim() {
  local text=$1
  text=${text#"${text%%[! ]*}"}
  printf '%s' "${text%"${text##*[! ]}"}"
}

# missing FIELD GROUP...: the field (2 what, 4 package) of all that these groups need and lack.
missing() {
  local field=$1 group what check package line
  shift
  while IFS='|' read -r group what check package; do
    line=("" "" "$(trim "$what")" "" "$(trim "$package")")
    case " $* " in
      *" $(trim "$group") "*) eval "$check" >/dev/null 2>&1 || printf '%s\n' "${line[$field]}" ;;
    esac
  done < <(printf '%s' "$needs" | grep .)
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need GROUP...: installs what is missing where apt-get can; elsewhere says what to install.
need() {
  local packages
  packages=$(missing 4 "$@" | sort -u | tr '\n' ' ')
  if [ -n "$packages" ] && command -v apt-get >/dev/null; then
    echo "Installing: $packages"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null
    # The packages are words of their own.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
      -o Dpkg::Use-Pty=0 $packages </dev/null >/dev/null
  fi
  packages=$(missing 2 "$@" | sed 's/$/,/' | tr '\n' ' ')
  if [ -n "$packages" ]; then
    echo "Please install, or put on the path of pkg-config: ${packages%, }" >&2
    return 1
  fi
}

# configure DIRECTORY [OPTION...]: sets up a build directory, or brings an old one up to date.
configure() {
  local directory=$1
  shift
  if [ -f "$directory/build.ninja" ]; then
    # What was missing when it was made may be there now.
    meson setup --reconfigure "$directory" "$@" || meson setup --wipe "$directory" "$@"
  else
    meson setup "$directory" "$@"
  fi
}
