#!/usr/bin/env python3
"""Draws the results of a run: plot.py RESULTS DIRECTORY

One SVG for each question: reads, writes, mixed, ycsb, growth. A plot whose rows were not measured
is not drawn. Marks, not bars: on a logarithmic scale the length of a bar says nothing.
"""

import os
import sys

sys.dont_write_bytecode = True  # The source directory stays as it is.

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: E402

import growth  # noqa: E402
import results  # noqa: E402

# A colour that is the same in all plots, and told apart by those who do not see all colours.
# Source: Okabe and Ito, https://jfly.uni-koeln.de/color/
PEERS = {"kvstore": "#0072b2", "sqlite": "#e69f00", "lmdb": "#009e73", "leveldb": "#cc79a7",
         "rocksdb": "#56b4e9"}
NAMES = {"kvstore": "kvstore", "sqlite": "SQLite by hand", "lmdb": "LMDB", "leveldb": "LevelDB",
         "rocksdb": "RocksDB"}
SIZES = {115: "115 B", 2048: "2 KB", 20480: "20 KB"}


def plain(value, _):
    return f"{value:,.10g}"


def dress(axes, title, unit):
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_ylabel(unit)
    axes.set_yscale("log")
    axes.margins(y=0.1)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", which="major", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def marks(axes, groups, times, title, scale=lambda time: time, unit="µs, log scale"):
    """Groups of marks, one for each peer, side by side. groups: {label: row}."""
    shown = [peer for peer in PEERS if any(peer in times.get(row, {}) for row in groups.values())]
    for position, peer in enumerate(shown):
        aside = (position - (len(shown) - 1) / 2) * 0.14
        points = [(place + aside, scale(times[row][peer]))
                  for place, row in enumerate(groups.values()) if peer in times.get(row, {})]
        axes.scatter(*zip(*points), s=36, color=PEERS[peer], label=NAMES[peer])
    for border in range(1, len(groups)):
        axes.axvline(border - 0.5, color="#eeeeee", linewidth=0.8)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.5, len(groups) - 0.5)
    dress(axes, title, unit)


def lines(axes, curves, title, unit, x_label):
    """A line for each peer. curves: {peer: {x: y}}."""
    for peer, curve in curves.items():
        if curve:
            axes.plot(*zip(*sorted(curve.items())), color=PEERS[peer], marker="o", markersize=4,
                      label=NAMES[peer])
    axes.set_xlabel(x_label)
    dress(axes, title, unit)


def reads(figure, times):
    groups = {size: {"get\nhot": f"get/hot/{size}", "get\nuniform": f"get/uniform/{size}",
                     "get\nZipf": f"get/zipf/{size}", "get_shared\nhot": f"get_shared/hot/{size}",
                     "scan, of\n1,000": f"scan/{size}"} for size in SIZES}
    panels = figure.subplots(1, len(SIZES))
    for axes, (size, name) in zip(panels, SIZES.items()):
        marks(axes, groups[size], times, f"Documents of {name}")
    return "Time to read one document (less is better)"


def writes(figure, times):
    panels = figure.subplots(1, 2)
    for axes, size in zip(panels, (115, 2048)):
        marks(axes, {"set normal\n1 thread": f"set/normal/{size}",
                    "set normal\n16 threads": f"set/normal/{size}/threads:16",
                    "set full\n1 thread": f"set/full/{size}",
                    "set full\n16 threads": f"set/full/{size}/threads:16",
                    "set_many,\nof 1,000": f"set_many/{size}", "load": f"load/{size}"},
             times, f"Documents of {SIZES[size]}")
    return "Time to store one document (less is better)"


def mixed(figure, times):
    panels = figure.subplots(1, 4, sharey=True)
    kinds = [(size, kind) for size in (115, 2048) for kind in ("95_5", "50_50")]
    for axes, (size, kind) in zip(panels, kinds):
        curves = {peer: {} for peer in PEERS}
        for threads in (1, 2, 4):
            row = f"mixed/{kind}/{size}" + (f"/threads:{threads}" if threads > 1 else "")
            for peer, time in times.get(row, {}).items():
                curves[peer][threads] = 1e6 / time
        title = f"{kind.replace('_', '/')}, {SIZES[size]}"
        lines(axes, curves, title, "operations a second, log scale", "threads")
        axes.set_xticks((1, 2, 4))
        axes.label_outer()
    return "Reads and writes of 1,000 documents (more is better)"


def ycsb(figure, times):
    axes = figure.subplots()
    mix = {"A": "half writes", "B": "5 % writes", "C": "reads", "D": "reads the\nlatest",
           "E": "scans", "F": "half read-\nmodify-write"}
    marks(axes, {f"{letter}\n{what}": f"ycsb/{letter}/1000" for letter, what in mix.items()}, times,
         "Documents of ten fields, 1 KB, durability normal, one thread", lambda time: 1e6 / time,
         "operations a second, log scale")
    return "YCSB core workloads (more is better)"


def growing(figure, rows):
    panels = figure.subplots(1, 3)
    found = growth.curves(rows)
    titles = {"get": "get, evenly", "set": "set normal, evenly", "scan": "scan of 100, per entry"}
    for axes, (verb, title) in zip(panels, titles.items()):
        curves = {peer: found.get((verb, peer), {}) for peer in PEERS}
        lines(axes, curves, title, "µs, log scale", "entries of 115 B, log scale")
        axes.set_xscale("log")
    return "Time of one operation as the database grows (less is better)"


PLOTS = {"reads": (reads, (13, 4), "get/hot/"), "writes": (writes, (13, 4), "set/"),
         "mixed": (mixed, (13, 4), "mixed/"), "ycsb": (ycsb, (11, 4), "ycsb/"),
         "growth": (growing, (13, 4), "growth/")}


def caption(machine):
    told = [f"{machine['cpu']}, {machine['cores']} cores", f"Linux {machine['kernel']}",
            f"SQLite {machine['sqlite']}", f"{machine['compiler']}", machine["date"]]
    return ", ".join(told) + (" (a quick run: no figures)" if machine["quick"] else "")


def draw(name, machine, rows, directory):
    how, size, prefix = PLOTS[name]
    if not any(row.startswith(prefix) for row in rows):
        return
    figure = plt.figure(figsize=size, layout="constrained")
    title = how(figure, rows if name == "growth" else results.medians(rows))
    figure.suptitle(title, fontsize=12, x=0.01, ha="left", weight="bold")
    handles = {}
    for axes in figure.axes:
        handles.update(dict(zip(*reversed(axes.get_legend_handles_labels()))))
    figure.legend(handles.values(), handles.keys(), loc="upper right", ncols=len(PEERS),
                  frameon=False)
    figure.supxlabel(caption(machine), x=0.01, ha="left", fontsize=7, color="#666666")
    figure.savefig(os.path.join(directory, name + ".svg"), metadata={"Date": None})
    plt.close(figure)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    machine, rows = results.read(sys.argv[1])
    # Text stays text, and the same results give the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "kvstore", "font.size": 8})
    for name in PLOTS:
        draw(name, machine, rows, sys.argv[2])


if __name__ == "__main__":
    main()
