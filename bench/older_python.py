#!/usr/bin/env python3
"""A program of a few lines of Python beside the same program on kvstore, as whole processes.

usage: older_python.py BINARY RESULTS [--repetitions N] [--count N]
       older_python.py --job FILE COUNT        the Python side alone

The job: open a new file, store COUNT documents one by one, each surviving power loss, and read each
back. The Python side is what such a program looks like before it knows kvstore: the sqlite3 module,
json.dumps at each call, the plain upsert, the journal mode that SQLite has by itself. BINARY is
older-python-job, made of older_python.cpp. The time is that of the process, from its start to its
end. Adds the row process/COUNT, microseconds of the whole job, to the file of results.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # The source directory stays as it is.


def person(index):
    return {"id": index, "name": f"Person {index}", "mail": f"p{index}@example.org",
            "score": index / 8.0, "active": index % 3 == 0}


def job(file, count):
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE IF NOT EXISTS kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, "
               "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)")
    for index in range(count):
        db.execute("INSERT INTO kv(key, value) VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET "
                   "value = excluded.value, updated_at = CURRENT_TIMESTAMP",
                   (f"user/{index}", json.dumps(person(index))))
        db.commit()
    total = 0
    for index in range(count):
        found = db.execute("SELECT value FROM kv WHERE key = ?", (f"user/{index}",)).fetchone()
        total += json.loads(found[0])["id"]
    print(total)


def timed(command, count):
    """Microseconds of the process; it must have read what it stored."""
    with tempfile.TemporaryDirectory() as directory:
        arguments = [*command, os.path.join(directory, "store.db"), str(count)]
        start = time.perf_counter()
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        taken = time.perf_counter() - start
    if int(done.stdout) != count * (count - 1) // 2:
        raise RuntimeError(f"{command[0]} read something else than it stored")
    return float(f"{taken * 1e6:.4g}")


def compare(options):
    import results  # Not part of the job.

    commands = {"kvstore": [options.binary], "python": [sys.executable, __file__, "--job"]}
    samples = {peer: [] for peer in commands}
    for repetition in range(options.repetitions):
        # In turns, so that neither always comes first.
        order = list(commands) if repetition % 2 == 0 else list(reversed(commands))
        for peer in order:
            samples[peer].append(timed(commands[peer], options.count))
    machine, rows = results.read(options.results)
    machine["python"] = sys.version.split()[0]
    rows[f"process/{options.count}"] = {peer: {"us": times} for peer, times in samples.items()}
    results.write(options.results, machine, rows)


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--job":
        job(sys.argv[2], int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("results")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--count", type=int, default=100)
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
