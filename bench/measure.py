#!/usr/bin/env python3
"""Runs kvstore-bench and writes what matters of its results to a file (see results.py).

Each benchmark runs several times, those that run together in random order, so that a busy machine
disturbs all peers alike.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # The source directory stays as it is.
import results  # noqa: E402

VERSIONS = ("sqlite", "lmdb", "leveldb", "rocksdb", "compiler")
DURABLE = r"set/full/.*/threads:1"
LARGE = r"growth/\w+/10000000/"


def line_with(word, path):
    with open(path, encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(word)), "?")


def output_of(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "?"
    return done.stdout.strip() or "?"


def machine(options):
    """What the figures depend on, beside the code: as it is before anything is measured."""
    here = pathlib.Path(__file__).parent
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": line_with("model name", "/proc/cpuinfo"),
        "cores": os.cpu_count(),
        "memory": line_with("MemTotal", "/proc/meminfo"),
        "kernel": platform.release(),
        "file_system": output_of("findmnt", "-no", "FSTYPE", "--target", tempfile.gettempdir()),
        "load_before": round(os.getloadavg()[0], 2),
        "kvstore": output_of("git", "-C", str(here), "describe", "--always", "--dirty"),
        "repetitions": options.repetitions,
        "repetitions of set/full on one thread": durable_repetitions(options),
        "quick": options.quick,
    }


def durable_repetitions(options):
    return options.repetitions * (1 if options.quick else 5)


def names(options):
    """Of all benchmarks that are to run, without those that print their names."""
    command = [options.binary, "--benchmark_list_tests", f"--benchmark_filter={options.filter}"]
    command += ["--quick"] if options.quick else []
    command += ["--ten_million"] if options.ten_million else []
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return listed.split()


def passes(benchmarks, options):
    """Which of them run together, and how often each.

    The disk has good and bad seconds, so what waits for it alone is measured more often. What is
    too large for all peers at once is measured a peer at a time.
    """
    rest, durable, large = [], [], {}
    for name in benchmarks:
        if re.fullmatch(DURABLE, name):
            durable.append(name)
        elif re.match(LARGE, name):
            large.setdefault(results.row_and_peer(name)[1], []).append(name)
        else:
            rest.append(name)
    yield rest, options.repetitions
    yield durable, durable_repetitions(options)
    for together in large.values():
        yield together, options.repetitions


def run(benchmarks, repetitions, options):
    with tempfile.TemporaryDirectory() as directory:
        output = os.path.join(directory, "google.json")
        command = [
            options.binary,
            f"--benchmark_out={output}",
            "--benchmark_out_format=json",
            f"--benchmark_repetitions={repetitions}",
            f"--benchmark_min_time={options.seconds}",
            "--benchmark_enable_random_interleaving=true",
            f"--benchmark_filter=^({'|'.join(map(re.escape, benchmarks))})$",
        ]
        command += ["--quick"] if options.quick else []
        command += ["--ten_million"] if options.ten_million else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(output, encoding="utf-8") as file:
            return json.loads(file.read())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("results", help="the file to write")
    parser.add_argument("--filter", default=".", help="benchmarks to run, a regular expression")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="least duration of a repetition")
    parser.add_argument("--quick", action="store_true", help="small, once: shows that all works")
    parser.add_argument("--ten-million", action="store_true", help="growth up to 10^7 entries")
    options = parser.parse_args()
    about = machine(options)
    all_names = names(options)
    failures = {}
    rows = {results.row_and_peer(name)[0]: {} for name in all_names}
    for benchmarks, repetitions in passes(all_names, options):
        if not benchmarks:
            continue
        report = run(benchmarks, repetitions, options)
        about |= {peer: report["context"].get(peer, "?") for peer in VERSIONS}
        measured, failed = results.from_google(report)
        for row, peers in measured.items():
            rows[row] |= peers
        failures |= failed
    rows = {row: peers for row, peers in rows.items() if peers}
    results.write(options.results, about, rows)
    for benchmark, message in failures.items():
        print(f"{benchmark} failed: {message}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
