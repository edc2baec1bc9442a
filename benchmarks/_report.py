"""Tables, and what they were measured on."""

import json
import os
import platform
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version

from threadpoolctl import threadpool_info

PACKAGES = (
    "mmgraph numpy scipy scikit-learn numba numba-cuda cca-zoo hmmlearn MKLpy himalaya rbms"
    " multivae dtaidistance tslearn pomegranate dynamax mofapy2 torch cupy-cuda12x cupy-cuda13x"
)


def list_table(rows):
    """Rows of strings, the head first, as a reStructuredText list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {' ' if i else '*'} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def environment():
    """The machine, its threads, and the versions of what may be compared."""
    found = {}
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


def save(folder, name, text, results):
    """Show a table; write it, and the numbers with the machine and the versions, to a folder."""
    print(text)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.rst").write_text(text, encoding="utf-8")
    record = {"command": " ".join(sys.argv), "environment": environment(), "results": results}
    text = json.dumps(record, indent=1, default=float, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
