"""The parameters that all Boltzmann estimators share, described once."""

from inspect import Parameter, signature

__all__ = ["shares_parameters"]

SHARED = """\
units : str, Units or dict of str to str or Units, default="auto"
    Unit type of the visible layers, for all modalities or by name: ``"bernoulli"``,
    ``"binomial"``, ``"gaussian"``, ``"rectified"``, ``"categorical"``, ``"replicated_softmax"`` or
    an object of :mod:`mmgraph.engine.units` with settings of its own. ``"auto"`` looks at the
    values and states its choice in ``units_``.
objective : {"likelihood", "multi_prediction", "hybrid"}, default="likelihood"
    What learning maximises: the likelihood of what a row shows; the likelihood of each modality it
    shows given the others it shows, which suits generating one modality from another and needs no
    row to be complete; or, as ``"hybrid"``, the mean of both.
learning_rate : float, default=0.05
    Step size at the start. In each layer it is capped at a quarter of the inverse of the largest
    eigenvalue of the covariance of its data, beyond which learning is not stable.
learning_rate_schedule : {"linear", "constant", "inverse"}, default="linear"
    Falling linearly to zero over `max_iter`, constant, or as 1 / (1 + 10 t / max_iter).
momentum : float, default=0.5
    Share of the last step that the next one keeps.
batch_size : int, default=20
    Rows a gradient step.
max_iter : int, default=100
    Passes over the rows (fewer with early stopping).
negative_phase : {"pcd", "cd", "tempering"}, default="pcd"
    Whether the model's own chains go on from step to step (persistent contrastive divergence),
    start at the data at every step (contrastive divergence), or go on and swap states with chains
    at higher temperatures (parallel tempering), which costs `n_temperatures` times as much and
    mixes better. Multi-prediction always infers from the data.
n_chains : int, default=100
    Number of chains. With ``"cd"``, where a step has one for each row of its batch, the number that
    is left at the end for generation; with ``"tempering"`` the number at each temperature.
n_temperatures : int, default=10
    Inverse temperatures of ``"tempering"``, equally spaced from 1 to 0.
n_gibbs : int, default=1
    Gibbs sweeps of the chains a step: the k of CD-k.
centered : bool, default=True
    Follow the centred gradient, with moving averages of the data means as offsets.
l2 : float, default=0.0
    Weight decay.
max_norm : float, default=None
    Largest norm of the weights between the layer below and a hidden unit. None: any.
pretrain_iter : int, default=0
    Passes in which `fit` first learns each level of a deep machine by itself, greedily from the
    data up with doubled inputs. 0: all layers are learnt together from the start. A machine of one
    level has nothing to pretrain, and `partial_fit` ignores it.
sparsity_target, sparsity_cost : float, default=0.1, 0.0
    Mean activity that hidden units are drawn to through their biases, and how strongly.
mean_field_sweeps : int, default=20
    Largest number of sweeps of a mean-field inference.
sampling_sweeps : int, default=20
    Gibbs sweeps before a draw is read.
n_mean_chains : int, default=10
    Chains a row over which `impute` and `generate` average a conditional mean.
n_particles : int, default=2000
    Joint draws kept with the model, among which inference finds where to start.
min_effective_particles : float, default=1.0
    Among how many of these a row's completions start, at least, by the effective number of their
    weights. Where a modality has many columns that depend on each other, the machine takes one of
    them for the only explanation, and draws are too alike; more gives more varied draws, each of
    which suits what is given less well. 1 leaves the weights as they are. The sweeps that follow
    take all of the evidence, so many `sampling_sweeps` undo it.
early_stopping : bool, default=False
    Hold out rows, and stop when their log-density (by a short annealing after each epoch) gets no
    better. The best epoch is kept.
validation_fraction : float, default=0.1
    Share of rows held out.
n_iter_no_change : int, default=10
    Epochs without improvement after which to stop.
tol : float, default=0.0
    What counts as an improvement, in nats.
warm_start : bool, default=False
    Whether `fit` goes on from the last fit. Parameters that would make another machine must then
    not have changed.
dtype : {"float32", "float64"}, default="float32"
    Precision of the computation.
device : {"auto", "cpu", "cuda"}, default="auto"
    Where to compute.
modalities : dict of str to slice, list of int or list of str, default=None
    Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``); without
    them X is one modality, ``"X"``.
random_state : int, RandomState, Generator or None, default=None
    Seed. Equal seeds give equal results.
verbose : int, default=0
    1 shows a progress bar.
checkpoint : str or Path, default=None
    File that `fit` writes every few seconds, and goes on from if it exists: a fit that was killed,
    or interrupted with Ctrl-C, and is called again with the same data and parameters ends as if
    nothing had happened, in every bit. A file of another fit is refused. `partial_fit` ignores
    it."""

ATTRIBUTES = """\
model_ : Boltzmann
    The fitted machine: layers, edges, weights, biases, and its particles.
units_ : dict of str to str
    Unit type of each modality.
history_ : dict of str to list
    Course of training by epoch: ``epoch``, ``learning_rate``, ``weight_norm``, ``reconstruction``
    (log-density of training rows given the hidden layers inferred from them, summed over the
    modalities they show); the health of the chains in that pass, unless they start at the data:
    ``rhat`` and ``effective_sample_size`` of the worst layer along a random direction, and with
    tempering the lowest ``swap_rate`` of two neighbouring temperatures; and with `early_stopping`
    ``validation_score`` (log-density of the rows held out).
n_iter_ : int
    Passes done.
layout_ : Layout
    Columns of each modality.
training_state_ : Epoch
    All that is needed to go on learning.
n_features_in_ : int
    Number of columns of X.
feature_names_in_ : ndarray of str
    Names of the columns of X, if it had any."""


def shares_parameters(cls):
    """Give a class the parameters of its parent: in its signature, and where its docstring says.

    The docstring has ``{shared}`` and ``{attributes}`` in their places. scikit-learn reads the
    parameters of an estimator from the signature of its constructor.
    """

    def indented(text):
        return text.replace("\n", "\n    ")

    own = signature(cls.__init__)
    shared = signature(cls.__mro__[1].__init__).parameters.values()
    cls.__init__.__signature__ = own.replace(
        parameters=[
            *(p for p in own.parameters.values() if p.kind is not Parameter.VAR_KEYWORD),
            *(p for p in shared if p.kind is Parameter.KEYWORD_ONLY),
        ]
    )
    cls.__doc__ = cls.__doc__.replace("{shared}", indented(SHARED)).replace(
        "{attributes}", indented(ATTRIBUTES)
    )
    return cls
