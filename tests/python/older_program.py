#!/usr/bin/env python3
"""The few lines of Python that came before the store, as tests run them.

older_program.py create FILE COUNT          makes the older file with COUNT entries old0, old1, ...
older_program.py write FILE PREFIX COUNT    stores PREFIX0, PREFIX1, ...; a line after each commit
older_program.py loop FILE PREFIX KEY...    until its input ends, stores PREFIX0, PREFIX1, ... and
                                            {"n": i} under each KEY; a line after each round
older_program.py get FILE KEY               prints the stored JSON
older_program.py dump FILE TO               dumps FILE as SQL and loads that into TO
"""

import json
import sqlite3
import sys
import threading

UPSERT = """INSERT INTO kv (key, value) VALUES (?, ?)
ON CONFLICT(key) DO UPDATE SET value = excluded.value, updated_at = CURRENT_TIMESTAMP"""


def connect(file):
    return sqlite3.connect(file, timeout=5)


def put(database, key, value):
    with database:
        database.execute(UPSERT, (key, json.dumps(value)))


def create(file, count):
    database = connect(file)
    with database:
        database.execute(
            """CREATE TABLE IF NOT EXISTS kv (
                key TEXT PRIMARY KEY,
                value TEXT NOT NULL,
                updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            )"""
        )
    for i in range(int(count)):
        put(database, f"old{i}", {"n": i, "name": f"größe {i}"})
    database.close()


def write(file, prefix, count):
    database = connect(file)
    for i in range(int(count)):
        put(database, f"{prefix}{i}", i)
        print(i, flush=True)
    database.close()


def loop(file, prefix, *keys):
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    database = connect(file)
    i = 0
    # Without a pause four such programs would lock each other out in rollback mode.
    while not over.wait(0.002):
        put(database, f"{prefix}{i}", i)
        for key in keys:
            put(database, key, {"n": i})
        print(i, flush=True)
        i += 1
    database.close()


def get(file, key):
    database = connect(file)
    row = database.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
    print(json.dumps(json.loads(row[0])) if row else "absent")


def dump(file, to):
    text = "\n".join(connect(file).iterdump())
    database = connect(to)
    database.executescript(text)
    database.close()


if __name__ == "__main__":
    verbs = {"create": create, "write": write, "loop": loop, "get": get, "dump": dump}
    verbs[sys.argv[1]](*sys.argv[2:])
