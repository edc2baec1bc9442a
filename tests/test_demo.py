import csv
import subprocess
import sys

import numpy as np
import pytest

import mmgraph as mg
from mmgraph import demo


def run(*options):
    command = [sys.executable, "-W", "error", "-m", "mmgraph", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("--quick", "--out", folder)


def test_help():
    output = run("--help").stdout
    for option in ("--out", "--seed", "--quick", "--no-figures"):
        assert option in output


def test_says_where_everything_is(made):
    folder, process = made
    places = process.stdout.split("Written:\n")[1].split("\n")[:-1]
    assert sorted(places) == sorted(str(path) for path in folder.iterdir())
    assert {path.name for path in folder.iterdir()} == {
        "chains.png",
        "joint_space.png",
        "model.mmgraph",
        "pictures_for_words.png",
        "receptive_fields.png",
        "report.md",
        "scores.csv",
        "training.png",
        "words_for_pictures.png",
    }
    assert all(path.stat().st_size > 1000 for path in folder.glob("*.png"))
    assert (folder / "report.md").read_text(encoding="utf-8").strip() in process.stdout
    assert "gives the same answers to the last bit" in process.stdout


def test_scores(made):
    folder, _ = made
    with open(folder / "scores.csv", newline="", encoding="utf-8") as file:
        scores = {row.pop("method"): row for row in csv.DictReader(file)}
    scores = {method: {k: float(v) for k, v in row.items()} for method, row in scores.items()}
    assert next(iter(scores)) == "MultimodalDBM"
    assert all(list(row) == list(demo.MEASURES) for row in scores.values())
    truth, base = scores["the truth itself"], scores["base rate"]
    assert truth["digit"] == truth["spread"] == 1
    assert truth["error"] == base["style"] == base["spread"] == 0
    assert scores["class mean"]["spread"] == 0
    for measure in ("digit", "judge", "found"):
        assert base[measure] < 0.3
        assert scores["MultimodalDBM"][measure] > 0.6
        assert scores["ridge regression"][measure] > 0.8
    assert 0 < scores["MultimodalDBM"]["spread"] < 1.5


def test_model_is_left(made):
    folder, _ = made
    dbm = mg.load(folder / "model.mmgraph")
    assert isinstance(dbm, mg.MultimodalDBM)
    assert list(dbm.layout_.names) == ["image", "text"]


def test_without_matplotlib(tmp_path):
    """A missing matplotlib costs the figures only."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path; from mmgraph import demo\n"
        "print(demo._figures(None, None, Path('.')))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout == "[]\n"
    assert "pip install mmgraph[plot]" in process.stderr


def test_hide():
    X = np.ones((20, 3))
    modalities = {"a": slice(0, 2), "b": slice(2, 3)}
    hidden = np.isnan(demo.hide(X, modalities, 0.3, 0))
    assert hidden[:, 0].sum() == hidden[:, 2].sum() == 6
    np.testing.assert_array_equal(hidden[:, 0], hidden[:, 1])
    assert not (hidden[:, 0] & hidden[:, 2]).any()
    assert np.isfinite(X).all()
