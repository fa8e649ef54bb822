#!/usr/bin/env python3
"""Holds the sources to the order of the house; first shows that each rule can fail.

    run.py ROOT

Answers in TAP. The headers are compiled alone by every compiler in COMPILERS that is installed.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # The source directory stays as it is.
import rules  # noqa: E402

COMPILERS = ['g++', 'clang++']
FLAGS = ['-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Werror']

# A house in order, and what must be complained about when a line is added to one of its files.
IN_ORDER = {
    'kvstore/error.hpp': '#include <string>\n',
    'kvstore/reader.hpp': '#include <kvstore/error.hpp>\n// Made with SQLite; see SELECT.\n',
    'kvstore/reader.cpp': '#include <kvstore/internal/rows.hpp>\n#include "reader.hpp"\n',
    'kvstore/engine/engine.hpp': '#include <kvstore/error.hpp>\n',
    'kvstore/engine/sqlite.hpp': '#include <sqlite3.h>\n#include <kvstore/engine/engine.hpp>\n',
    'kvstore/internal/rows.hpp': '#include <kvstore/engine/engine.hpp>\n',
    'tests/rows_test.cpp': '#include <kvstore/internal/rows.hpp>\n',
    'examples/tour.cpp': '#include <kvstore/reader.hpp>\n',
}
VIOLATIONS = [
    (rules.direction, 'kvstore/error.hpp', '#include <kvstore/reader.hpp>'),
    (rules.direction, 'kvstore/engine/engine.hpp', '#include <kvstore/engine/sqlite.hpp>'),
    (rules.direction, 'kvstore/engine/engine.hpp', '#include "sqlite.hpp"'),
    (rules.direction, 'kvstore/engine/sqlite.hpp', '#include <kvstore/internal/rows.hpp>'),
    (rules.direction, 'kvstore/internal/rows.hpp', '#include <kvstore/reader.hpp>'),
    (rules.direction, 'kvstore/internal/rows.hpp', '# include <sqlite3.h>'),
    (rules.direction, 'kvstore/reader.cpp', '#include <kvstore/internal/gone.hpp>'),
    (rules.direction, 'kvstore/reader.cpp', '#include "../tests/rows_test.cpp"'),
    (rules.direction, 'kvstore/engine/helper.hpp', ''),
    (rules.direction, 'examples/tour.cpp', '#include <kvstore/internal/rows.hpp>'),
    (rules.cycles, 'kvstore/error.hpp', '#include <kvstore/reader.hpp>'),
    (rules.public_face, 'kvstore/reader.hpp', '#include <kvstore/engine/engine.hpp>'),
    (rules.public_face, 'kvstore/reader.hpp', '#include "internal/rows.hpp"'),
    (rules.public_face, 'kvstore/reader.hpp', '#include <sqlite3.h>'),
    (rules.public_face, 'kvstore/reader.hpp', 'struct sqlite3;'),
    (rules.public_face, 'kvstore/reader.hpp', 'auto text = "SELECT value FROM kv";'),
]


def compile_alone(root, compiler, header):
    """What the compiler has to say about a file that holds nothing but this include."""
    done = subprocess.run([compiler, *FLAGS, '-I', root, '-x', 'c++', '-'], text=True, check=False,
                          input=f'#include <{header}>\n', stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return [done.stdout] if done.returncode != 0 else []


def broken_header(compiler):
    """A header that leans on what others include must be noticed."""
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / 'broken.hpp').write_text('#pragma once\nstd::string name();\n')
        return [] if compile_alone(root, compiler, 'broken.hpp') else ['nothing was noticed']


def can_fail():
    """Each rule is silent about the house in order, and speaks up about each violation."""
    for rule in (rules.direction, rules.cycles, rules.public_face):
        yield f'{rule.__name__} accepts what is in order', list(rule(IN_ORDER))
    for rule, name, line in VIOLATIONS:
        files = {**IN_ORDER, name: IN_ORDER.get(name, '') + line + '\n'}
        complaints = [] if list(rule(files)) else ['nothing was noticed']
        yield f'{rule.__name__} notices in {name}: {line.replace("#", "")}', complaints


def checks(root):
    yield from can_fail()
    files = rules.sources(root)
    yield 'includes point in one direction', list(rules.direction(files))
    yield 'no file includes itself over others', list(rules.cycles(files))
    yield 'public headers show neither engine nor SQL', list(rules.public_face(files))
    for compiler in COMPILERS:
        if shutil.which(compiler) is None:
            yield f'public headers compile alone # SKIP no {compiler}', []
            continue
        yield f'{compiler} notices a header that does not compile alone', broken_header(compiler)
        for header in filter(rules.is_public, files):
            yield f'{header} compiles alone with {compiler}', compile_alone(root, compiler, header)


def main():
    number = 0
    for number, (what, complaints) in enumerate(checks(Path(sys.argv[1]).resolve()), 1):
        print(f'{"not ok" if complaints else "ok"} {number} - {what}', flush=True)
        for complaint in complaints:
            print(f'{what}: {complaint}', file=sys.stderr)
    print(f'1..{number}')


if __name__ == '__main__':
    main()
