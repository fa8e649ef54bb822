"""The results of a run: a JSON file with a line for each benchmark.

    {"machine": {"cpu": "…", "cores": 2, …},
     "rows": {
      "get/hot/115": {
       "kvstore": {"us": [0.41, 0.40, …], "cpu_us": […]},
       "sqlite": {…}}}}

`us` is the elapsed time of one operation in each repetition, in microseconds, `cpu_us` the
processor time of the whole process; counters stand beside them.
"""

import json
import statistics

PEERS = ("kvstore", "sqlite", "lmdb", "leveldb", "rocksdb", "python")
MICROSECONDS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
# What Google Benchmark says of each result, beside the counters.
NO_COUNTERS = {"name", "run_name", "run_type", "family_index", "per_family_instance_index",
               "repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time",
               "time_unit", "error_occurred", "error_message"}


def row_and_peer(name):
    """`get/hot/115/kvstore/process_time/real_time/threads:4`: the row is get/hot/115/threads:4."""
    parts = [part for part in name.split("/")
             if part not in ("process_time", "real_time", "threads:1", "iterations:1")]
    threads = [parts.pop()] if parts[-1].startswith("threads:") else []
    return "/".join(parts[:-1] + threads), parts[-1]


def short(number):
    return float(f"{number:.4g}")


def from_google(report):
    """The rows of a report of Google Benchmark, and the failures in it."""
    rows, failures = {}, {}
    # They ran in random order.
    in_order = sorted(report["benchmarks"], key=lambda result: (
        result["family_index"], result["per_family_instance_index"]))
    for result in in_order:
        if result.get("run_type") == "aggregate":
            continue
        row, peer = row_and_peer(result["run_name"])
        if result.get("error_occurred"):
            failures[f"{row}/{peer}"] = result["error_message"]
            continue
        values = {key: result[key] for key in result if key not in NO_COUNTERS}
        if "/iterations:1/" not in result["run_name"]:  # Else the counters are all that it is for.
            unit = MICROSECONDS[result["time_unit"]]
            values |= {"us": result["real_time"] * unit, "cpu_us": result["cpu_time"] * unit}
        samples = rows.setdefault(row, {}).setdefault(peer, {})
        for what, value in values.items():
            samples.setdefault(what, []).append(short(value))
    return rows, failures


def medians(rows, what="us"):
    """{row: {peer: median}} of a time or a counter, where it was measured."""
    found = {}
    for row, measured in rows.items():
        for peer in PEERS:
            if what in measured.get(peer, {}):
                found.setdefault(row, {})[peer] = statistics.median(measured[peer][what])
    return found


def write(path, machine, rows):
    lines = []
    for row, peers in rows.items():
        inner = ",\n".join(f"   {json.dumps(peer)}: {json.dumps(samples)}"
                           for peer, samples in peers.items())
        lines.append(f"  {json.dumps(row)}: {{\n{inner}}}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{{"machine": {json.dumps(machine, indent=1)},\n "rows": {{\n')
        file.write(",\n".join(lines) + "}}\n")


def read(path):
    with open(path, encoding="utf-8") as file:
        results = json.load(file)
    return results["machine"], results["rows"]
