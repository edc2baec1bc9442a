"""Run the benchmarks: ``python -m benchmarks [name ...]``; without a name, all of them.

``--quick`` takes those that compare speed, at small sizes: under five minutes, to see that nothing
became slow. ``--tables`` runs nothing, and writes the tables again from the numbers beside them.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from ._report import numbers, write

NAMES = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
)
QUICK = {
    "speed": ["--seconds", "0.5", "--temperatures", "10", "--doublings", "2"],
    "cca_speed": ["--rows", "3000", "--columns", "100", "--parts", "two", "three", "path"],
    "kernel_cca_speed": ["--rows", "600", "--rank", "100", "--rounds", "1"],
    "contrastive_speed": ["--rows", "1024", "--components", "64", "--turns", "3"],
    "mkl_speed": ["--train", "300", "--rounds", "1", "--parts", "time"],
    "hmm_speed": ["--frames", "200", "--states", "128", "--repeats", "1"],
    "warping_speed": ["--shrink", "4", "--rounds", "1"],
}


def run(name, arguments):
    """Run a benchmark as its own command would."""
    sys.argv = [name, *arguments]
    import_module(f"benchmarks.{name}").main()


def rewrite(path):
    """Write a table again, from its numbers."""
    record = json.loads(path.read_text(encoding="utf-8"))
    name = max((name for name in NAMES if path.stem.startswith(name)), key=len)
    text = import_module(f"benchmarks.{name}").report(numbers(record))
    write(path.parent, path.stem, text, record)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="speed at small sizes")
    parser.add_argument("--tables", action="store_true", help="write them again, and run nothing")
    parser.add_argument("--out", type=Path, help="folder of the tables [docs/results]")
    options = parser.parse_args()
    out = options.out or Path("build/quick" if options.quick else "docs/results")
    for name in options.names:
        if name not in NAMES:
            parser.error(f"no benchmark {name!r}: choose of {', '.join(NAMES)}")
    if options.tables:
        for path in sorted(out.glob("*.json")):
            if not options.names or path.stem.startswith(tuple(options.names)):
                rewrite(path)
        return
    failed = []
    for name in options.names or (QUICK if options.quick else NAMES):
        print(f"== {name}", flush=True)
        arguments = QUICK.get(name, []) if options.quick else []
        try:
            run(name, [*arguments, "--out", str(out)])
        except OSError as error:  # data that are not there
            failed.append(f"{name} was not run: {error}")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
