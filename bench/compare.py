#!/usr/bin/env python3
"""Runs kvstore-bench and prints what kvstore costs beside SQLite written by hand.

usage: compare.py BINARY [--filter REGEX] [--repetitions N] [--seconds S] [--json FILE] [--strict]
       compare.py --read FILE [--strict]

Both sides of a row run several times in random order, so that a busy machine disturbs them alike;
the table shows the medians. "ratio" is kvstore / by hand in elapsed time, "cpu" in processor time of
the whole process, background threads included. --strict exits with 1 when a ratio exceeds its
target.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

SIDES = ("kvstore", "sqlite")
TARGETS = {"open": 1.35}
DEFAULT_TARGET = 1.15
VERBS = ("get", "set", "set_many", "scan", "open")
MICROSECONDS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}


def run(binary, options, output):
    command = [
        binary,
        f"--benchmark_out={output}",
        "--benchmark_out_format=json",
        f"--benchmark_repetitions={options.repetitions}",
        f"--benchmark_min_time={options.seconds}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_filter={options.filter}",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def medians(report):
    """{row: {side: (elapsed, processor)}} in microseconds; a row is a name without its side."""
    samples = {}
    for result in report["benchmarks"]:
        if result.get("run_type") == "aggregate" or result.get("error_occurred"):
            continue
        verb, side, *rest = result["run_name"].split("/")
        rest = [part for part in rest if part not in ("process_time", "real_time")]
        unit = MICROSECONDS[result["time_unit"]]
        times = samples.setdefault("/".join([verb, *rest]), {}).setdefault(side, [])
        times.append((result["real_time"] * unit, result["cpu_time"] * unit))
    return {
        row: {side: tuple(map(statistics.median, zip(*times))) for side, times in sides.items()}
        for row, sides in samples.items()
    }


def place(row):
    """Where a row stands in the table: by verb, then by size."""
    verb, size, *variant = row.split("/")
    return (VERBS.index(verb) if verb in VERBS else len(VERBS), verb, int(size), variant)


def table(rows):
    """Lines of text, and whether every row is within its target."""
    lines = [f"{'row':<22}{'kvstore µs':>12}{'by hand µs':>12}{'ratio':>8}{'cpu':>8}{'target':>8}"]
    within = True
    for row, sides in sorted(rows.items(), key=lambda item: place(item[0])):
        if not all(side in sides for side in SIDES):
            continue
        ours, theirs = (sides[side] for side in SIDES)
        ratio, processor = ours[0] / theirs[0], ours[1] / theirs[1]
        target = TARGETS.get(row.split("/")[0], DEFAULT_TARGET)
        mark = "" if ratio <= target else "  over"
        within &= ratio <= target
        lines.append(
            f"{row:<22}{ours[0]:>12.3f}{theirs[0]:>12.3f}{ratio:>8.2f}{processor:>8.2f}"
            f"{target:>8.2f}{mark}"
        )
    return lines, within


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", nargs="?")
    parser.add_argument("--filter", default=".*", help="rows to run, a regular expression")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="least duration of a repetition")
    parser.add_argument("--json", help="keep the raw numbers in this file")
    parser.add_argument("--read", help="read the raw numbers from this file instead of running")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    if (options.binary is None) == (options.read is None):
        parser.error("give either the binary or --read")
    with tempfile.TemporaryDirectory() as directory:
        output = options.read or options.json or os.path.join(directory, "bench.json")
        if options.read is None:
            run(options.binary, options, output)
        with open(output, encoding="utf-8") as file:
            report = json.load(file)
    lines, within = table(medians(report))
    print("\n".join(lines))
    return 0 if within or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
