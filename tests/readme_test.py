#!/usr/bin/env python3
"""Compiles and runs the code in README.md, and compares what it prints with what README.md says.

A ```cpp block is a program by itself when it has a main(); otherwise it becomes the body of one,
with a `store` in an empty file unless it opens its own. A ```python block runs in the directory of
the ```cpp block before it, so that it finds the file that was written there. When the block that
comes next is ```text, it is the expected output. Answers in TAP, one line a block.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator, NamedTuple, Optional

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


Result = tuple[str, Optional[str]]  # what is tested, and what is wrong with it


class Block(NamedTuple):
    line: int
    language: str
    text: str


def blocks_of(readme: str) -> list[Block]:
    blocks = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
        line = readme.count("\n", 0, match.start()) + 2
        blocks.append(Block(line, match.group(1), match.group(2)))
    return blocks


def program_of(block: Block) -> str:
    """The block with all that it needs to be compiled; its lines keep their numbers in README.md."""
    place = f'#line {block.line} "README.md"\n'
    if re.search(r"\bmain\(", block.text):
        return place + block.text
    lines = block.text.splitlines(keepends=True)
    includes = "".join(line for line in lines if line.startswith("#include"))
    body = "".join("\n" if line.startswith("#include") else line for line in lines)
    store = "" if "KVStore store" in body else 'kvstore::KVStore store("app.db");\n'
    return (f"#include <iostream>\n#include <kvstore/kvstore.hpp>\n{includes}"
            f"int main() {{\n{store}{place}{body}}}\n")


def run(command: list[str], directory: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=directory, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False)


def compiled(block: Block, directory: pathlib.Path, compiler: list[str]) -> Optional[str]:
    """Makes `directory`/program; returns what is wrong, if anything."""
    directory.mkdir()
    (directory / "program.cpp").write_text(program_of(block), encoding="utf-8")
    place = compiler.index("program.cpp")
    done = run([*compiler[:place], "-std=c++20", *WARNINGS, "-o", "program", *compiler[place:]],
               directory)
    return None if done.returncode == 0 else f"does not compile:\n{done.stdout}"


def complaint_about(command: list[str], directory: pathlib.Path,
                    expected: Optional[str]) -> Optional[str]:
    done = run(command, directory)
    if done.returncode != 0:
        return f"ends with code {done.returncode}:\n{done.stdout}"
    if expected is not None and done.stdout != expected:
        return f"prints\n{done.stdout}where README.md says\n{expected}"
    return None


def tests_of_code(blocks: list[Block], work: pathlib.Path,
                    compiler: list[str]) -> Iterator[Result]:
    """Runs the programs in the order of README.md; what they need is compiled on all cores."""
    def directory(block: Block) -> pathlib.Path:
        return work / f"line{block.line}"

    cpp = [block for block in blocks if block.language == "cpp"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = dict(zip(cpp, pool.map(lambda b: compiled(b, directory(b), compiler), cpp)))

    place = work
    for block, following in zip(blocks, [*blocks[1:], Block(0, "", "")]):
        expected = following.text if following.language == "text" else None
        if block.language == "cpp":
            place = directory(block)
            wrong = built[block] or complaint_about(["./program"], place, expected)
        elif block.language == "python":
            wrong = complaint_about([sys.executable, "-c", block.text], place, expected)
        else:
            continue
        does = "runs" if expected is None else "prints what README.md says"
        yield f"{block.language} in line {block.line} {does}", wrong


def test_of_codes(readme: str, include: pathlib.Path) -> Iterator[Result]:
    """The table of error codes has one row for each, in the order of the header."""
    header = (include / "kvstore" / "error.hpp").read_text(encoding="utf-8")
    enumerators = header.split("enum class ErrorCode", 1)[1].split("};", 1)[0]
    declared = re.findall(r"^\s*(\w+),?\s*///<", enumerators, re.MULTILINE)
    section = readme.split("\n## When something fails\n", 1)[-1].split("\n## ", 1)[0]
    described = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    wrong = f"described: {described}\ndeclared:  {declared}"
    yield "the table of error codes is that of the header", (
        None if declared and declared == described else wrong)


def test_of_verbs(readme: str, include: pathlib.Path) -> Iterator[Result]:
    """The table of verbs promises nothing that the headers do not have."""
    rows = {"Read": "reader", "Write": "keyspace", "Follow": "kvstore", "Cache": "kvstore",
            "Move": "archive", "Maintain": "kvstore"}
    missing = []
    for row, header in rows.items():
        declared = (include / "kvstore" / f"{header}.hpp").read_text(encoding="utf-8")
        verbs = re.findall(rf"^\| {row} \| (.*)", readme, re.MULTILINE)
        for verb in re.findall(r"`(\w+)`", verbs[0]) if verbs else [f"the row {row}"]:
            if not re.search(rf"^.* {verb}\(", declared, re.MULTILINE):
                missing.append(verb)
    yield "each verb in the table is declared", f"missing: {missing}" if missing else None


def test_of_links(readme: str, place: pathlib.Path) -> Iterator[Result]:
    prose = re.sub(r"^```.*?^```$", "", readme, flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#]+)", prose)
    broken = [link for link in links if not (place / link).exists()]
    yield "links inside the repository lead to a file", (
        f"missing: {broken}" if broken else None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tests the code in README.md.")
    parser.add_argument("readme", type=pathlib.Path)
    parser.add_argument("include", type=pathlib.Path, help="the directory that holds kvstore/")
    parser.add_argument("compiler", nargs="+",
                        help="how a program.cpp is compiled and linked with the library")
    arguments = parser.parse_args()

    readme = arguments.readme.read_text(encoding="utf-8")
    blocks = blocks_of(readme)
    compiler = [*arguments.compiler, f"-I{arguments.include.resolve()}"]
    with tempfile.TemporaryDirectory(prefix="kvstore-readme-") as work:
        results = [*tests_of_code(blocks, pathlib.Path(work), compiler),
                   *test_of_codes(readme, arguments.include),
                   *test_of_verbs(readme, arguments.include),
                   *test_of_links(readme, arguments.readme.resolve().parent)]
    print(f"1..{len(results)}")
    for number, (what, wrong) in enumerate(results, 1):
        print(f"{'ok' if wrong is None else 'not ok'} {number} - {what}")
        if wrong is not None:
            print(wrong, file=sys.stderr)


if __name__ == "__main__":
    main()
