"""How well chains mix."""

import itertools

from sklearn.utils.validation import check_is_fitted

from ..backend import random
from ..backend.arrays import to_numpy
from ..engine import chains
from ._display import COLOURS, INK, MARKERS, Display

__all__ = ["ChainDisplay"]


class ChainDisplay(Display):
    """How well a Boltzmann machine's own chains mix, and whether they agree with the data.

    On the left the expectation of every unit under the machine (over its particles) against that
    over the training rows: on the diagonal where learning is done. On the right the autocorrelation
    of the mean activity of each hidden layer along free Gibbs chains that start at the particles.

    Parameters
    ----------
    expectations : dict of str to (ndarray, ndarray)
        By layer, expectation of its statistics over the data and under the machine.
    traces : dict of str to ndarray of shape (n_sweeps, n_chains)
        Mean activity of each hidden layer along the chains.

    Attributes
    ----------
    rhat : dict of str to float
        Split R-hat of each trace.
    effective_sample_size : dict of str to float
        What each trace is worth in independent draws.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (1, 2)
    lines_ : dict of str to Line2D
        The autocorrelations.
    scatters_ : dict of str to PathCollection
        The expectations.
    """

    def __init__(self, expectations, traces):
        self.expectations = expectations
        self.traces = traces
        self.rhat = {name: chains.split_rhat(trace) for name, trace in traces.items()}
        self.effective_sample_size = {
            name: chains.effective_sample_size(trace) for name, trace in traces.items()
        }

    @classmethod
    def from_estimator(
        cls, estimator, *, n_chains=100, n_sweeps=200, random_state=None, ax=None, **kwargs
    ):
        """Run free chains of a fitted Boltzmann machine, and draw how they fare.

        Parameters
        ----------
        estimator : RBM, DBM or MultimodalDBM
        n_chains : int
            Number of chains; each starts at a particle drawn at random.
        n_sweeps : int
            Number of Gibbs sweeps.
        random_state : int, RandomState, Generator or None
            Seed of the chains. None takes the estimator's own.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the points, for ``Axes.scatter``.

        Returns
        -------
        ChainDisplay
        """
        check_is_fitted(estimator)
        if random_state is None:
            random_state = estimator.random_state
        model = estimator.model_
        traces = chains.mean_activity(model, n_chains, n_sweeps, random.key(random_state))
        expectations = {
            name: (to_numpy(data), to_numpy(own))
            for name, data, own in zip(
                model.names, model.means, chains.expectations(model), strict=True
            )
        }
        return cls(expectations, traces).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the points, for ``Axes.scatter``.

        Returns
        -------
        ChainDisplay
        """
        self._begin(ax, 10, 4.5)
        left, right = self._divide(1, 2, gap=0.2)[0]
        self.scatters_, self.lines_ = {}, {}
        colours = dict(zip(self.expectations, itertools.cycle(COLOURS), strict=False))
        for (name, (data, own)), marker in zip(
            self.expectations.items(), itertools.cycle(MARKERS), strict=False
        ):
            style = {"s": 12, "alpha": 0.7, "marker": marker, "color": colours[name], **kwargs}
            label = name.replace("_", " ")
            self.scatters_[name] = left.scatter(data, own, label=label, **style)
        left.axline((0, 0), slope=1, color=INK, linewidth=0.8, zorder=0)
        left.set(xlabel="expectation over the data", ylabel="expectation under the model")
        left.legend(fontsize="small")
        for name, trace in self.traces.items():
            size = self.effective_sample_size[name]
            label = f"{name}: R-hat {self.rhat[name]:.3f}, {size:.0f} of {trace.size} draws"
            style = {"label": label.replace("_", " "), "color": colours.get(name, INK)}
            rho = chains.autocorrelation(trace, len(trace) // 2)
            (self.lines_[name],) = right.plot(rho, **style)
        right.axhline(0, color=INK, linewidth=0.8, zorder=0)
        right.set(xlabel="lag (sweeps)", ylabel="autocorrelation of the mean activity")
        right.legend(fontsize="small")
        for panel in (left, right):
            panel.spines[["top", "right"]].set_visible(False)
        return self
