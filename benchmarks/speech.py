"""Spoken digits to written ones and back, by a speaker who was never heard.

    python -m benchmarks.speech [--speakers ...] [--missing 0 .2 .5] [--methods ...] [--validation]
                                [--cache FOLDER] [--out docs/results]

Sounds are the 104 mel-cepstral numbers of a recording, pictures have 8 x 8 pixels, and the two have
nothing in common but the digit. Each of the six speakers is the test speaker once; the one before
is for validation, and four are left to learn from. Pictures are split the same way, stratified. A
training row joins a random recording with a random picture of its digit, 500 a digit; then
modalities are taken away at random. ``--validation`` scores the validation speaker instead, which
is where the settings were chosen. ``--cache`` keeps what each method did, so that a run can go on.

MultiVae's models take part where it is installed (``pip install mmgraph[bench]``).
"""

import argparse
import json
import time
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.linear_model import RidgeCV
from sklearn.metrics import average_precision_score, pairwise_distances
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import mmgraph as mg
from mmgraph.backend.random import key
from mmgraph.engine.boltzmann import begin, gibbs
from mmgraph.engine.units import Binomial, Noise

from ._report import list_table, save, spread

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
MODALITIES = "audio", "image"
K, JUDGED = 100, 10  # draws a condition; those of them that are judged one by one
PAIRS = 500  # a digit
HEARD = 30  # recordings a digit of a held-out speaker
NOISES = np.geomspace(0.2, 1.5, 16)  # standard deviations, of which validation chooses
JOINT = 1000  # draws of both modalities together
MEASURES = ("of mean", "of draw", "log-score", "spread", "MAP", "R@1", "R@10")
DIRECTIONS = {"audio to image": ("audio", "image"), "image to audio": ("image", "audio")}


class Fitted(NamedTuple):
    """What a method gives.

    Attributes
    ----------
    draw : callable (x, source, target) -> ndarray of shape (k, n, d)
        Conditional means of the target, each given one draw of what is latent.
    seconds : float
        CPU-seconds to fit.
    converged : str
        Whether validation stopped it: "yes", "no" or, where nothing is stopped, "".
    both : callable (n) -> dict of str to ndarray of shape (n, d), optional
        The same of both modalities, together.
    """

    draw: object
    seconds: float = 0.0
    converged: str = ""
    both: object = None


class Task:
    """One split: standardised blocks, their rows by role, training pairs and judges.

    Parameters
    ----------
    speaker : str
        The test speaker.
    missing : float
        Probability with which a modality is absent from a training row.
    """

    def __init__(self, speaker, missing=0.0):
        seed = SPEAKERS.index(speaker)
        self.seed, self.rng = seed, np.random.default_rng([seed, int(100 * missing)])
        speech = _speech()
        digits = mg.datasets.load_digit_captions()
        self.pixels = np.rint(16 * digits.image)
        self.y = {"audio": speech.target, "image": digits.target}
        few = speech.index < HEARD
        other = SPEAKERS[seed - 1]
        learn, test = train_test_split(
            np.arange(len(digits.target)), test_size=0.2, stratify=digits.target, random_state=seed
        )
        learn, validation = train_test_split(
            learn, test_size=0.2, stratify=digits.target[learn], random_state=seed
        )
        self.rows = {
            "train": {
                "audio": np.flatnonzero((speech.speaker != speaker) & (speech.speaker != other)),
                "image": np.sort(learn),
            },
            "validation": {
                "audio": np.flatnonzero((speech.speaker == other) & few),
                "image": np.sort(validation),
            },
            "test": {
                "audio": np.flatnonzero((speech.speaker == speaker) & few),
                "image": np.sort(test),
            },
        }
        heard, seen = speech.audio[self.rows["train"]["audio"]], self.pixels[learn]
        self.pixel_mean, self.pixel_sd = seen.mean(axis=0), (seen - seen.mean(axis=0)).std()
        self.blocks = {
            "audio": (speech.audio - heard.mean(axis=0)) / heard.std(axis=0),
            "image": (self.pixels - self.pixel_mean) / self.pixel_sd,
        }
        rows = self.rows["train"]
        self.pairs = {
            m: np.concatenate(
                [self.rng.choice(rows[m][self.y[m][rows[m]] == k], PAIRS) for k in range(10)]
            )
            for m in MODALITIES
        }
        self.present = {m: self.rng.random(10 * PAIRS) >= missing for m in MODALITIES}
        self.complete = self.present["audio"] & self.present["image"]

    def paired(self, modality):
        """The modality's values in the complete training rows."""
        return self.blocks[modality][self.pairs[modality][self.complete]]

    def known(self, role, modality):
        """Values and digits of the rows of a role."""
        rows = self.rows[role][modality]
        return self.blocks[modality][rows], self.y[modality][rows]

    @cached_property
    def judges(self):
        """A classifier of each modality, fitted to the training rows."""
        return {m: SVC(C=10).fit(*self.known("train", m)) for m in MODALITIES}

    def standard(self, pixels):
        """Pixels as the measures see them."""
        return (pixels - self.pixel_mean) / self.pixel_sd

    def measure(self, draw, role):
        """Scores in both directions of ``draw(x, source, target)``, of shape (k, n, d)."""
        out = {}
        for direction, (source, target) in DIRECTIONS.items():
            x, y = (a[::3] for a in self.known("validation", source))
            noise = _choose_noise(draw(x, source, target), y, *self.known("validation", target))
            x, y = self.known(role, source)
            truth, classes = self.known(role, target)
            made = draw(x, source, target)
            log_p = _log_density(made, truth, noise)
            same = y[:, None] == classes
            judge = self.judges[target]
            found = np.take_along_axis(same, np.argsort(-log_p, axis=1)[:, :10], axis=1)
            within = np.mean([truth[classes == k].var(axis=0).mean() for k in range(10)])
            some = made[:: max(1, len(made) // JUDGED)]
            single = judge.predict(some.reshape(-1, some.shape[2])).reshape(some.shape[:2])
            out[direction] = {
                "of mean": np.mean(judge.predict(made.mean(axis=0)) == y),
                "of draw": np.mean(single == y),
                "log-score": log_p[same].mean() / truth.shape[1],
                "spread": made.var(axis=0).mean() / within,
                "MAP": np.mean(
                    [average_precision_score(s, p) for s, p in zip(same, log_p, strict=True)]
                ),
                "R@1": found[:, 0].mean(),
                "R@10": found.any(axis=1).mean(),
                "noise": noise,
                "judge": np.mean(judge.predict(truth) == classes),
            }
        return out

    def agreement(self, both):
        """Share of the rows of which both judges say the same digit."""
        said = [self.judges[m].predict(both[m]) for m in MODALITIES]
        return np.mean(said[0] == said[1])


@cache
def _speech():
    return mg.datasets.fetch_spoken_digits(verbose=False)


def _log_density(made, truth, noise):
    """Log mean_k N(truth | made_k, noise^2) of each condition and each true row."""
    d = truth.shape[1]
    made = made.astype(np.float32)
    squares = (made**2).sum(axis=2)[:, :, None] + (truth**2).sum(axis=1).astype(np.float32)
    squares -= 2 * made @ truth.T.astype(np.float32)
    log_p = logsumexp(squares / np.float32(-2 * noise**2), axis=0) - np.log(len(made))
    return log_p - 0.5 * d * np.log(2 * np.pi * noise**2)


def _choose_noise(made, y, truth, classes):
    """The standard deviation at which true rows of the same digit are likeliest."""
    scores = np.zeros(len(NOISES))
    for k in range(10):
        for i, noise in enumerate(NOISES):
            log_p = _log_density(made[:, y == k], truth[classes == k], noise)
            scores[i] += log_p.mean()
    return float(NOISES[np.argmax(scores)])


# The model


SETTINGS = {
    "objective": "multi_prediction",
    "hidden": (),
    "joint": 256,
    "learning_rate": 0.02,
    "batch_size": 50,
    "max_iter": 6,
}


MACHINES = 4  # whose draws are pooled
EFFECTIVE = 3  # particles at which a condition starts, at least


def latent_means(dbm, shown, n, seed, floor, sweeps=20):
    """Expectation of the absent modalities given the hidden layers, at `n` draws of these."""
    model = dbm.model_
    noise = Noise(key(seed), np.arange(n, dtype=np.uint32), 0, 0)
    state = begin(model, shown, n, noise=noise, min_effective=floor)
    _, means = gibbs(model, state, sweeps, noise._replace(step=1))
    return {model.names[k]: model.decode(k, means[k]) for k in model.visible if k not in shown}


def conditional_means(dbm, t, source, target, n_draws, seed, floor):
    """E[target | hidden layers] at `n_draws` draws of these given the source, (n_draws, n, d)."""
    here = dbm.model_.names.index(source)
    shown = {here: dbm.model_.encode(here, np.concatenate([t] * n_draws))}
    made = latent_means(dbm, shown, n_draws * len(t), seed, floor)[target]
    return made.reshape(n_draws, len(t), -1)


def boltzmann(task, **changes):
    """MultimodalDBM: pixels are counts of 16, sounds are real. One machine, and a few."""
    blocks = {"audio": task.blocks["audio"].astype(float), "image": task.pixels.astype(float)}
    rows = {m: blocks[m][task.pairs[m]] for m in MODALITIES}
    for m in MODALITIES:
        rows[m][~task.present[m]] = np.nan
    X, modalities = mg.pack(**rows)
    machines, seconds = [], []
    for i in range(MACHINES):
        dbm = mg.MultimodalDBM(
            modalities=modalities,
            units={"audio": "gaussian", "image": Binomial(16)},
            random_state=MACHINES * task.seed + i,
            **{**SETTINGS, **changes},
        )
        start = time.process_time()
        machines.append(dbm.fit(X))
        seconds.append(time.process_time() - start)

    def pooled(n_machines, floor):
        def draw(x, source, target):
            x = task.pixel_mean + task.pixel_sd * x if source == "image" else x
            made = [
                conditional_means(dbm, x, source, target, K // n_machines, i, floor)
                for i, dbm in enumerate(machines[:n_machines])
            ]
            made = np.concatenate(made)
            return task.standard(made) if target == "image" else made

        def both(n):
            made = [
                latent_means(dbm, {}, n // n_machines, i, floor)
                for i, dbm in enumerate(machines[:n_machines])
            ]
            made = {m: np.concatenate([part[m] for part in made]) for m in MODALITIES}
            return {**made, "image": task.standard(made["image"])}

        return Fitted(draw, sum(seconds[:n_machines]), both=both)

    return {
        "MultimodalDBM": pooled(1, 1),
        f"MultimodalDBM, {EFFECTIVE} particles": pooled(1, EFFECTIVE),
        f"{MACHINES} MultimodalDBMs, {EFFECTIVE} particles": pooled(MACHINES, EFFECTIVE),
    }


# The bars


def class_mean(task):
    """The mean of the digit that a classifier hears (or sees); it alone is told digits."""
    start = time.process_time()
    means = {
        m: np.array([x[y == k].mean(axis=0) for k in range(10)])
        for m, (x, y) in ((m, task.known("train", m)) for m in MODALITIES)
    }
    judges = task.judges
    return {
        "class mean of the judge's digit": Fitted(
            lambda x, source, target: means[target][judges[source].predict(x)][None],
            time.process_time() - start,
        )
    }


def neighbour(task):
    """The partners of the nearest training row, and of the hundred nearest."""

    def nearest(n):
        def draw(x, source, target):
            order = np.argsort(pairwise_distances(x, task.paired(source)), axis=1)[:, :n]
            return task.paired(target)[order.T]

        return draw

    return {
        "nearest neighbour's partner": Fitted(nearest(1)),
        f"{K} nearest neighbours' partners": Fitted(nearest(K)),
    }


def cca_ridge(task):
    """Ridge regression on the canonical scores of the other modality, the penalties by CV."""
    start = time.process_time()
    fits = {}
    scores = _canonical(task)
    for source, target in DIRECTIONS.values():
        z = scores(task.paired(source), source)
        fits[source] = RidgeCV(np.logspace(-4, 4, 17)).fit(z, task.paired(target))
    seconds = time.process_time() - start
    return {
        "CCA + ridge": Fitted(
            lambda x, source, target: fits[source].predict(scores(x, source))[None], seconds
        )
    }


def _canonical(task, n_components=9, shrinkage=0.1):
    """A function that gives canonical scores, from whitened cross-covariance."""
    roots, means, centred = {}, {}, {}
    for m in MODALITIES:
        means[m] = task.paired(m).mean(axis=0)
        centred[m] = task.paired(m) - means[m]
        covariance = centred[m].T @ centred[m] / len(centred[m])
        target = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * target)
        roots[m] = vectors / np.sqrt(values) @ vectors.T
    cross = roots["audio"] @ centred["audio"].T @ centred["image"] @ roots["image"]
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    turns = {"audio": left[:, :n_components], "image": right[:n_components].T}
    return lambda x, m: (x - means[m]) @ roots[m] @ turns[m]


def gaussian(task):
    """Draws of one joint normal distribution, conditioned."""
    start = time.process_time()
    both = np.hstack([task.paired(m) for m in MODALITIES])
    n_audio = task.paired("audio").shape[1]
    parts = {"audio": slice(0, n_audio), "image": slice(n_audio, None)}
    mean, covariance = both.mean(axis=0), np.cov(both.T) + 1e-3 * np.eye(both.shape[1])
    seconds = time.process_time() - start

    def draw(x, source, target):
        a, b = parts[source], parts[target]
        gain = np.linalg.solve(covariance[a, a], covariance[a, b])
        rest = covariance[b, b] - covariance[b, a] @ gain
        noise = np.random.default_rng(0).standard_normal((K, len(x), len(rest)))
        return mean[b] + (x - mean[a]) @ gain + noise @ np.linalg.cholesky(rest).T

    def together(n):
        made = np.random.default_rng(0).multivariate_normal(mean, covariance, n)
        return {m: made[:, part] for m, part in parts.items()}

    return {"conditional Gaussian": Fitted(draw, seconds, both=together)}


# MultiVae


EVERY, PATIENCE, MOST = 5, 3, 60  # epochs: between checks; checks without gain; at most
BUDGET = 10.0  # CPU-seconds of the other row
VAES = {"JMVAE": {}, "MMVAE": {}, "MoPoE": {}}


def vae(task, name, learning_rate=1e-3, batch_size=64, latent_dim=20, width=256, **changes):
    """A model of MultiVae: stopped by validation, and where it was after `BUDGET` seconds."""
    import multivae.models
    import torch
    from multivae.data.datasets.base import IncompleteDataset, MultimodalBaseDataset

    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    np.random.seed(task.seed)  # noqa: NPY002 - MultiVae draws from the global generator
    tensors = {
        m: torch.tensor(task.blocks[m][task.pairs[m]], dtype=torch.float32) for m in MODALITIES
    }
    masks = {m: torch.tensor(task.present[m]) for m in MODALITIES}
    lacking = not task.complete.all()
    if lacking and name == "JMVAE":  # learns from complete rows only
        rows = np.flatnonzero(task.complete)
    else:
        rows = np.flatnonzero(task.present["audio"] | task.present["image"])
    for m in MODALITIES:
        tensors[m][~masks[m]] = 0
    config = getattr(multivae.models, f"{name}Config")(
        n_modalities=2,
        latent_dim=latent_dim,
        input_dims={"audio": (104,), "image": (64,)},
        **{**VAES[name], **changes},
    )
    encoders, decoders = _networks(config, width)
    model = getattr(multivae.models, name)(config, encoders=encoders, decoders=decoders)
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)

    def drawer(k):
        def draw(x, source, target):
            given = {m: torch.zeros(len(x), task.blocks[m].shape[1]) for m in MODALITIES}
            given = MultimodalBaseDataset({**given, source: torch.tensor(x).float()})
            with torch.no_grad():
                z = model.encode(given, cond_mod=[source], N=k, flatten=True)
                made = model.decode(z, modalities=[target])[target]
            return made.numpy().reshape(k, len(x), -1)

        return draw

    best, early, since, seconds, converged = None, None, 0, 0.0, False
    for epoch in range(1, MOST + 1):
        start = time.process_time()
        model.train()
        for batch in np.array_split(task.rng.permutation(rows), len(rows) // batch_size):
            data = {m: tensors[m][batch] for m in MODALITIES}
            if lacking and name != "JMVAE":
                inputs = IncompleteDataset(data, {m: masks[m][batch] for m in MODALITIES})
            else:
                inputs = MultimodalBaseDataset(data)
            loss = model(inputs, epoch=epoch, dataset_size=len(rows)).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        seconds += time.process_time() - start
        if epoch % EVERY:
            continue
        model.eval()
        score = sum(_coherence(task, drawer(10)).values())
        state = {n: v.clone() for n, v in model.state_dict().items()}
        if seconds <= BUDGET or early is None:
            early = seconds, state
        if best is None or score > best[0]:
            best, since = (score, seconds, state), 0
        else:
            since += 1
        if since == PATIENCE:
            converged = True
            break

    def at(state, seconds, converged):
        def draw(x, source, target):
            model.load_state_dict(state)
            model.eval()
            torch.manual_seed(0)
            return drawer(K)(x, source, target)

        def together(n):
            model.load_state_dict(state)
            model.eval()
            torch.manual_seed(0)
            with torch.no_grad():
                made = model.decode(model.generate_from_prior(n), modalities="all")
            return {m: made[m].numpy() for m in MODALITIES}

        return Fitted(draw, seconds, converged, together)

    return {
        name: at(best[2], best[1], "yes" if converged else "no"),
        f"{name}, first {BUDGET:.0f} CPU-s": at(early[1], early[0], "no"),
    }


def _networks(config, width):
    """Encoders and decoders of one hidden layer; MultiVae's own decoders give values in (0, 1)."""
    from pythae.models.base.base_model import BaseDecoder, BaseEncoder
    from pythae.models.base.base_utils import ModelOutput
    from torch.nn import Linear, ReLU, Sequential

    class Encoder(BaseEncoder):
        def __init__(self, size):
            super().__init__()
            self.latent_dim = config.latent_dim
            self.hidden = Sequential(Linear(size, width), ReLU())
            self.mean, self.spread = (Linear(width, config.latent_dim) for _ in range(2))

        def forward(self, x):
            h = self.hidden(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.spread(h))

    class Decoder(BaseDecoder):
        def __init__(self, size):
            super().__init__()
            self.layers = Sequential(Linear(config.latent_dim, width), ReLU(), Linear(width, size))

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z))

    sizes = {m: shape[0] for m, shape in config.input_dims.items()}
    return {m: Encoder(n) for m, n in sizes.items()}, {m: Decoder(n) for m, n in sizes.items()}


def _coherence(task, draw, role="validation"):
    """Share of draws that are of the right digit, by direction."""
    out = {}
    for direction, (source, target) in DIRECTIONS.items():
        x, y = task.known(role, source)
        made = draw(x, source, target)
        read = task.judges[target].predict(made.reshape(-1, made.shape[2]))
        out[direction] = np.mean(read.reshape(made.shape[:2]) == y)
    return out


METHODS = {
    "MultimodalDBM": boltzmann,
    "class mean": class_mean,
    "neighbour": neighbour,
    "CCA": cca_ridge,
    "Gaussian": gaussian,
    **{name: lambda task, name=name: vae(task, name) for name in VAES},
}


def run(method, speaker, missing, validation=False):
    """What a method and its variants score on a split."""
    task = Task(speaker, missing)
    role = "validation" if validation else "test"
    out = {}
    for name, (draw, seconds, converged, both) in METHODS[method](task).items():
        together = {} if both is None else {"joint": task.agreement(both(JOINT))}
        out[name] = {**task.measure(draw, role), **together}
        out[name] |= {"CPU-s": seconds, "converged": converged}
    return out


def report(results):
    """A table a share of modalities missing."""
    return "\n".join(
        f"**{100 * missing:.0f} % of the modalities missing**\n\n{_table(results, missing)}"
        for missing in dict.fromkeys(r["missing"] for r in results)
    )


def _table(results, missing):
    """Mean and standard deviation over the speakers."""
    chosen = [r for r in results if r["missing"] == missing]
    most = max(len([r for r in chosen if r["method"] == m]) for m in METHODS)
    heads = [f"{d}: {m}" for d in DIRECTIONS for m in MEASURES]
    rows = [["method", *heads, "joint", "CPU-s", "converged"]]
    for name in dict.fromkeys(name for r in chosen for name in r["scores"]):
        scores = [r["scores"][name] for r in chosen if name in r["scores"]]
        few = f" ({len(scores)} speakers)" if len(scores) < most else ""
        rows.append([f"{name}{few}"])
        for d in DIRECTIONS:
            rows[-1] += [spread([s[d][m] for s in scores if m in s[d]], ".2f") for m in MEASURES]
        rows[-1].append(spread([s["joint"] for s in scores if "joint" in s], ".2f"))
        rows[-1].append(spread([s["CPU-s"] for s in scores], ".1f"))
        done = [s["converged"] for s in scores if s["converged"]]
        rows[-1].append(f"{done.count('yes')} of {len(done)}" if done else "")
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS, choices=SPEAKERS)
    parser.add_argument("--missing", nargs="+", type=float, default=[0.0, 0.2, 0.5])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--cache", type=Path, help="folder of what is done already")
    parser.add_argument("--cached", action="store_true", help="run nothing that is not in it")
    parser.add_argument("--out", type=Path, help="folder for the tables and the numbers")
    options = parser.parse_args(argv)
    methods = [m for m in options.methods if m not in VAES or find_spec("multivae")]
    results = []
    for missing in options.missing:
        for method in methods:
            for speaker in options.speakers:
                about = {"missing": missing, "method": method, "speaker": speaker}
                role = "validation" if options.validation else "test"
                file = f"{role}-{missing:g}-{method}-{speaker}.json".replace(" ", "_")
                path = options.cache and options.cache / file
                if path and path.exists():
                    scores = json.loads(path.read_text())
                elif options.cached:
                    continue
                else:
                    scores = run(method, speaker, missing, options.validation)
                    print(about, json.dumps(next(iter(scores.values())), default=float), flush=True)
                if path and not path.exists():
                    options.cache.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps(scores, default=float))
                results.append({**about, "scores": scores})
    save(options.out, "speech", report(results), results)


if __name__ == "__main__":
    main()
