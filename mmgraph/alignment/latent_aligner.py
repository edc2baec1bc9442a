"""Latent alignment of streams with different features."""

import numbers
from typing import Any, Literal

import numpy as np

from ..backend import random
from ..base import warn_of_second_view
from ..engine import latent_alignment
from ..engine.alignment_priors import Jumps, Positions
from ..engine.codebook import Codebook
from ..engine.emissions import Scale
from ..engine.latent_alignment import Linear, Table
from ..engine.warping import Warping
from ..hints import Modalities, Seed
from ..parameters import choose, require
from .aligner import Aligner, dense_rows

__all__ = ["LatentAligner"]

# The distribution of a frame, and whether source and target become codes.
EMISSIONS = {
    "linear": (Linear, False, False),
    "codebook": (Linear, True, False),
    "categorical": (Table, True, True),
}
PRIORS = ("jumps", "positions", "uniform")


class LatentAligner(Aligner):
    """Align streams of different features by predicting one from the others.

    Every frame of the reference is taken to be drawn given one frame of another stream, no one
    knows which. Expectation and maximisation learn how a frame is drawn and where the next one
    comes from; which frames go together is what follows. This is the alignment of statistical
    machine translation, with frames for words: models 1 and 2 of [1]_ and the hidden Markov model
    of [2]_ are three choices of `prior`.

    Parameters
    ----------
    emission : {"linear", "codebook", "categorical"}
        How a frame of the reference is drawn: from a normal distribution about a linear function of
        the other frame, or about a mean that its code has; or, where the reference becomes codes
        too, its code from a table. Codes are the categories of one-hot frames, else clusters.
    prior : {"jumps", "positions", "uniform"}
        From one frame of the reference to the next, the other stream moves on by a jump, whose
        probabilities are learnt; or frames are independent, and the probability depends on how far
        they lie apart, in shares of the length (model 2); or on nothing (model 1).
    reference : str, optional
        Modality that is predicted, and on whose clock the others are warped. None: the first one.
    jumps : pair of int
        The least jump, at most 0, and the greatest, at least 1. A least one below 0 allows the
        other stream to go back.
    open_ends : bool
        Whether the other stream may begin and end at any frame. Else jumps lead from before its
        first frame to behind its last one.
    n_bins : int
        Into how many the offsets of ``prior="positions"`` are divided, from -1 to 1.
    n_codes : int
        Clusters of a stream that becomes codes.
    spread : float
        How far from the diagonal the first guess lies, as a share of the length. With
        ``prior="uniform"`` all frames are as likely.
    alpha : float
        Strength of the prior on the parameters, in frames: of weights at zero, and of equal
        probabilities. Raise it where there are few frames for the number of columns.
    max_iter : int
        Most iterations.
    tol : float
        They end once the objective gains less a frame.
    modalities : dict of str to slice, list of int or list of str, optional
        The columns of each stream.
    sequence : int or str, optional
        Column of the sequence ids. None: all rows are one sequence.
    random_state : int, RandomState, Generator or None
        Seed of the clusters.

    Attributes
    ----------
    models_ : dict of str to Correspondence
        For each other modality how the reference goes with it: `emission` and `prior`.
    encoders_ : dict of str to Scale or Codebook
        How the frames of each modality are described.
    target_encoder_ : Scale or Codebook
        The same for the reference, as a target.
    history_ : dict of str to dict of str to list of float
        For each other modality ``log_likelihood`` and ``objective`` (with the density of the
        parameters) before each iteration, in nats a frame of the reference.
    n_iter_ : int
        Most iterations done for any modality (1 if there is no other).
    converged_ : bool
        Whether all ended before `max_iter`.
    reference_ : str
        Modality whose clock is kept.
    layout_ : Layout
        The columns of each modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    CanonicalTimeWarping : By correlation instead of prediction.

    Notes
    -----
    The objective never falls, but need not reach the highest there is. The alignments of a sequence
    that lacks the reference are not known: its streams are not paired. All pairs of frames of a
    sequence are held, with ``prior="jumps"`` once a jump, so sequences may have some thousand
    frames; they are shared among threads.

    References
    ----------
    .. [1] P. Brown, S. Della Pietra, V. Della Pietra, R. Mercer. The mathematics of statistical
       machine translation: parameter estimation. Computational Linguistics 19(2):263-311, 1993.
    .. [2] S. Vogel, H. Ney, C. Tillmann. HMM-based word alignment in statistical translation.
       COLING 1996.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> time = np.linspace(0, 1, 100)
    >>> late = time**1.3
    >>> X, modalities = mg.pack(
    ...     one=np.c_[np.sin(8 * time), time * np.cos(9 * time)],
    ...     two=np.c_[np.sin(8 * late) - late * np.cos(9 * late), 3 * np.sin(8 * late)],
    ... )
    >>> model = mg.LatentAligner(modalities=modalities).fit(X)
    >>> found = model.align(X)[0]
    >>> path = found.paths["two"]
    >>> bool(abs(time[path[:, 0]] - late[path[:, 1]]).mean() < 0.01)
    True
    >>> found.posteriors["two"].shape
    (100, 100)
    """

    _needs_reference = True

    def __init__(
        self,
        emission: Literal["linear", "codebook", "categorical"] = "linear",
        prior: Literal["jumps", "positions", "uniform"] = "jumps",
        *,
        reference: str | None = None,
        jumps: Any = (0, 3),
        open_ends: bool = False,
        n_bins: int = 21,
        n_codes: int = 64,
        spread: float = 0.1,
        alpha: float = 1.0,
        max_iter: int = 50,
        tol: float = 1e-4,
        modalities: Modalities | None = None,
        sequence: int | str | None = None,
        random_state: Seed = None,
    ):
        self.emission = emission
        self.prior = prior
        self.reference = reference
        self.jumps = jumps
        self.open_ends = open_ends
        self.n_bins = n_bins
        self.n_codes = n_codes
        self.spread = spread
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.modalities = modalities
        self.sequence = sequence
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn how the reference goes with each other stream.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.
        y : ignored

        Returns
        -------
        LatentAligner
        """
        prior = self._start()
        warn_of_second_view(self, y)
        views = self._check(X, reset=True)
        self.reference_ = self._choose_reference()
        kind, source_codes, target_codes = EMISSIONS[self.emission]
        streams = [frames for frames, clock in self._sequences(views) if clock == self.reference_]
        rng = np.random.default_rng(random.key(self.random_state))

        def describe(name, codes):
            frames = np.concatenate([one[name] for one in streams if name in one])
            return Codebook.of(frames, self.n_codes, rng) if codes else Scale.of(frames)

        self.models_, self.encoders_, self.history_ = {}, {}, {}
        self.target_encoder_ = describe(self.reference_, target_codes)
        self.n_iter_, self.converged_ = 1, True
        for name in self.layout_.names:
            if name == self.reference_:
                continue
            if not any(name in one for one in streams):
                raise ValueError(
                    f"no sequence shows both {self.reference_!r} and {name!r}, so how they go "
                    "together cannot be learnt: add sequences that show both."
                )
            self.encoders_[name] = describe(name, source_codes)
            self.models_[name], self.history_[name], converged = latent_alignment.fit(
                [self._encode(one, name) for one in streams if name in one],
                kind,
                prior,
                spread=np.inf if self.prior == "uniform" else self.spread,
                alpha=self.alpha,
                max_iter=self.max_iter,
                tol=self.tol,
            )
            self.n_iter_ = max(self.n_iter_, len(self.history_[name]["objective"]))
            self.converged_ &= converged
        return self

    def score(self, X, y=None):
        """Mean log-density of the frames of the reference given each other stream, in nats.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.
        y : ignored

        Returns
        -------
        float
            0 where no frame of the reference stands beside another stream.
        """
        total, n = 0.0, 0
        for frames, clock in self._sequences(self._check(X)):
            for name in frames.keys() - {clock} if clock == self.reference_ else ():
                source, target = self._encode(frames, name)
                found = self.models_[name].expect(source, target)
                total += found.log_likelihood - len(target) * self.target_encoder_.log_volume
                n += len(target)
        return total / n if n else 0.0

    def translate(self, X, modality):
        """Expected frame of the reference that each frame of another stream brings about.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.
        modality : str
            The other stream.

        Returns
        -------
        ndarray of shape (n_rows, n_columns_of_the_reference)
            NaN where the row lacks the modality.
        """
        views = self._check(X)
        self.layout_.require(modality)
        if modality == self.reference_:
            raise ValueError(
                f"{modality!r} is the reference, which the others are translated into: choose one "
                f"of {list(self.models_)}."
            )
        found = np.full((views.n_rows, len(self.layout_.columns[self.reference_])), np.nan)
        shown = views.present[modality]
        if shown.any():
            source = self.encoders_[modality].encode(dense_rows(views, modality, shown))
            expected = self.models_[modality].emission.expected(source)
            found[shown] = self.target_encoder_.decode(expected)
        return found.astype(views.dtype, copy=False)

    def _start(self):
        """The prior on alignments before anything is learnt, from checked parameters."""
        choose("emission", self.emission, EMISSIONS)
        choose("prior", self.prior, PRIORS)
        require("n_bins", self.n_bins, "1", "inf", numbers.Integral)
        require("n_codes", self.n_codes, "1", "inf", numbers.Integral)
        require("spread", self.spread, "<0", "inf", numbers.Real)
        require("alpha", self.alpha, "0", "<inf", numbers.Real)
        require("max_iter", self.max_iter, "1", "inf", numbers.Integral)
        require("tol", self.tol, "0", "inf", numbers.Real)
        jumps = self.jumps
        good = isinstance(jumps, tuple | list) and len(jumps) == 2
        if not (good and all(isinstance(d, numbers.Integral) for d in jumps)) or not (
            jumps[0] <= 0 < jumps[1]
        ):
            raise ValueError(
                f"jumps={jumps!r}: it must be a pair of ints, the least at most 0 and the greatest "
                "at least 1, such as (0, 3)."
            )
        if self.prior == "jumps":
            return Jumps.even(*jumps, bool(self.open_ends))
        return Positions.even(self.n_bins if self.prior == "positions" else 1)

    def _encode(self, frames, name):
        """Source and target as the engine takes them."""
        target = self.target_encoder_.encode(frames[self.reference_])
        return self.encoders_[name].encode(frames[name]), target

    def _warp(self, streams, clock):
        found = {}
        for name in [name for name in streams if name != clock]:
            model = self.models_[name]
            costs = model.emission.costs(*self._encode(streams, name))
            aligned = model.prior.expect(costs)
            if aligned.log_likelihood == -np.inf:
                raise ValueError(latent_alignment.no_alignment(*costs.shape, model.prior))
            distance, path = model.prior.best(costs)
            cells = np.column_stack([np.arange(len(path)), path])
            found[name] = Warping(distance, cells, aligned.posterior)
        return found

    def _compare(self, streams, clock, name):
        return self.models_[name].emission.costs(*self._encode(streams, name))
