"""Run the benchmarks: ``python -m benchmarks [name ...]``; without a name, all of them.

``--quick`` takes those that compare speed, at small sizes: under five minutes, to see that nothing
became slow. What was run, on which machine and with which versions, is added to ``runs.json``
beside the tables.
"""

import argparse
import json
import time
from importlib import import_module
from pathlib import Path

from ._report import environment

NAMES = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
)
QUICK = {
    "speed": ["--seconds", "0.5", "--temperatures", "10"],
    "cca_speed": ["--rows", "3000", "--columns", "100", "--parts", "two", "three", "path"],
    "kernel_cca_speed": ["--rows", "600", "--rank", "100", "--rounds", "1"],
    "contrastive_speed": ["--rows", "1024", "--components", "64", "--turns", "3"],
    "mkl_speed": ["--rounds", "1", "--parts", "time"],
    "hmm_speed": ["--repeats", "1"],
    "warping_speed": ["--rounds", "1"],
}


def record(folder, name, arguments, begun):
    """Add a run to the list beside the tables."""
    path = folder / "runs.json"
    runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    seconds = {"wall": time.perf_counter() - begun[0], "CPU": time.process_time() - begun[1]}
    command = " ".join(["python -m benchmarks", name, *arguments])
    runs[name] = {"command": command, "seconds": seconds, "environment": environment()}
    text = json.dumps(runs, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="speed at small sizes")
    parser.add_argument("--out", type=Path, help="folder of the tables [docs/results]")
    options = parser.parse_args()
    out = options.out or Path("build/quick" if options.quick else "docs/results")
    for name in options.names or (QUICK if options.quick else NAMES):
        if name not in NAMES:
            parser.error(f"no benchmark {name!r}: choose of {', '.join(NAMES)}")
        print(f"== {name}", flush=True)
        arguments = QUICK.get(name, []) if options.quick else []
        begun = time.perf_counter(), time.process_time()
        import_module(f"benchmarks.{name}").main([*arguments, "--out", str(out)])
        record(out, name, arguments, begun)


if __name__ == "__main__":
    main()
