"""Displays of states, transitions and generated streams."""

import numpy as np
import pytest

import mmgraph as mg
from mmgraph.plotting import GeneratedStreamDisplay, StateTimelineDisplay, TransitionGraphDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RNG = np.random.default_rng(0)
STATE = np.arange(120) // 20 % 2
HAND = STATE[:, None] + 0.2 * RNG.normal(size=(120, 2))
STEPS = RNG.poisson(1 + 4 * STATE)[:, None].astype(float)
STEPS[np.arange(120) % 3 > 0] = np.nan
X, MODALITIES = mg.pack(hand=HAND, steps=STEPS, sequence=np.arange(120) // 60)
COLUMNS = {"sequence": 0, "modalities": MODALITIES, "random_state": 0}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def streams():
    return mg.MultiStreamHMM(2, emissions={"steps": "poisson"}, **COLUMNS).fit(X)


@pytest.fixture(scope="module")
def trajectories():
    return mg.TrajectoryHMM(2, max_iter=5, **COLUMNS).fit(X)


def test_displays_draw_where_they_are_told(streams, trajectories):
    for draw in (
        lambda **at: StateTimelineDisplay.from_estimator(streams, X, **at),
        lambda **at: TransitionGraphDisplay.from_estimator(streams, **at),
        lambda **at: GeneratedStreamDisplay.from_estimator(trajectories, X, "hand", **at),
    ):
        figure, ax = plt.subplots()
        display = draw(ax=ax)
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert draw().figure_ is not figure


def test_states_are_those_of_one_sequence(streams, trajectories):
    display = StateTimelineDisplay.from_estimator(streams, X, which=1)
    np.testing.assert_array_equal(display.path, streams.predict(X)[60:])
    np.testing.assert_allclose(display.posterior, streams.transform(X)[60:])
    np.testing.assert_array_equal(display.streams["hand"], HAND[60:])
    assert [len(lines) for lines in display.lines_.values()] == [2, 1]
    assert display.axes_.shape == (3, 1)
    other = StateTimelineDisplay.from_estimator(trajectories, X)
    np.testing.assert_array_equal(other.path, other.posterior.argmax(axis=1))


def test_a_row_a_chain_where_there_are_several():
    coupled = mg.CoupledHMM(
        {"hand": 2, "steps": 3}, emissions={"steps": "poisson"}, max_iter=5, **COLUMNS
    ).fit(X)
    display = StateTimelineDisplay.from_estimator(coupled, X, which=1)
    np.testing.assert_array_equal(display.path, coupled.tuples_[coupled.predict(X)][60:])
    assert display.axes_.shape == (4, 1)
    labels = [panel.get_ylabel() for panel in display.axes_[:, 0]]
    assert labels == ["hand", "steps", "states\nof hand", "states\nof steps"]
    for panel, own in zip(display.axes_[:2, 0], display.path.T, strict=True):
        assert len(panel.patches) == 1 + np.count_nonzero(np.diff(own))
    for panel, n_states in zip(display.axes_[2:, 0], (2, 3), strict=True):
        # probabilities of one chain fill the panel, and are not those of all chains
        assert len(panel.collections) == n_states
        tops = panel.collections[-1].get_paths()[0].vertices[:, 1]
        assert tops.max() == pytest.approx(1)
    alone = StateTimelineDisplay(display.streams, display.posterior, chains=display.chains)
    assert (alone.path == display.path).mean() > 0.9
    factorial = mg.FactorialHMM((2, 3), emissions={"steps": "poisson"}, max_iter=5, **COLUMNS)
    display = StateTimelineDisplay.from_estimator(factorial.fit(X), X)
    assert [panel.get_ylabel() for panel in display.axes_[2:, 0]] == ["chain 0", "chain 1"]
    assert not display.axes_[0, 0].patches  # no chain is behind one stream


def test_states_of_a_dataframe():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["sequence", "hand__x", "hand__y", "steps__n"])
    model = mg.MultiStreamHMM(2, sequence="sequence", random_state=0).fit(frame)
    display = StateTimelineDisplay.from_estimator(model, frame, which=1)
    assert len(display.path) == 60


def test_transitions_that_are_drawn(streams):
    display = TransitionGraphDisplay.from_estimator(streams, names=["calm", "busy"])
    assert sorted(display.arrows_) == [(0, 1), (1, 0)]
    assert [text.get_text() for text in display.ax_.texts][::2] == ["calm", "busy"]
    p = streams.transition_[0, 0]
    assert display.ax_.texts[1].get_text() == f"{1 / (1 - p):.1f} frames"
    rare = TransitionGraphDisplay([[0.995, 0.005], [0.0, 1.0]]).plot()
    assert not rare.arrows_
    assert rare.ax_.texts[3].get_text() == "for ever"


def test_left_right_models_are_drawn_along_a_line():
    forward = np.eye(4) * 0.8 + np.eye(4, k=1) * 0.2
    display = TransitionGraphDisplay(forward).plot()
    assert np.ptp(display.positions_[:, 1]) == 0
    assert sorted(display.arrows_) == [(0, 1), (1, 2), (2, 3)]
    forward[3, 0] = 0.2
    assert np.ptp(TransitionGraphDisplay(forward).plot().positions_[:, 1]) > 1


def test_generated_stream_and_its_band(streams, trajectories):
    display = GeneratedStreamDisplay.from_estimator(trajectories, X, "hand", which=1, columns=[1])
    np.testing.assert_allclose(display.generated, trajectories.generate(X, "hand")[60:])
    np.testing.assert_allclose(display.interval, trajectories.interval(X, "hand")[:, 60:])
    np.testing.assert_array_equal(display.truth, HAND[60:])
    assert list(display.given) == ["steps"]
    assert len(display.lines_) == len(display.bands_) == 1
    drawn = GeneratedStreamDisplay.from_estimator(streams, X, "hand", random_state=0)
    inside = (drawn.interval[0] <= HAND[:60]) & (HAND[:60] <= drawn.interval[1])
    assert inside.mean() > 0.8
