"""Tables, the numbers that they are from, and what these were measured on."""

import json
import os
import platform
import shlex
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

import mmgraph as mg

PACKAGES = (
    "numpy scipy scikit-learn numba numba-cuda cca-zoo hmmlearn MKLpy himalaya rbms"
    " multivae dtaidistance tslearn pomegranate dynamax mofapy2 mvlearn pyrcca statsmodels torch"
    " cupy-cuda12x cupy-cuda13x"
)


def list_table(rows):
    """Rows of strings, the head first, as a reStructuredText list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {' ' if i else '*'} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def table(records, heads=None, number=".2f"):
    """Dicts as a list-table, floats in one format; `heads` are the columns, by default all."""
    heads = heads or list(dict.fromkeys(head for record in records for head in record))
    cells = ([cell(record.get(head), number) for head in heads] for record in records)
    return list_table([heads, *cells])


def cell(value, number=".2f"):
    """A value as text: floats in a format, nothing where there is none."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:{number}}"
    return "" if value is None else str(value)


def spread(values, number=".3f"):
    """Mean ± standard deviation; of one value the value, of none nothing."""
    if len(values) < 2:
        return "".join(f"{value:{number}}" for value in values)
    return f"{np.mean(values):{number}} ± {np.std(values):{number}}"


def environment():
    """The machine, its threads, and the versions of what may be compared."""
    found = {"mmgraph": mg.__version__}
    for name in PACKAGES.split():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads of BLAS": max((lib["num_threads"] for lib in threadpool_info()), default=1),
        "python": platform.python_version(),
        "versions": found,
    }


def processor():
    """Name of the processor, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def measured(record):
    """A sentence on where and when the numbers of a record are from, if that was recorded."""
    about = record.get("environment") if isinstance(record, dict) else None
    if about is None:
        return record.get("machine", "") if isinstance(record, dict) else ""
    versions = ", ".join(f"{name} {found}" for name, found in about["versions"].items())
    return (
        f"Last run on {about['date']}, ``{record['command']}``: {about['processor']},"
        f" {about['cores']} cores, BLAS with {about['threads of BLAS']} of them;"
        f" Python {about['python']}, {versions}."
    )


def command():
    """What was called, but for where it writes."""
    arguments = sys.argv[1:]
    if "--out" in arguments:
        place = arguments.index("--out")
        del arguments[place : place + 2]
    return " ".join(
        [f"python -m benchmarks.{Path(sys.argv[0]).stem}", *map(shlex.quote, arguments)]
    )


def keep(folder, name, results):
    """Write numbers, with the command, the machine and the versions, to a folder, if there is one.

    Returns
    -------
    record : dict
        What was written.
    """
    record = {"command": command(), "environment": environment(), "results": results}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1, default=float, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return record


def save(folder, name, text, results):
    """Show a table; write it and its numbers to a folder, if there is one."""
    record = keep(folder, name, results)
    print(text)
    if folder is not None:
        write(folder, name, text, record)


def write(folder, name, text, record):
    """Write a table, and under it what it was measured on."""
    parts = [text.rstrip("\n"), measured(record)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    (folder / f"{name}.rst").write_text(text, encoding="utf-8")


def load(folder, name, default):
    """The numbers of a folder, or the default if it is None or has none.

    Files from before machines were recorded may hold the numbers alone.
    """
    path = folder and folder / f"{name}.json"
    return numbers(json.loads(path.read_text("utf-8"))) if path and path.exists() else default


def numbers(record):
    """The numbers of what a file holds."""
    return record["results"] if isinstance(record, dict) and "results" in record else record
