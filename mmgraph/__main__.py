"""``python -m mmgraph``: train a small model and look at what it does (see :mod:`mmgraph.demo`)."""

from .demo import main

if __name__ == "__main__":
    main()
