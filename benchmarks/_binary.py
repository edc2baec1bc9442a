"""Small binary data sets, and tables of exact log-likelihoods on them."""

import numpy as np

import mmgraph as mg


def data_sets(n_images):
    """Training and test rows by name: digits, and some images of MNIST if it is there."""
    digits = mg.datasets.load_digit_captions()
    binary = (digits.image >= 0.5).astype(float)
    sets = {"digits": (binary[digits.train], binary[digits.test])}
    try:
        train, test = (mg.datasets.fetch_mnist(subset=s, verbose=False) for s in ("train", "test"))
    except OSError as error:
        print(f"MNIST is left out: {error}")
        return sets
    images = (train.data[:n_images] >= 128).astype(float), (test.data >= 128).astype(float)
    return {**sets, "MNIST": images}


def table(corner, columns, rows, values, write):
    """A reStructuredText list-table.

    Parameters
    ----------
    corner : str
        Head of the first column.
    columns, rows : dict of str to object
        What is looked up, by its label.
    values : callable (row, column) -> list of float
    write : callable (values) -> str
    """
    lines = [".. list-table::", "   :header-rows: 1", "", f"   * - {corner}"]
    lines += [f"     - {label}" for label in columns]
    for label, row in rows.items():
        lines.append(f"   * - {label}")
        for column in columns.values():
            found = values(row, column)
            lines.append(f"     - {write(np.array(found))}" if found else "     -")
    return "\n".join(lines) + "\n"
