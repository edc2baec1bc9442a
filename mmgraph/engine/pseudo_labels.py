"""Labels for rows that have none, by estimators of several modalities that agree on them."""

import numpy as np

from .opinions import product

__all__ = ["choose"]


def choose(opinions, heard, prior, share, agreement):
    """The rows to label, and the labels: the surest of each class.

    Parameters
    ----------
    opinions : array of shape (n_rows, n_opinions, n_classes)
        Log-posteriors; the prior where there is none.
    heard : ndarray of bool, shape (n_rows, n_opinions)
        Where there is one.
    prior : array of shape (n_classes,)
        Log-probabilities.
    share : float
        Of the rows that seem to be of a class, how many to label at most.
    agreement : float
        Share of a row's opinions that must favour the label.

    Returns
    -------
    rows : ndarray of int
        Ascending.
    codes : ndarray of int
        Their classes.
    """
    fused = product(opinions, heard, prior)
    codes, certainty = fused.argmax(axis=1), fused.max(axis=1)
    n_heard = heard.sum(axis=1)
    favour = ((opinions.argmax(axis=2) == codes[:, None]) & heard).sum(axis=1)
    fit = (n_heard > 0) & (favour >= agreement * n_heard)
    chosen = []
    for code in range(len(prior)):
        alike = (codes == code) & (n_heard > 0)
        quota = int(np.ceil(share * alike.sum()))
        rows = np.flatnonzero(alike & fit)
        chosen.append(rows[np.argsort(-certainty[rows], kind="stable")[:quota]])
    rows = np.sort(np.concatenate(chosen))
    return rows, codes[rows]
