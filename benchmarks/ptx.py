"""What the GPU kernels take of a GPU: registers, shared memory and spills, without a GPU.

    python -m benchmarks ptx

Every kernel is compiled to PTX by Numba, and that by ``ptxas`` of the CUDA toolkit to the machine
code of sm_80 (A100) and sm_90 (H100, H200), which says what it takes.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks._kernels import DTYPES, IN_FLOAT64, compile_for, of
from benchmarks._report import list_table, save

CAPABILITIES = (8, 0), (9, 0)
RESOURCES = {
    "registers": r"Used (\d+) registers",
    "shared": r"(\d+) bytes smem",
    "spills": r"(\d+) bytes spill stores",
}


def measure(ptx, capability):
    """What ptxas says of a kernel."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        command = ["ptxas", f"-arch=sm_{capability[0]}{capability[1]}", "-v", str(path)]
        said = subprocess.run(
            [*command, "-o", str(path.with_suffix(".cubin"))],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    found = {name: re.search(pattern, said) for name, pattern in RESOURCES.items()}
    return {name: int(match[1]) if match else 0 for name, match in found.items()}


def rows():
    """One row a kernel, floating type and capability."""
    for dtype in DTYPES:
        for kernel in of(dtype):
            for capability in CAPABILITIES:
                ptx = compile_for(kernel, capability)
                yield {
                    "kernel": f"{kernel.name} ({kernel.noun})",
                    "dtype": str(dtype),
                    "target": f"sm_{capability[0]}{capability[1]}",
                    "float64": ".f64" in ptx,
                    **measure(ptx, capability),
                }


def report(found):
    """The rows as a page."""
    head = (
        "Registers a thread, static shared memory a block (bytes) and registers spilled to memory\n"
        "(bytes), as ``ptxas -v`` says them of the PTX that Numba compiles. No kernel for float32\n"
        "computes in float64, but for sums that are float64 on the CPU too:\n"
        f"{', '.join(sorted(IN_FLOAT64))}. This was compiled, not run: no GPU was at hand.\n"
        "``python -m benchmarks ptx`` writes this page.\n"
    )
    cells, pairs = [["kernel", "type", "registers", "shared", "spilled", "float64"]], {}
    for row in found:
        pairs.setdefault((row["kernel"], row["dtype"]), []).append(row)
    for pair, targets in pairs.items():
        numbers = [" / ".join(str(r[name]) for r in targets) for name in RESOURCES]
        cells.append([*pair, *numbers, "yes" if any(r["float64"] for r in targets) else "no"])
    foot = "Where there are two numbers, the first is of sm_80 and the second of sm_90.\n"
    return "\n".join([head, list_table(cells), foot])


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the tables")
    options = parser.parse_args(argv)
    if shutil.which("ptxas") is None:
        print("ptxas of the CUDA toolkit is not on the path: nothing was measured.")
        return
    found = list(rows())
    save(options.out, "ptx", report(found), found)


if __name__ == "__main__":
    main()
