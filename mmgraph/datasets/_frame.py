"""One table out of named modalities."""


def modality_frame(modalities, feature_names):
    """Put modalities side by side in a pandas DataFrame.

    Parameters
    ----------
    modalities : dict of str to ndarray of shape (n_samples, n_features_m)
    feature_names : dict of str to list of str
        For each modality the names of its columns.

    Returns
    -------
    DataFrame of shape (n_samples, n_features)
        Columns ``"{modality}__{feature}"``: the form that a ``ColumnTransformer`` emits and from
        which mmgraph's estimators read the modalities.
    """
    import pandas as pd

    blocks = [
        pd.DataFrame(block, columns=[f"{modality}__{name}" for name in feature_names[modality]])
        for modality, block in modalities.items()
    ]
    return pd.concat(blocks, axis=1)
