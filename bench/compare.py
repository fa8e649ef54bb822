#!/usr/bin/env python3
"""Prints what kvstore costs beside its peers: a table of all rows, or of the claims.

usage: compare.py RESULTS                    the table
       compare.py RESULTS --claims [REGEX]   each claim with its bound, and whether it holds
       compare.py --filter-of [REGEX]        the benchmarks that these claims need, for a filter

All are ratios of medians, kvstore / a peer: below 1 kvstore is better. "cpu" is the ratio of the
processor time of the whole process, background threads included, to that of SQLite by hand. With
claims the exit code is 1 when one does not hold, or could not be measured.
"""

import argparse
import re
import sys
from typing import NamedTuple

sys.dont_write_bytecode = True  # The source directory stays as it is.
import results  # noqa: E402

OURS = "kvstore"
FASTEST = "fastest peer"
BY_HAND = "sqlite"


class Claim(NamedTuple):
    name: str
    row: str
    against: str         # a peer, or FASTEST
    bound: float         # the largest ratio, or the largest difference
    what: str = "us"     # or a counter
    difference: bool = False


def sized(name, row, against, small, large, **more):
    """The same claim for both sizes of documents, with the bound of each."""
    return [Claim(name.format("115 B"), row.format(115), against, small, **more),
            Claim(name.format("2 KB"), row.format(2048), against, large, **more)]


CLAIMS = [
    *sized("get hot {}", "get/hot/{}", FASTEST, 0.4, 0.4),
    *sized("get_shared hot {}", "get_shared/hot/{}", FASTEST, 0.05, 0.05),
    *sized("get hot {}, 4 threads", "get/hot/{}/threads:4", FASTEST, 0.6, 0.6),
    *sized("get uniform {}, data 10 x the cache", "get/far/{}", BY_HAND, 0.9, 0.6),
    Claim("get at a pointer 20 KB, uncached", "get_at/uncached/20480", BY_HAND, 0.15),
    *sized("scan {}", "scan/{}", FASTEST, 0.85, 0.6),
    *sized("set normal {}", "set/normal/{}", BY_HAND, 0.65, 0.65),
    *sized("set normal {}, p99.9", "set/normal/{}", BY_HAND, 0.33, 0.33, what="p99.9_us"),
    *sized("set full {}, 16 threads", "set/full/{}/threads:16", BY_HAND, 0.35, 0.35),
    *sized("set full {}, 16 threads, LevelDB", "set/full/{}/threads:16", "leveldb", 1.0, 1.0),
    *sized("set full {}", "set/full/{}", BY_HAND, 1.05, 1.05),
    *sized("load {}", "load/{}", BY_HAND, 1.0, 1.0),
    *sized("mixed 95/5 {}", "mixed/95_5/{}", FASTEST, 0.55, 0.4),
    *sized("open, get, close {}", "open/alone/{}", BY_HAND, 1.35, 1.35),
    *sized("open, get, close {}, held by another process", "open/held/{}", BY_HAND, 1.8, 1.8),
    Claim("memory of an opened store, KiB above SQLite", "memory/opened/115", BY_HAND, 1500,
          what="heap_kib", difference=True),
    Claim("resident memory of an opened store, KiB above SQLite", "memory/opened/115", BY_HAND,
          1500, what="resident_kib", difference=True),
    # The core verbs, with everything that they do more than plain SQL.
    *sized("core: get, uniform {}", "get/uniform/{}", BY_HAND, 1.15, 1.15),
    *sized("core: set_many {}", "set_many/{}", BY_HAND, 1.15, 1.15),
    *sized("core: scan {}", "scan/{}", BY_HAND, 1.15, 1.15),
    Claim("whole process, older Python", "process/100", "python", 1.0),
]


def chosen(pattern):
    return [claim for claim in CLAIMS if re.search(pattern, claim.name)]


def filter_of(claims):
    """A regular expression for the benchmarks that the claims need, of all their peers."""
    alternatives = set()
    for claim in claims:
        row, _, threads = claim.row.partition("/threads:")
        peers = "[a-z]+" if claim.against == FASTEST else f"({OURS}|{claim.against})"
        end = f"threads:{threads}" if threads else "(threads:1)?"
        alternatives.add(f"^{row}/{peers}/(iterations:1/)?[a-z_/]*{end}$")
    return "|".join(sorted(alternatives))


def fastest(times):
    """The fastest of the others, None when there are none."""
    others = [peer for peer in times if peer != OURS]
    return min(others, key=times.get) if others else None


def figure(claim, rows):
    """The peer and the ratio or difference, or None when something was not measured."""
    times = results.medians(rows, claim.what).get(claim.row, {})
    peer = fastest(times) if claim.against == FASTEST else claim.against
    if peer not in times or OURS not in times:
        return None
    ours, theirs = times[OURS], times[peer]
    return peer, ours - theirs if claim.difference else ours / theirs


def print_claims(claims, rows):
    width = max(len(claim.name) for claim in claims)
    print(f"{'claim':<{width}}  {'beside':<8}{'figure':>9}{'bound':>8}")
    all_hold = True
    for claim in claims:
        found = figure(claim, rows)
        holds = found is not None and found[1] <= claim.bound
        all_hold &= holds
        peer, shown = ("", "-") if found is None else (found[0], f"{found[1]:.3g}")
        verdict = "holds" if holds else "not measured" if found is None else "BROKEN"
        print(f"{claim.name:<{width}}  {peer:<8}{shown:>9}{claim.bound:>8g}  {verdict}")
    return all_hold


def cell(number, form=".4g"):
    return "-" if number is None else f"{number:{form}}"


def ratio(values, peer):
    return values[OURS] / values[peer] if OURS in values and values.get(peer) else None


def print_table(rows, what):
    """A line for each row that has this time or counter; with the ratios of what is best small."""
    medians, processor = results.medians(rows, what), results.medians(rows, "cpu_us")
    if not medians:
        return
    peers = [peer for peer in results.PEERS if any(peer in row for row in medians.values())]
    width = max(len(row) for row in medians)
    ratios = f"{'/fastest':>10}{'/by hand':>10}" if what != "others_per_second" else ""
    print(f"{what:<{width}}" + "".join(f"{peer:>10}" for peer in peers) + ratios +
          (f"{'cpu':>8}" if what == "us" else ""))
    for row, values in medians.items():
        cells = [f"{cell(values.get(peer)):>10}" for peer in peers]
        if ratios:
            cells.append(f"{cell(ratio(values, fastest(values)), '.2f'):>10}")
            cells.append(f"{cell(ratio(values, BY_HAND), '.2f'):>10}")
        if what == "us":
            cells.append(f"{cell(ratio(processor.get(row, {}), BY_HAND), '.2f'):>8}")
        print(f"{row:<{width}}" + "".join(cells))
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?")
    parser.add_argument("--claims", nargs="?", const="", metavar="REGEX")
    parser.add_argument("--filter-of", nargs="?", const="", metavar="REGEX")
    options = parser.parse_args()
    pattern = options.filter_of if options.claims is None else options.claims
    claims = [] if pattern is None else chosen(pattern)
    if pattern is not None and not claims:
        parser.error(f"no claim is called {pattern}; they are:\n" +
                     "\n".join(claim.name for claim in CLAIMS))
    if options.filter_of is not None:
        print(filter_of(claims))
        return 0
    if options.results is None:
        parser.error("the file of the results is missing")
    machine, rows = results.read(options.results)
    if not rows:
        parser.error("no benchmark was measured")
    width = max(map(len, machine)) + 3
    print("\n".join(f"{key + ':':<{width}}{value}" for key, value in machine.items()) + "\n")
    if options.claims is None:
        for what in ("us", "p99_us", "p99.9_us", "max_us", "others_per_second", "heap_kib",
                     "resident_kib"):
            print_table(rows, what)
        return 0
    return 0 if print_claims(claims, rows) else 1


if __name__ == "__main__":
    sys.exit(main())
