"""Small binary data sets."""

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
