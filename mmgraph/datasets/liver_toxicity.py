"""Genes and clinical measurements of rats."""

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._fetch import get_data_home, locate, missing, read_npz
from ._frame import modality_frame
from ._split import every_fifth

CONTENT = "f77b34a84a616a86dc3fa3d8fc7af9678b31e86ca59aa942f7c26a3ceaa0ea60"
ARRAYS = ("gene", "gene_names", "clinic", "clinic_names", "treatment", "treatment_names")

DESCR = """\
Liver toxicity, genes and clinical measurements
-----------------------------------------------

64 rats that were given a low or a high dose of acetaminophen (paracetamol): what their livers
express, and what the laboratory finds in their blood.

:Modalities: ``gene``, the expression of 3,116 genes; ``clinic``, 10 clinical measurements.
:Split: every fifth rat of each dose is test.
:Source: the data set liver.toxicity of the R package mixOmics 6.3.2, data/liver.toxicity.rda in
    https://github.com/cran/mixOmics at afb4ed35.
:Licence: GPL (>= 2), that of the package.
:Citation: P. Bushel, R. Wolfinger, G. Gibson. Simultaneous clustering of gene expression data with
    clinical chemistry and pathological evaluations reveals phenotypic prototypes. BMC Systems
    Biology 1:15, 2007.
    F. Rohart, B. Gautier, A. Singh, K.-A. Le Cao. mixOmics: an R package for omics feature
    selection and multiple data integration. PLoS Computational Biology 13(11), 2017.
"""


def load_liver_toxicity(
    *, data_home: str | PathLike | None = None, as_frame: bool = False
) -> Bunch:
    """Load gene expression and clinical measurements of rats, from a local file.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder whose ``mixomics/liver_toxicity.npz`` is read, ``~/mmgraph_data`` by default. The
        file is also found in the folder that the environment variable ``MMGRAPH_DATA`` names.
    as_frame : bool, default=False
        Also give the modalities as one pandas DataFrame, `frame`.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        gene : ndarray of shape (64, 3116), float64
            Expression of genes in the liver.
        clinic : ndarray of shape (64, 10), float64
            Clinical measurements, in the units that their names have.
        target : ndarray of shape (64,), int64
            The dose.
        target_names : list of str
            The four doses, in mg/kg.
        hours : ndarray of shape (64,), int64
            Hours from the dose to the measurement: 6, 18, 24 or 48.
        train, test : ndarray of int64
            The rows of the split, ascending.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (64, 3126) or None
            Columns ``gene__A_43_P14555``, ..., ``clinic__Cholesterol.mg.dL.``.
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If the file is missing or is not what it should be.

    Notes
    -----
    The source is a file of R, so it is not downloaded. To make ``liver_toxicity.npz`` from the one
    that `DESCR` names (the Python package ``rdata`` reads it): save with :func:`numpy.savez` the
    tables ``gene``, ``clinic`` (float64) and ``treatment`` (str, columns ``Animal.Number``,
    ``Treatment.Group``, ``Dose.Group`` and ``Time.Group``), and the names of their columns as
    ``gene_names``, ``clinic_names`` and ``treatment_names``. The content is checked.

    Examples
    --------
    >>> from mmgraph.datasets import load_liver_toxicity
    >>> load_liver_toxicity().gene.shape  # doctest: +SKIP
    (64, 3116)
    """
    path = locate("mixomics", "liver_toxicity.npz", data_home)
    if path is None:
        path = get_data_home(data_home) / "mixomics" / "liver_toxicity.npz"
        raise OSError(missing(path, "make it as the notes of load_liver_toxicity say"))
    arrays = read_npz(path, CONTENT, ARRAYS)
    blocks = {name: arrays[name] for name in ("gene", "clinic")}
    feature_names = {name: arrays[f"{name}_names"].tolist() for name in blocks}
    doses, target = np.unique(arrays["treatment"][:, 2].astype(float), return_inverse=True)
    train, test = every_fifth(target)
    return Bunch(
        **blocks,
        target=target.astype(np.int64),
        target_names=[f"{dose:g}" for dose in doses],
        hours=arrays["treatment"][:, 3].astype(np.int64),
        train=train,
        test=test,
        feature_names=feature_names,
        frame=modality_frame(blocks, feature_names) if as_frame else None,
        DESCR=DESCR,
    )
