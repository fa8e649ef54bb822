#!/usr/bin/env python3
"""Prints how the time of one operation grows with the entries of the database: growth.py RESULTS

The exponent e is fitted to time = a * entries^e, by least squares of the logarithms: 0 is constant
time, 1 is linear.
"""

import math
import sys

sys.dont_write_bytecode = True  # The source directory stays as it is.
import results  # noqa: E402


def curves(rows):
    """{(verb, peer): {entries: µs}} of the rows growth/verb/entries."""
    found = {}
    for row, times in results.medians(rows).items():
        kind, *rest = row.split("/")
        if kind != "growth":
            continue
        verb, entries = rest
        for peer, time in times.items():
            found.setdefault((verb, peer), {})[int(entries)] = time
    return found


def exponent(curve):
    """The slope of the line through the logarithms, None when there is but one point."""
    points = [(math.log(entries), math.log(time)) for entries, time in curve.items()]
    x_mean = sum(x for x, _ in points) / len(points)
    y_mean = sum(y for _, y in points) / len(points)
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    if spread == 0:
        return None
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / spread


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = curves(results.read(sys.argv[1])[1])
    sizes = sorted({entries for curve in found.values() for entries in curve})
    if not sizes:
        return
    print(f"{'µs':<18}" + "".join(f"{size:>10,}" for size in sizes) + f"{'exponent':>10}")
    for (verb, peer), curve in found.items():
        cells = [f"{curve[size]:.4g}" if size in curve else "-" for size in sizes]
        fitted = exponent(curve)
        cells.append("-" if fitted is None else f"{fitted:.2f}")
        print(f"{verb + ' ' + peer:<18}" + "".join(f"{cell:>10}" for cell in cells))


if __name__ == "__main__":
    main()
