"""What all Boltzmann estimators share: from X to the engine and back."""

import numbers
import warnings
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from ..backend.arrays import namespace, to_device, to_numpy
from ..backend.kernels.threads import for_products
from ..backend.random import derive
from ..base import GenerativeMixin, MultimodalEstimator, RepresentationMixin, drive
from ..checkpoint import Checkpoint
from ..engine import likelihood
from ..engine.boltzmann import State, begin, gibbs, mean_field, populate
from ..engine.learning import (
    Data,
    Settings,
    construct,
    learn,
    reconstruction,
)
from ..engine.pretraining import pretrain
from ..engine.tempering import tempered_gibbs
from ..engine.units import Bernoulli, Noise, as_units, guess_units
from ..hints import Modalities, Seed
from ..modalities import Layout
from ..parameters import require
from ..training import hold_out

__all__ = ["BoltzmannEstimator"]

FIT, PARTICLES, PARTITION, MEAN, PRETRAINING = range(5)  # what a derived key is used for
CHAINS_AT_ONCE = 4096  # rows times draws that are inferred together: bounds the memory
HEALTH = "rhat", "effective_sample_size", "swap_rate"  # NaN where a pass has few steps
NOT_MIXED = 2.0  # R-hat from which a fit warns
WATCHED = 200  # training rows whose reconstruction is recorded after each epoch
WATCHING = 50, 200  # chains and temperatures of the held-out log-density after each epoch
# What fitting never reads:
GENERATION_ONLY = "sampling_sweeps", "n_mean_chains", "n_particles", "min_effective_particles"
LARGEST = 1e302  # magnitude of real-valued data
DRAW_SHIFT = 20  # the random numbers of row r, draw d bear the number (d << 20) + r


class BoltzmannEstimator(RepresentationMixin, GenerativeMixin, MultimodalEstimator):
    """Base of `RBM`, `DBM` and `MultimodalDBM`, which differ in their graph only.

    A subclass implements ``_graph(names)``: the names and sizes of the hidden layers and the edges.
    The last layer is the representation.
    """

    _streams = True

    def __init__(
        self,
        *,
        units: Any = "auto",
        objective: str = "likelihood",
        learning_rate: float = 0.05,
        learning_rate_schedule: str = "linear",
        momentum: float = 0.5,
        batch_size: int = 20,
        max_iter: int = 100,
        negative_phase: str = "pcd",
        n_chains: int = 100,
        n_temperatures: int = 10,
        n_gibbs: int = 1,
        centered: bool = True,
        l2: float = 0.0,
        max_norm: float | None = None,
        pretrain_iter: int = 0,
        sparsity_target: float = 0.1,
        sparsity_cost: float = 0.0,
        mean_field_sweeps: int = 20,
        sampling_sweeps: int = 20,
        n_mean_chains: int = 10,
        n_particles: int = 2000,
        min_effective_particles: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 0.0,
        warm_start: bool = False,
        dtype: str = "float32",
        device: str = "auto",
        modalities: Modalities | None = None,
        random_state: Seed = None,
        verbose: int = 0,
        checkpoint: str | PathLike | None = None,
    ):
        self.units = units
        self.objective = objective
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.negative_phase = negative_phase
        self.n_chains = n_chains
        self.n_temperatures = n_temperatures
        self.n_gibbs = n_gibbs
        self.centered = centered
        self.l2 = l2
        self.max_norm = max_norm
        self.pretrain_iter = pretrain_iter
        self.sparsity_target = sparsity_target
        self.sparsity_cost = sparsity_cost
        self.mean_field_sweeps = mean_field_sweeps
        self.sampling_sweeps = sampling_sweeps
        self.n_mean_chains = n_mean_chains
        self.n_particles = n_particles
        self.min_effective_particles = min_effective_particles
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.modalities = modalities
        self.random_state = random_state
        self.verbose = verbose
        self.checkpoint = checkpoint

    def fit(self, X, y=None):
        """Fit the model to rows that may lack some modalities.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : ignored

        Returns
        -------
        self
        """
        settings = self._settings()
        start = None
        if self.warm_start and hasattr(self, "training_state_"):
            start = self.training_state_._replace(number=0)
        views = self._check(X, reset=start is None)
        if start is not None:
            self._require_same(start, settings.n_chains * settings.n_temperatures)
        checkpoint = Checkpoint(
            self, views, derive(self._key(), FIT), start=start, ignored=GENERATION_ONLY
        )
        key, course = checkpoint.key, self._placed(checkpoint.course)
        resume = start if course.last is None else course.last
        kinds = self._kinds(views) if resume is None else resume.model.units
        data = self._data(views, kinds)
        rows = np.flatnonzero(np.any(data.present, axis=0))
        held_out = None
        if self.early_stopping:
            held_out, rows = hold_out(rows, self.validation_fraction, key)
        model = resume.model if resume else self._construct(data.take(rows), kinds, key)
        if resume is None and self.pretrain_iter:
            few = replace(settings, max_epochs=self.pretrain_iter)
            model = pretrain(model, data.take(rows), few, derive(key, PRETRAINING), self._level)
        epochs = learn(model, data, settings, key, resume=resume, rows=rows)
        epochs = self._watch(epochs, data, key, rows[:WATCHED], held_out)
        best, self.history_ = drive(
            epochs,
            total=settings.max_epochs,
            verbose=self.verbose,
            description=type(self).__name__,
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            course=course,
            save=checkpoint.save,
        )
        self._warn_of_mixing(best.metrics)
        return self._finish(best, key)

    def partial_fit(self, X, y=None):
        """Go on learning from one pass over some rows, at the constant learning rate.

        The parameter `checkpoint` is about `fit`, and ignored here: save the estimator itself.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            The first call settles the layout, the unit types and the visible biases.
        y : ignored

        Returns
        -------
        self
        """
        first = not hasattr(self, "training_state_")
        views = self._check(X, reset=first)
        kinds = self._kinds(views) if first else self.training_state_.model.units
        data = self._data(views, kinds)
        state = None if first else self.training_state_
        key = derive(self._key(), FIT) if first else self.training_key_
        done = 0 if first else state.number
        settings = self._settings(max_epochs=done + 1, decay="constant")
        model = self._construct(data, kinds, key) if first else state.model
        rows = np.flatnonzero(np.any(data.present, axis=0))
        epochs = learn(model, data, settings, key, resume=state, rows=rows)
        best, history = drive(self._watch(epochs, data, key, rows[:WATCHED], None), total=1)
        past = {} if first else self.history_
        self.history_ = {name: [*past.get(name, []), *new] for name, new in history.items()}
        return self._finish(best, key)

    @property
    def model_(self):
        """The fitted :class:`~mmgraph.engine.boltzmann.Boltzmann`: graph and parameters."""
        check_is_fitted(self, "training_state_")
        state = self.training_state_
        memory, name = state.model.memory, ("particles", self.n_particles)
        if name not in memory:  # the particles are drawn when they are first needed
            chains = State(list(state.chains), [True] * len(state.chains), list(state.chain_totals))
            rows = namespace(state.chains[0]).arange(len(state.chains[0]), dtype=np.uint32)
            noise = Noise(derive(self.training_key_, PARTICLES), rows, 0, 0)
            settings = self._settings()
            tempered = settings.n_temperatures > 1
            # Free chains of a machine that learnt to predict only are nothing to start from: the
            # learner left them at the data.
            thin = 0 if self.objective == "multi_prediction" else 5
            memory[name] = populate(
                state.model,
                chains,
                self.n_particles,
                noise,
                thin=thin,
                move=partial(tempered_gibbs, betas=settings.betas) if tempered else gibbs,
                n_chains=self.n_chains,
            )
        return memory[name]

    @property
    def units_(self):
        """Name of the unit type of each modality."""
        check_is_fitted(self, "training_state_")
        model = self.training_state_.model
        return {model.names[k]: model.units[k].name for k in model.visible}

    @property
    def _n_features_out(self):
        return len(self.training_state_.model.biases[-1])

    # What the family implements for the generative verbs -------------------------------------

    def _shown(self, views, model):
        """What the rows show, checked and encoded: statistics and presence by visible layer."""
        return self._data(views, model.units).batch(model, slice(None))

    def _represent(self, views):
        # In the precision of X and with a fixed number of sweeps: a row's representation must not
        # depend on the rows beside it.
        model, parts = self.model_.astype(views.dtype), []
        for rows in _chunks(views.n_rows, CHAINS_AT_ONCE):
            shown, present = self._shown(views.take(rows), model)
            state = begin(model, shown, rows.stop - rows.start, present=present)
            inferred = mean_field(model, state, max_sweeps=self.mean_field_sweeps, tol=0.0)
            parts.append(to_numpy(inferred.state.values[-1]))
        return np.concatenate(parts) if parts else np.zeros((0, self._n_features_out))

    def _reconstruct(self, Z):
        model = self.model_
        blocks = _empty_blocks(model, len(Z))
        for rows in _chunks(len(Z), CHAINS_AT_ONCE):
            state = begin(model, {}, rows.stop - rows.start)
            state.values[-1] = namespace(model.biases[0]).asarray(Z[rows], model.dtype)
            state.free[-1] = False
            inferred = mean_field(model, state, max_sweeps=self.mean_field_sweeps).state
            for k in model.visible:
                blocks[model.names[k]][rows] = to_numpy(model.decode(k, inferred.values[k]))
        return blocks

    def _complete(self, views, n_draws=None, key=None):
        model = self.model_
        if n_draws is None:
            return self._conditional_mean(views)
        blocks = _empty_blocks(model, n_draws, views.n_rows)
        at_once = max(1, CHAINS_AT_ONCE // max(views.n_rows, 1))
        at_once = 1 << (at_once.bit_length() - 1)
        for first in range(0, n_draws, at_once):
            draws = range(first, min(first + at_once, n_draws))
            for rows in _chunks(views.n_rows, CHAINS_AT_ONCE // len(draws)):
                number = np.arange(rows.start, rows.stop) % (1 << DRAW_SHIFT)
                number = number + (np.array(draws)[:, None] % (1 << 12) << DRAW_SHIFT)
                here = derive(key, rows.start >> DRAW_SHIFT, first >> 12)
                values, _ = self._chains(views.take(rows), number, here, 0)
                for k in model.visible:
                    x = to_numpy(model.decode(k, values[k]))
                    blocks[model.names[k]][first : draws.stop, rows] = x.reshape(
                        len(draws), -1, x.shape[1]
                    )
        return blocks

    def _conditional_mean(self, views):
        """E[absent | shown]: conditional means averaged over sweeps of a few chains a row."""
        model = self.model_
        key = derive(self.training_key_, MEAN)
        blocks = _empty_blocks(model, views.n_rows)
        n = self.n_mean_chains
        for rows in _chunks(views.n_rows, max(1, CHAINS_AT_ONCE // n)):
            # The same numbers for every row: a mean must not depend on the rows beside it.
            number = np.repeat(np.arange(n)[:, None], rows.stop - rows.start, axis=1)
            _, sums = self._chains(views.take(rows), number, key, self.sampling_sweeps)
            for k in model.visible:
                if sums[k] is not None:
                    mean = sums[k].reshape(n, -1, sums[k].shape[1]).mean(axis=0)
                    mean = to_numpy(model.decode(k, mean / self.sampling_sweeps))
                    blocks[model.names[k]][rows] = mean
        return blocks

    def _chains(self, views, number, key, n_averaged):
        """Run one chain a row and draw; sum the conditional means of the last sweeps.

        `number`, of shape (n_draws, n_rows), says which random numbers a chain takes.
        """
        model = self.model_
        xp = namespace(model.biases[0])
        n_draws = len(number)
        shown, present = self._shown(views, model)
        if n_draws > 1:
            shown = {k: xp.concatenate([x] * n_draws) for k, x in shown.items()}
            present = {k: xp.concatenate([m] * n_draws) for k, m in present.items()}
        noise = Noise(key, xp.asarray(number.ravel().astype(np.uint32)), 0, 0)
        floor = self.min_effective_particles
        state = begin(model, shown, number.size, present=present, noise=noise, min_effective=floor)
        sums = [None] * model.n_layers

        def add(means):
            for k in model.visible:
                if means[k] is not None:
                    sums[k] = means[k] if sums[k] is None else sums[k] + means[k]

        with for_products(model.n_multiplications * number.size):
            state, _ = gibbs(model, state, self.sampling_sweeps, noise._replace(step=1))
            if n_averaged:
                noise = noise._replace(step=1 + self.sampling_sweeps)
                state, _ = gibbs(model, state, n_averaged, noise, visit=add)
        return state.values, sums

    def _log_density(self, views, hide=None):
        """Log-density of what the rows show, but for the modality `hide`, whose lengths count."""
        model = self.model_
        out = np.empty(views.n_rows)
        for rows in _chunks(views.n_rows, CHAINS_AT_ONCE):
            shown, present = self._shown(views.take(rows), model)
            lengths = {}
            if hide in shown:
                hidden = shown.pop(hide)
                if model.units[hide].counts:
                    lengths[hide] = hidden.sum(axis=1)
                    default = float(model.length(hide))
                    lengths[hide][~present[hide]] = default
                del present[hide]
            n = rows.stop - rows.start
            out[rows] = likelihood.log_density(
                model, shown, present, n, self._log_z, lengths=lengths
            )
        return out

    def _log_density_beside(self, views, target):
        return self._log_density(views, hide=self.layout_.names.index(target))

    def log_partition(self, totals=None, *, n_chains=50, n_temperatures=500):
        """Log-partition function: exact where it can be enumerated, else annealed both ways.

        `score_samples` uses its value with these defaults.

        Parameters
        ----------
        totals : dict of str to float, optional
            Number of words of each count modality, on which the model is conditioned. None: the
            median of the training rows.
        n_chains, n_temperatures : int
            Effort of an annealed estimate: chains in each direction, and steps of each.

        Returns
        -------
        LogPartition
            ``value``, its ``standard_error`` (0: exact) and ``effective_sample_size``; the
            estimates ``forward`` (low on average) and ``reverse`` (high on average, if the model's
            particles are draws of it) and the ``interval`` of both.

        Warns
        -----
        ConvergenceWarning
            When `forward` and `reverse` differ by more than 1 nat.
        """
        model = self.model_
        given = {self.layout_.require(name): total for name, total in (totals or {}).items()}
        for name, total in given.items():
            if not model.units[model.names.index(name)].counts:
                raise ValueError(f"totals names {name!r}, whose units are no word counts.")
            require(f"totals[{name!r}]", total, "0", "<inf", numbers.Real)
            if total != round(total):
                raise ValueError(f"totals[{name!r}]={total!r}: it must be a whole number of words.")
        lengths = {
            k: float(given.get(model.names[k], model.length(k)))
            for k in model.visible
            if model.units[k].counts
        }
        key = derive(self.training_key_, PARTITION)
        return _log_partitions(model, [lengths], key, n_chains, n_temperatures)[0]

    def _log_z(self, totals):
        key = derive(self.training_key_, PARTITION)
        return [found.value for found in _log_partitions(self.model_, totals, key)]

    # Preparation -------------------------------------------------------------------------------

    def _settings(self, **changes):
        """Check the parameters and turn them into the engine's settings."""
        for name, (low, high, kind) in _RANGES.items():
            require(name, getattr(self, name), low, high, kind)
        if self.max_norm is not None:
            require("max_norm", self.max_norm, "<0", "inf", numbers.Real)
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str | bool | np.bool_) or value not in allowed:
                raise ValueError(f"{name}={value!r}: choose one of {list(allowed)}.")
        tempered = self.negative_phase == "tempering" and self.objective != "multi_prediction"
        settings = {
            "learning_rate": self.learning_rate,
            "decay": self.learning_rate_schedule,
            "momentum": self.momentum,
            "batch_size": self.batch_size,
            "max_epochs": self.max_iter,
            "n_chains": self.n_chains,
            "n_gibbs": self.n_gibbs,
            "objective": self.objective,
            "persistent": self.negative_phase != "cd",
            "n_temperatures": self.n_temperatures if tempered else 1,
            "centered": self.centered,
            "l2": self.l2,
            "max_norm": np.inf if self.max_norm is None else self.max_norm,
            "sparsity_target": self.sparsity_target,
            "sparsity_cost": self.sparsity_cost,
            "mean_field_sweeps": self.mean_field_sweeps,
        }
        return Settings(**{**settings, **changes})

    def _kinds(self, views):
        """Unit type of each modality, from the parameter `units`."""
        spec = self.units if isinstance(self.units, dict) else {}
        for name in spec:
            self.layout_.require(name)
        kinds = []
        for name in self.layout_.names:
            block = views.blocks[name][views.present[name]]
            chosen = spec.get(name, "auto") if isinstance(self.units, dict) else self.units
            kind = guess_units(block) if isinstance(chosen, str) and chosen == "auto" else None
            kind = as_units(chosen) if kind is None else kind
            if kind.scaled and not _varies(block):
                raise ValueError(
                    f"modality {name!r} has zero variance: its n_samples={block.shape[0]} row(s) "
                    f"are all equal, and {kind.name} units have nothing to learn. Drop its columns."
                )
            largest = float(abs(block).max())
            if kind.scaled and not 1 / LARGEST < largest < LARGEST:
                raise ValueError(
                    f"modality {name!r} has values of magnitude {largest:g}, from which no scale "
                    f"can be computed: bring them between {1 / LARGEST:g} and {LARGEST:g}."
                )
            if kind.counts and block.sum() == 0:
                raise ValueError(
                    f"modality {name!r} has no words: all counts of its "
                    f"n_samples={block.shape[0]} row(s) are 0. Drop its columns."
                )
            kinds.append(kind)
        return kinds

    def _data(self, views, kinds):
        """Views as the engine's data, once their values suit the unit types."""
        for kind, name in zip(kinds, self.layout_.names, strict=False):
            kind.check(views.blocks[name][views.present[name]], f"modality {name!r}")
        names = self.layout_.names
        return Data([views.blocks[n] for n in names], [views.present[n] for n in names])

    def _require_same(self, state, n_chains):
        """Raise where warm_start meets parameters that make another machine."""
        model = state.model
        hidden, sizes, edges = self._graph(list(self.layout_.names))
        same_layers = (
            [*model.names[model.n_visible :]] == hidden
            and [len(b) for b in model.biases[model.n_visible :]] == list(sizes)
            and [tuple(edge) for edge in model.edges] == [tuple(edge) for edge in edges]
        )
        wanted = (
            self.units
            if isinstance(self.units, dict)
            else dict.fromkeys(self.layout_.names, self.units)
        )
        layout = Layout.resolve(
            self.modalities,
            self.n_features_in_,
            feature_names=getattr(self, "feature_names_in_", None),
        )
        changed = {
            "hidden layers": not same_layers,
            "modalities": any(
                not np.array_equal(layout.columns.get(name), columns)
                for name, columns in self.layout_.columns.items()
            ),
            "units": any(
                as_units(kind) != model.units[model.names.index(name)]
                for name, kind in wanted.items()
                if not (isinstance(kind, str) and kind == "auto")
            ),
            "dtype": model.dtype != np.dtype(self.dtype),
            "n_chains": len(state.chains[0]) != n_chains,
        }
        if any(changed.values()):
            raise ValueError(
                f"{', '.join(k for k, v in changed.items() if v)} changed since the last fit, but "
                "warm_start=True goes on with the machine that is there: set it to False, or clone "
                "the estimator, for another one."
            )

    def _construct(self, data, kinds, key):
        names = list(self.layout_.names)
        hidden, sizes, edges = self._graph(names)
        widths = [len(self.layout_.columns[name]) for name in names]
        model = construct(
            [*names, *hidden],
            [*kinds, *[Bernoulli()] * len(hidden)],
            len(names),
            [*widths, *sizes],
            edges,
            data,
            key,
            dtype=np.dtype(self.dtype),
        )
        return model.to(self._device)

    def _level(self, epochs, layer):
        """The epochs of a level of pretraining, with their progress."""
        total = self.pretrain_iter
        return tqdm(epochs, f"pretraining layer {layer}", total, disable=not self.verbose)

    def _watch(self, epochs, data, key, rows, held_out):
        """Add to each epoch's metrics how well rows are reconstructed, and how likely new ones are.

        The held-out log-density takes a short annealing with the same random numbers each time.
        """
        for epoch in epochs:
            model, metrics = epoch.model, dict(epoch.metrics)
            with np.errstate(over="ignore", invalid="ignore"):
                metrics["reconstruction"] = reconstruction(model, data, rows)
                if held_out is not None:
                    shown, present = data.batch(model, held_out)
                    found = likelihood.log_density(
                        model,
                        shown,
                        present,
                        len(held_out),
                        lambda totals, model=model: [
                            z.value for z in _log_partitions(model, totals, key, *WATCHING)
                        ],
                    )
                    metrics["validation_score"] = float(found.mean())
            for name, value in metrics.items():
                if not np.isfinite(value) and name not in HEALTH:
                    raise FloatingPointError(f"{name} became {value} in epoch {epoch.number}")
            yield epoch._replace(metrics=metrics)

    def _warn_of_mixing(self, metrics):
        """Warn where the chains of the last pass kept apart."""
        rhat = metrics.get("rhat", 0.0)
        if rhat > NOT_MIXED:
            warnings.warn(
                f"the chains of {type(self).__name__} do not mix: R-hat {rhat:.1f} over the last "
                "pass. Each keeps to its part of the distribution, so what rests on the shares of "
                "the parts (`sample`, `log_partition`) is only as good as the chains' places. "
                "Raise n_gibbs or n_chains, or set negative_phase='tempering'.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _placed(self, course):
        """A course read from a file, with its arrays where this fit computes."""
        device = self._device

        def moved(arrays):
            return [None if a is None else to_device(a, device) for a in arrays]

        def placed(epoch):
            return epoch and epoch._replace(
                model=epoch.model.to(device),
                velocity=tuple(moved(epoch.velocity)),
                chains=moved(epoch.chains),
                chain_totals=moved(epoch.chain_totals),
            )

        return course._replace(last=placed(course.last), best=placed(course.best))

    def _finish(self, best, key):
        self.training_state_, self.training_key_ = best, key
        self.n_iter_ = best.number
        return self


def _log_partitions(model, totals, key, n_chains=50, n_temperatures=500):
    """Log-partition functions, each of which is computed once for a fitted machine."""
    effort = (n_chains, n_temperatures)
    names = [("log_partition", *effort, *sorted(lengths.items())) for lengths in totals]
    new = [i for i, name in enumerate(names) if name not in model.memory]
    if new:
        found = likelihood.log_partition(
            model,
            [totals[i] for i in new],
            key,
            n_chains=n_chains,
            n_temperatures=n_temperatures,
        )
        model.memory.update({names[i]: value for i, value in zip(new, found, strict=True)})
    return [model.memory[name] for name in names]


# Smallest and largest value of the numeric parameters; "<" leaves the bound out.
_RANGES = {
    "learning_rate": ("<0", "<inf", numbers.Real),
    "momentum": ("0", "<1", numbers.Real),
    "batch_size": ("1", "inf", numbers.Integral),
    "max_iter": ("1", "inf", numbers.Integral),
    "n_chains": ("1", "inf", numbers.Integral),
    "n_temperatures": ("2", "inf", numbers.Integral),
    "n_gibbs": ("1", "inf", numbers.Integral),
    "l2": ("0", "inf", numbers.Real),
    "pretrain_iter": ("0", "inf", numbers.Integral),
    "sparsity_target": ("<0", "<1", numbers.Real),
    "sparsity_cost": ("0", "inf", numbers.Real),
    "mean_field_sweeps": ("1", "inf", numbers.Integral),
    "sampling_sweeps": ("1", "inf", numbers.Integral),
    "n_mean_chains": ("1", "inf", numbers.Integral),
    "n_particles": ("1", "inf", numbers.Integral),
    "min_effective_particles": ("1", "inf", numbers.Real),
    "validation_fraction": ("<0", "<1", numbers.Real),
    "n_iter_no_change": ("1", "inf", numbers.Integral),
    "tol": ("0", "inf", numbers.Real),
}
_CHOICES = {
    "objective": ("likelihood", "multi_prediction", "hybrid"),
    "learning_rate_schedule": ("linear", "constant", "inverse"),
    "negative_phase": ("pcd", "cd", "tempering"),
    "dtype": ("float32", "float64"),
    "centered": (True, False),
    "early_stopping": (True, False),
    "warm_start": (True, False),
}


def _empty_blocks(model, *shape):
    """Room for the data of each modality; what has a learnt scale needs the range of float64."""
    return {
        model.names[k]: np.empty(
            (*shape, len(model.biases[k])),
            model.dtype if model.scales[k] is None else np.float64,
        )
        for k in model.visible
    }


def _varies(block):
    """Whether any two rows differ."""
    if sp.issparse(block):
        return bool((block - block[[0] * block.shape[0]]).count_nonzero())
    return bool((block != block[:1]).any())


def _chunks(n_rows, size):
    """Slices of at most `size` rows; none crosses a multiple of 2**20."""
    start = 0
    while start < n_rows:
        stop = min(start + size, n_rows, ((start >> DRAW_SHIFT) + 1) << DRAW_SHIFT)
        yield slice(start, stop)
        start = stop
