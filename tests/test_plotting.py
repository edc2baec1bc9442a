import builtins

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import mmgraph as mg
from mmgraph import plotting
from mmgraph.engine import chains
from mmgraph.plotting import (
    ChainDisplay,
    DroppedModalitiesDisplay,
    GenerationDisplay,
    JointSpaceDisplay,
    ReceptiveFieldsDisplay,
    RetrievalDisplay,
    SimilarityMatrixDisplay,
    TrainingDisplay,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

WORDS = ["zero", "one", "two", "thick", "thin"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    """Ten rows of 2 x 3 pictures and captions, interleaved; the last row has no picture."""
    rng = np.random.default_rng(0)
    X = np.empty((10, 11))
    modalities = {"image": [0, 2, 4, 6, 8, 10], "text": [1, 3, 5, 7, 9]}
    X[:, modalities["image"]] = rng.integers(0, 2, (10, 6))
    X[:, modalities["text"]] = rng.integers(0, 3, (10, 5))
    X[-1, modalities["image"]] = np.nan
    return X, modalities


@pytest.fixture(scope="module")
def dbm(data):
    X, modalities = data
    units = {"image": "bernoulli", "text": "replicated_softmax"}
    return mg.MultimodalDBM(
        {"image": (7,), "text": (4,)},
        3,
        units=units,
        modalities=modalities,
        max_iter=3,
        n_particles=50,
        random_state=0,
    ).fit(X)


def texts(panel):
    return [text.get_text() for text in panel.texts]


@pytest.mark.parametrize(
    "draw",
    [
        lambda dbm, X, **at: TrainingDisplay.from_estimator(dbm, **at),
        lambda dbm, X, **at: ReceptiveFieldsDisplay.from_estimator(
            dbm, "image", image_shape=(2, 3), **at
        ),
        lambda dbm, X, **at: GenerationDisplay.from_estimator(dbm, X[:2], "text", **at),
        lambda dbm, X, **at: JointSpaceDisplay.from_estimator(dbm, X, **at),
        lambda dbm, X, **at: ChainDisplay.from_estimator(dbm, n_chains=5, n_sweeps=8, **at),
    ],
)
def test_displays_draw_where_they_are_told(dbm, data, draw):
    display = draw(dbm, data[0])
    assert display.ax_.figure is display.figure_
    figure, (_, ax) = plt.subplots(1, 2)
    assert display.plot(ax) is display
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert draw(dbm, data[0], ax=ax).ax_ is ax
    figure.canvas.draw()
    with pytest.raises(NotFittedError):
        draw(mg.MultimodalDBM(), data[0])


def test_plot_names_the_extra(monkeypatch):
    def refuse(name, *args, real=builtins.__import__, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"TrainingDisplay.*pip install mmgraph\[plot\]"):
        TrainingDisplay({"weight_norm": [1.0]}).plot()


# Training


def test_training_draws_every_quantity(dbm):
    display = TrainingDisplay.from_estimator(dbm, linestyle=":")
    health = ["rhat", "effective_sample_size"]
    assert list(display.lines_) == ["reconstruction", *health, "weight_norm", "learning_rate"]
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), dbm.history_[name])
        assert line.get_linestyle() == ":"


def test_training_without_epochs():
    display = TrainingDisplay.from_history({"loss": [3.0, 2.0]})
    np.testing.assert_array_equal(display.lines_["loss"].get_xdata(), [1, 2])
    with pytest.raises(ValueError, match="history is empty"):
        TrainingDisplay.from_history({"epoch": []})


# Receptive fields


def test_fields_are_the_largest_weights(dbm):
    display = ReceptiveFieldsDisplay.from_estimator(dbm, "image", image_shape=(2, 3), n=5)
    weights = dbm.model_.weights[0]
    assert weights.shape == (6, 7)
    norms = np.linalg.norm(display.fields, axis=(1, 2))
    np.testing.assert_allclose(norms, -np.sort(-np.linalg.norm(weights, axis=0))[:5], rtol=1e-5)
    canvas = display.image_.get_array()
    assert canvas.shape == (2 * 3 - 1, 3 * 4 - 1)
    np.testing.assert_array_equal(canvas[:2, 4:7], display.fields[1])
    np.testing.assert_array_equal(canvas[3:, :3], display.fields[3])
    assert canvas.mask[2].all()
    assert canvas.mask[3:, 8:].all()
    low, high = display.image_.get_clim()
    assert low == -high
    assert high == abs(display.fields).max()


def test_fields_of_an_rbm_and_of_words(dbm):
    fields = ReceptiveFieldsDisplay.from_estimator(dbm, "text", image_shape=(1, 5)).fields
    assert fields.shape == (4, 1, 5)
    with pytest.raises(ValueError, match=r"'image' has 6 columns, which image_shape=\(8, 8\)"):
        ReceptiveFieldsDisplay.from_estimator(dbm, "image")
    with pytest.raises(ValueError, match="unknown modality 'sound'"):
        ReceptiveFieldsDisplay.from_estimator(dbm, "sound")


# Generation


def test_words_for_pictures(dbm, data):
    X, modalities = data
    X = X[:3].copy()
    X[2, modalities["text"]] = np.nan
    display = GenerationDisplay.from_estimator(
        dbm, X, "text", n_draws=2, image_shape=(2, 3), vocabulary=WORDS, random_state=1
    )
    assert display.axes_.shape == (3, 1 + 1 + 2 + 1)
    titles = [panel.get_title() for panel in display.axes_[0]]
    assert titles == ["given", "expected", "draw", "draw", "true"]
    picture = display.axes_[1, 0].images[0].get_array()
    np.testing.assert_array_equal(picture, X[1, modalities["image"]].reshape(2, 3))
    draws = dbm.generate(X, "text", n_samples=2, random_state=1)
    np.testing.assert_array_equal(display.draws, draws)
    expected = dbm.generate(X, "text")[0]
    bars = [bar.get_width() for bar in display.axes_[0, 1].patches]
    np.testing.assert_allclose(bars, -np.sort(-expected)[:4])
    assert texts(display.axes_[0, 1])[0] == WORDS[expected.argmax()]
    for column, counts in ((2, draws[0, 0]), (4, X[0, modalities["text"]])):
        (text,) = texts(display.axes_[0, column])
        assert text.split("\n") == plotting.words_of(counts, WORDS)
    assert texts(display.axes_[2, 4]) == ["?"]


def test_pictures_for_words(dbm, data):
    X, modalities = data
    labels = ["the digit zero, written in a thick hand", "one"]
    display = GenerationDisplay.from_estimator(
        dbm,
        X[-2:],
        "image",
        n_draws=3,
        given_labels=labels,
        image_shape={"image": (2, 3)},
        vocabulary={"text": WORDS},
        cmap="viridis",
    )
    assert texts(display.axes_[0, 0]) == ["the digit zero,\nwritten in a\nthick hand"]
    panel = display.axes_[1, 1].images[0]
    np.testing.assert_array_equal(panel.get_array(), display.mean[1].reshape(2, 3))
    assert panel.get_cmap().name == "viridis"
    assert texts(display.axes_[1, 5]) == ["?"]
    words = GenerationDisplay.from_estimator(dbm, X[:1], "image", n_draws=1, vocabulary=WORDS)
    assert texts(words.axes_[0, 0])[0].split("\n") == plotting.words_of(
        X[0, modalities["text"]], WORDS
    )
    np.testing.assert_array_equal(words.axes_[0, 1].lines[0].get_ydata(), words.mean[0])


def test_truth_may_be_given_or_unknown(dbm, data):
    X, modalities = data
    hidden = X[:2].copy()
    hidden[:, modalities["text"]] = np.nan
    display = GenerationDisplay.from_estimator(dbm, hidden, "text", n_draws=1)
    assert display.truth is None
    assert display.axes_.shape == (2, 3)
    truth = X[:2, modalities["text"]]
    display = GenerationDisplay.from_estimator(dbm, hidden, "text", n_draws=1, truth=truth)
    np.testing.assert_array_equal(display.truth, truth)
    assert display.axes_.shape == (2, 4)


def test_words_of():
    assert plotting.words_of([0, 1, 0, 2, 0.4], WORDS) == ["thick ×2", "one"]
    assert plotting.words_of(np.zeros(5), WORDS) == []


# The joint space


def test_space_of_all_and_of_each(dbm, data):
    X, _ = data
    y = np.repeat([4, 7], 5)
    display = JointSpaceDisplay.from_estimator(dbm, X, y, target_names=["four", "seven"])
    assert list(display.points) == ["all", "image", "text"]
    assert np.isnan(display.points["image"][-1]).all()
    assert np.isfinite(display.points["image"][:-1]).all()
    for name in ("all", "text"):
        np.testing.assert_allclose(display.scatters_[name].get_offsets(), display.points[name])
    np.testing.assert_allclose(display.points["all"][-1], display.points["text"][-1], atol=1e-5)
    colours = display.scatters_["all"].get_facecolor()
    assert len(np.unique(colours, axis=0)) == 2
    assert texts(display.ax_) == ["four", "seven"]
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["all modalities", "image alone", "text alone"]


def test_space_by_another_projection(dbm, data):
    class First:
        def fit_transform(self, Z):
            return Z[:, :2]

    X, _ = data
    display = JointSpaceDisplay.from_estimator(dbm, X, projection=First())
    np.testing.assert_allclose(display.points["all"], dbm.transform(X)[:, :2])
    assert not display.ax_.texts


def test_space_of_one_modality():
    X = np.random.default_rng(0).integers(0, 2, (12, 4)).astype(float)
    rbm = mg.RBM(3, max_iter=1, random_state=0).fit(X)
    display = JointSpaceDisplay.from_estimator(rbm, X)
    assert list(display.points) == ["all"]
    assert display.ax_.get_legend() is None


# Chains


def test_chains_agree_with_the_statistics(dbm):
    display = ChainDisplay.from_estimator(dbm, n_chains=6, n_sweeps=20, random_state=3)
    assert list(display.traces) == ["image_hidden1", "text_hidden1", "joint"]
    trace = display.traces["joint"]
    assert trace.shape == (20, 6)
    assert display.rhat["joint"] == chains.split_rhat(trace)
    assert display.effective_sample_size["joint"] == chains.effective_sample_size(trace)
    np.testing.assert_array_equal(
        display.lines_["joint"].get_ydata(), chains.autocorrelation(trace, 10)
    )
    own = chains.expectations(dbm.model_)
    points = display.scatters_["text"].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([dbm.model_.means[1], own[1]]))
    np.testing.assert_allclose(own[4], dbm.model_.particles[2].mean(axis=0), rtol=1e-6)
    again = ChainDisplay.from_estimator(dbm, n_chains=6, n_sweeps=20, random_state=3)
    np.testing.assert_array_equal(again.traces["joint"], trace)


# What is retrieved -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def retriever():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 2))
    X, modalities = mg.pack(image=z @ rng.normal(size=(2, 6)), text=z @ rng.normal(size=(2, 4)))
    return mg.Retriever(mg.CCA(2, modalities=modalities)).fit(X), X


def test_hits_are_what_is_retrieved(retriever):
    model, X = retriever
    labels = np.arange(40) % 2
    display = RetrievalDisplay.from_estimator(
        model,
        X[:3],
        "image",
        "text",
        k=4,
        labels=labels[:3],
        gallery_labels=labels,
        image_shape=(2, 3),
        vocabulary=list("wxyz"),
    )
    found = model.retrieve(X[:3], "image", "text", 4)
    np.testing.assert_array_equal(display.hits, X[:, 6:][found.indices])
    np.testing.assert_array_equal(display.right, found.indices % 2 == labels[:3, None])
    assert display.axes_.shape == (3, 5)
    assert display.axes_[1, 2].get_xlabel() == f"{found.similarities[1, 1]:.2f}"
    np.testing.assert_array_equal(display.axes_[0, 0].images[0].get_array(), X[0, :6].reshape(2, 3))


def test_a_query_may_be_words_of_the_users_own(retriever):
    model, X = retriever
    query = model.combine([("image", X[:2, :6])], [("text", X[0, 6:])])
    found = model.nearest(query, "image", 2)
    display = RetrievalDisplay.from_neighbours(model, found, ["a - b", "c"], "image").plot()
    assert display.axes_[0, 0].texts[0].get_text() == "a - b"
    assert display.right is None


def test_similarities_are_sorted_by_class(retriever):
    model, X = retriever
    labels = np.array(list("ba") * 5)
    display = SimilarityMatrixDisplay.from_estimator(model, X[:10], "image", "text", labels=labels)
    order = np.argsort(labels, kind="stable")
    expected = (model.embed(X[:10], "image") @ model.embed(X[:10], "text").T)[order][:, order]
    np.testing.assert_allclose(display.image_.get_array(), expected)
    assert [tick.get_text() for tick in display.ax_.get_yticklabels()] == ["a", "b"]
    assert display.ax_.get_xlabel() == "text"
    plain = SimilarityMatrixDisplay(np.eye(3)[:2]).plot()
    assert not list(plain.ax_.get_xticks())


def test_scores_as_modalities_are_dropped(data):
    X, modalities = data
    X, y = np.nan_to_num(np.tile(X, (6, 1))), np.tile(np.arange(10) % 2, 6)
    X[:, modalities["text"]] = y[:, None] + 0.1 * X[:, modalities["text"]]
    fusions = {
        rule: mg.LateFusionClassifier(combine=rule, modalities=modalities).fit(X, y)
        for rule in ("sum", "max")
    }
    display = DroppedModalitiesDisplay.from_estimator(
        fusions, X, y, rates=(0.0, 0.5, 1.0), n_repeats=2, random_state=0
    )
    assert list(display.lines_) == ["sum", "max"]
    for scores in display.scores.values():
        assert scores.shape == (3, 2)
        np.testing.assert_array_equal(scores[0], 1)  # nothing is dropped
        np.testing.assert_allclose(scores[2], 0.5)  # everything is
    again = DroppedModalitiesDisplay.from_estimator(
        fusions["sum"], X, y, rates=(0.0,), n_repeats=1, random_state=0
    )
    assert list(again.scores) == ["LateFusionClassifier"]
