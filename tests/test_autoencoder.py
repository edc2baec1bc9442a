"""The autoencoder of several modalities: what it is trained on, answers and draws."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

import mmgraph as mg
from mmgraph.engine import autoencoder as engine
from mmgraph.engine import network
from mmgraph.engine.learning import Data
from mmgraph.engine.network import forward, gradient


def linked(n=300, seed=0):
    """Reals and word counts that say which of three kinds a row is of, with gaps."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    real = 10 * np.eye(3)[kind] + rng.normal(size=(n, 3))
    words = rng.poisson(0.2 + 4 * np.eye(3)[kind])
    words[words.sum(axis=1) == 0, 0] = 1
    X, modalities = mg.pack(real=real, words=words)
    return X, modalities, kind


X, LAYOUT, KIND = linked()
GAPS = X.copy()
GAPS[::4, LAYOUT["real"]] = np.nan
GAPS[1::4, LAYOUT["words"]] = np.nan


def small(**changes):
    settings = {
        "hidden": (16,),
        "joint": 8,
        "units": {"words": "replicated_softmax"},
        "modalities": LAYOUT,
        "learning_rate": 0.02,
        "max_iter": 15,
        "random_state": 0,
    }
    return mg.BimodalDeepAutoencoder(**{**settings, **changes})


@pytest.fixture(scope="module")
def model():
    return small().fit(GAPS)


# Learning ----------------------------------------------------------------------------------------


def test_each_modality_is_told_from_the_other(model):
    new, _, kind = linked(200, seed=1)
    assert (model.generate(new, "words").argmax(axis=1) == kind).mean() > 0.97
    real = model.generate(new, "real")
    assert (real.argmax(axis=1) == kind).mean() > 0.9
    error = np.mean((real - new[:, LAYOUT["real"]]) ** 2)
    assert error < 0.3 * np.var(new[:, LAYOUT["real"]])


def test_every_choice_of_what_is_shown_is_equally_likely():
    """A third both, a third each alone; of what a row lacks nothing is chosen."""
    rng = np.random.default_rng(0)
    masks = [np.ones(6000, bool), np.ones(6000, bool)]
    masks[1][:1000] = False
    masks[0][:500] = False
    one, two = engine._some_of(masks, rng)
    assert not (one | two)[:500].any()
    assert one[500:1000].all()
    assert not two[:1000].any()
    counts = [(one & two)[1000:].sum(), (one & ~two)[1000:].sum(), (two & ~one)[1000:].sum()]
    np.testing.assert_allclose(counts, 5000 / 3, rtol=0.06)
    three = np.column_stack(engine._some_of([np.ones(7000, bool)] * 3, rng))
    np.testing.assert_allclose(np.bincount(three @ [1, 2, 4])[1:], 1000, rtol=0.12)


def test_patterns():
    first, second = np.array([1, 1, 0], bool), np.array([1, 0, 1], bool)
    found = [[m.tolist() for m in pattern] for pattern in engine.patterns([first, second])]
    assert found == [
        [[True, True, False], [True, False, True]],
        [[False, True, False], [True, False, True]],
        [[True, True, False], [False, False, True]],
    ]
    assert len(list(engine.patterns([first]))) == 1


def test_what_is_missing_has_no_part_in_the_gradient(model):
    """Whatever stands in its place, and for whichever modalities a row shows."""
    rows = np.arange(40)
    found = []
    for value in (np.nan, 7.0):
        blocks = [GAPS[:, LAYOUT[name]].copy() for name in LAYOUT]
        present = [~np.isnan(block).any(axis=1) for block in blocks]
        for block, mask in zip(blocks, present, strict=True):
            block[~mask] = value
        batch = engine.source(model.model_, Data(blocks, present))(rows, np.random.default_rng(0))
        assert all(np.isfinite(x).all() for x in (*batch.inputs, *batch.targets))
        found.append(gradient(model.model_.network, batch))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_rows_with_gaps_teach():
    """No training row shows both modalities but a few, and still the link is learnt."""
    gaps = X.copy()
    gaps[40::2, LAYOUT["real"]] = np.nan
    gaps[41::2, LAYOUT["words"]] = np.nan
    new, _, kind = linked(200, seed=1)
    one = small(max_iter=40).fit(gaps)
    assert (one.generate(new, "words").argmax(axis=1) == kind).mean() > 0.9


def test_a_start_from_machines_is_ahead():
    settings = {"activation": "sigmoid", "max_iter": 1, "learning_rate": 1e-9}
    random = small(**settings).fit(GAPS).history_["loss"]
    assert small(init="rbm", **settings).fit(GAPS).history_["loss"][0] < random[0] - 0.5


def test_a_start_from_machines_keeps_what_they_compute():
    """The encoder's first layer is the machine's hidden layer, and the decoder's last its mean."""
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (200, 2)), 3, axis=1).astype(float)
    one = small(
        hidden=(4,), init="rbm", modalities=None, units="auto", max_iter=1, learning_rate=1e-30,
        dtype="float64",
    ).fit(bits)  # fmt: skip
    parts = one.model_
    stack_up = parts.network.weights[0] * parts.gains[0]
    bias = parts.network.biases[1] - parts.marginals.means[0] @ stack_up
    values = forward(parts.network, engine._inputs(parts, {0: bits}, {0: np.ones(200, bool)}, 200))
    np.testing.assert_allclose(values[1], expit(bits @ stack_up + bias))
    np.testing.assert_allclose(parts.network.weights[2], stack_up.T)


def test_machines_want_sigmoids():
    with pytest.raises(ValueError, match=r"activation='relu' with init='rbm'.*Set activation='sig"):
        small(init="rbm", activation="relu").fit(X)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_activations(activation):
    history = small(activation=activation, max_iter=5).fit(GAPS).history_
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) == {"epoch", "learning_rate", "weight_norm", "loss"}


def test_early_stopping_keeps_the_best_epoch():
    one = small(early_stopping=True, max_iter=60, n_iter_no_change=2, learning_rate=0.05,
                validation_fraction=0.3, learning_rate_schedule="constant").fit(GAPS)  # fmt: skip
    scores = one.history_["validation_score"]
    assert len(scores) < 60
    assert one.n_iter_ == 1 + int(np.argmax(scores))


def test_dropout_and_max_norm_are_used():
    plain = small(max_iter=3).fit(GAPS).history_["loss"]
    for changes in ({"dropout": 0.5}, {"input_dropout": 0.5}, {"max_norm": 0.5}, {"l2": 0.1}):
        assert small(max_iter=3, **changes).fit(GAPS).history_["loss"] != plain


# Answers -----------------------------------------------------------------------------------------


def test_an_imputed_modality_is_the_mean_of_its_units(model):
    hidden = X.copy()
    hidden[:, LAYOUT["words"]] = np.nan
    filled = model.impute(hidden)
    np.testing.assert_allclose(filled[:, LAYOUT["words"]], model.generate(X, "words"))
    lengths = filled[:, LAYOUT["words"]].sum(axis=1)
    median = float(model.model_.marginals.length(1))
    np.testing.assert_allclose(lengths, median)


def test_representations_lead_back(model):
    """inverse_transform(transform(X)) is what the network reconstructs."""
    parts = model.model_.astype(np.float64)
    shown, present = Data(
        [X[:, LAYOUT["real"]], X[:, LAYOUT["words"]]], [np.ones(300, bool)] * 2
    ).batch(parts.marginals, slice(None))
    joint, etas = engine.encode(parts, shown, present, 300)
    np.testing.assert_allclose(model.transform(X), joint)
    back = model.inverse_transform(joint)
    np.testing.assert_allclose(
        back[:, LAYOUT["real"]], parts.marginals.decode(0, etas[0]), rtol=1e-10
    )


def test_draws_are_the_units_noise_around_the_mean(model):
    row = GAPS[1:2]  # shows the reals only
    mean = model.generate(row, "words")[0]
    draws = model.generate(row, "words", n_samples=2000)[:, 0]
    assert (draws == draws.round()).all()
    share = draws.sum(axis=0) / draws.sum()
    np.testing.assert_allclose(share, mean / mean.sum(), atol=0.02)
    row = GAPS[0:1]
    draws = model.generate(row, "real", n_samples=4000)[:, 0]
    spread = model.model_.noises[0] * model.model_.marginals.scales[0]
    np.testing.assert_allclose(draws.mean(axis=0), model.generate(row, "real")[0], atol=0.3)
    np.testing.assert_allclose(draws.std(axis=0), spread, rtol=0.05)
    other = model.generate(row, "real", n_samples=2, random_state=1)
    assert not np.array_equal(other, draws[:2, None])


def test_noise_is_the_residual_given_the_other_modality():
    one = small().fit(X)
    residual = X[:, LAYOUT["real"]] - one.generate(X, "real")
    spread = one.model_.noises[0] * one.model_.marginals.scales[0]
    np.testing.assert_allclose(spread, np.sqrt((residual**2).mean(axis=0)), rtol=1e-4)
    assert one.model_.noises[1] is None


def test_log_conditional_is_the_density_of_the_draws(model):
    mean = model.generate(X, "real")
    spread = model.model_.noises[0] * model.model_.marginals.scales[0]
    expected = norm.logpdf(X[:, LAYOUT["real"]], mean, spread).sum(axis=1)
    np.testing.assert_allclose(model.log_conditional(X, "real"), expected, rtol=1e-6)
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (100, 2)), 2, axis=1).astype(float)
    one = small(modalities={"a": [0, 2], "b": [1, 3]}, units="bernoulli").fit(bits)
    p, b = one.generate(bits, "b"), bits[:, [1, 3]]
    expected = (b * np.log(p) + (1 - b) * np.log1p(-p)).sum(axis=1)
    np.testing.assert_allclose(one.log_conditional(bits, "b"), expected, rtol=1e-6)
    assert one.log_conditional(np.c_[bits[:, :1], np.nan * bits[:, :1], bits[:, 2:3],
                                     np.nan * bits[:, :1]], "b")[0] == 0  # fmt: skip


def test_rectified_draws_and_densities():
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2, (200, 1))
    rates = np.abs(5 * h + rng.normal(size=(200, 3)))
    rows, modalities = mg.pack(rates=rates, bits=np.repeat(h, 2, axis=1))
    one = small(modalities=modalities, units={"rates": "rectified"}).fit(rows)
    draws = one.generate(rows, "rates", n_samples=50)
    assert draws.min() >= 0
    assert np.isfinite(one.log_conditional(rows, "rates")).all()
    assert draws[:, h[:, 0] == 1].mean() > 2 * draws[:, h[:, 0] == 0].mean()


def test_score_averages_what_is_shown_and_each_hidden_in_turn(model):
    blind = model.log_conditional(X, "real") + model.log_conditional(X, "words")
    better = small(max_iter=40).fit(GAPS).score(X)
    assert better > small(max_iter=1).fit(GAPS).score(X)
    assert model.score(X) > blind.mean()  # a modality that is shown is easy
    assert model.score(X[:, :] * np.nan) == 0


@pytest.mark.parametrize("n_modalities", [1, 3])
def test_other_numbers_of_modalities(n_modalities):
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (200, 2)), 3, axis=1).astype(float)
    layout = {f"m{k}": slice(k, None, n_modalities) for k in range(n_modalities)}
    one = small(modalities=layout, units="auto").fit(bits)
    if n_modalities > 1:
        for name in layout:
            np.testing.assert_array_equal(one.generate(bits, name).round(), bits[:, layout[name]])
    np.testing.assert_array_equal(one.inverse_transform(one.transform(bits)).round(), bits)
    assert one.sample(4).shape == (4, 6)


# Stopping ----------------------------------------------------------------------------------------


def interrupt_at_step(monkeypatch, number, error):
    step, calls = network._step, []

    def patched(*args):
        calls.append(1)
        if len(calls) == number:
            raise error
        return step(*args)

    monkeypatch.setattr(network, "_step", patched)


def test_ctrl_c_keeps_the_model_so_far(monkeypatch):
    settings = {"batch_size": 100, "learning_rate_schedule": "constant"}
    whole = small(max_iter=2, **settings).fit(X)
    interrupt_at_step(monkeypatch, 8, KeyboardInterrupt())
    with pytest.warns(ConvergenceWarning, match=r"interrupted after 2 epoch\(s\)"):
        stopped = small(max_iter=9, **settings).fit(X)
    np.testing.assert_array_equal(stopped.transform(X), whole.transform(X))
    interrupt_at_step(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        small(max_iter=9, **settings).fit(X)


def test_divergence_is_said():
    diverging = small(optimizer="nesterov", learning_rate=1e30)
    with pytest.raises(ValueError, match=r"diverged in its first epoch .* lower learning_rate"):
        diverging.fit(X)
