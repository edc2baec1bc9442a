import gzip
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmgraph import datasets
from mmgraph.datasets import (
    _fetch,
    basic_motions,
    japanese_vowels,
    mnist,
    multiple_features,
    spoken_digits,
)
from mmgraph.datasets._fetch import RemoteFile, digest_arrays, fetch, read_npz

needs_copies = pytest.mark.skipif(
    not os.environ.get("MMGRAPH_DATA"), reason="MMGRAPH_DATA names no folder of data sets"
)


# Digits with captions


@pytest.fixture(scope="module")
def digits():
    return datasets.load_digit_captions()


def test_captions_shapes_and_units(digits):
    assert digits.image.shape == (1797, 64)
    assert digits.text.shape == (1797, len(digits.vocabulary))
    assert digits.text.dtype == np.int64
    assert digits.counts is digits.text
    np.testing.assert_array_equal(digits.images.reshape(1797, -1), digits.image)
    assert digits.image.min() == 0
    assert digits.image.max() == 1
    np.testing.assert_array_equal(digits.image * 16, np.round(digits.image * 16))
    assert digits.DESCR.startswith("Handwritten digits with captions")


def test_captions_name_the_digit_twice(digits):
    assert digits.vocabulary[:10] == digits.target_names
    np.testing.assert_array_equal(digits.text[:, :10], 2 * np.eye(10, dtype=int)[digits.target])


def test_counts_are_those_of_the_sentence(digits):
    for caption, counts in zip(digits.captions, digits.text, strict=True):
        words = Counter(caption.replace(":", "").replace(",", "").split())
        for stop_word in ("the", "digit", "a", "an"):
            words.pop(stop_word, None)
        found = {word: n for word, n in zip(digits.vocabulary, counts, strict=True) if n}
        assert found == words


def test_style_words_exclude_each_other(digits):
    count = dict(zip(digits.vocabulary, digits.text.T, strict=True))
    for one, other in [("thick", "thin"), ("wide", "narrow"), ("left", "right")]:
        assert not np.any(count[one] * count[other])
    np.testing.assert_array_equal(count["leaning"], count["left"] + count["right"])
    styled = digits.text[:, 10:-1].any(axis=1)
    np.testing.assert_array_equal(count["plain"], ~styled)


def test_style_words_are_neither_rare_nor_the_rule(digits):
    share = (digits.text[:, 10:] > 0).mean(axis=0)
    assert share.min() > 0.1
    assert share.max() < 0.35


@pytest.mark.parametrize("digit", range(10))
def test_style_words_follow_the_measurements(digits, digit):
    """Among the pictures of a digit, each word is said of one end of the measurement."""
    rows = digits.target == digit
    count = dict(zip(digits.vocabulary, digits.text[rows].T, strict=True))
    ends = {"thickness": ("thin", "thick"), "width": ("narrow", "wide"), "lean": ("left", "right")}
    for name, (less, more) in ends.items():
        value = digits.style[name][rows]
        low, high = count[less] > 0, count[more] > 0
        middle = ~low & ~high
        assert value[low].max(initial=-np.inf) < value[middle].min()
        assert value[high].min(initial=np.inf) > value[middle].max()


def test_caption_grammar(digits):
    assert digits.captions[0] == "the digit zero: a plain zero"
    an = [caption for caption in digits.captions if " an " in caption]
    assert all(": an eight leaning " in caption for caption in an)
    assert an


def test_split_is_stratified_and_complete(digits):
    np.testing.assert_array_equal(
        np.sort(np.concatenate([digits.train, digits.test])), np.arange(1797)
    )
    per_digit = np.bincount(digits.target[digits.test]) / np.bincount(digits.target)
    np.testing.assert_allclose(per_digit, 0.2, atol=0.005)
    assert digits.test[0] == 0


def test_measure_style_of_drawn_strokes():
    thin, thick, right = np.zeros((3, 8, 8))
    thin[:, 3] = 1
    thick[:, 2:5] = 1
    right[np.arange(8), 7 - np.arange(8)] = 1
    style = datasets.measure_style([thin, thick, right, right[:, ::-1]])
    np.testing.assert_allclose(style["lean"], [0, 0, 1, -1], atol=1e-12)
    assert style["thickness"][0] < style["thickness"][1]
    np.testing.assert_allclose(style["width"][:2], [0, np.sqrt(2 / 3)])
    # Neither paler ink nor another place on the paper changes the measurements.
    moved = datasets.measure_style([np.roll(thick, 1, axis=1) / 2])
    for name, values in style.items():
        np.testing.assert_allclose(moved[name][0], values[1], atol=1e-12)


def test_captions_as_frame(digits):
    pandas = pytest.importorskip("pandas")
    frame = datasets.load_digit_captions(as_frame=True).frame
    assert isinstance(frame, pandas.DataFrame)
    assert digits.frame is None
    assert frame.columns[0] == "image__pixel_0_0"
    np.testing.assert_array_equal(frame["text__seven"], digits.text[:, 7])
    np.testing.assert_array_equal(frame.to_numpy(), np.hstack([digits.image, digits.text]))


# Fetching, from a server in this process


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`; the first `n_failures` requests fail in the way `failure` names."""

    content, n_failures, failure, n_requests = b"content", 0, "refuse", 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.n_requests += 1
        fails = server.n_requests <= server.n_failures
        self.send_response(503 if fails and server.failure == "refuse" else 200)
        self.send_header("Content-Length", str(len(server.content)))
        self.end_headers()
        self.wfile.write(server.content[:3] if fails else server.content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("MMGRAPH_DATA", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path / "home"


def remote_file(server, sha256=None, filename="file.bin"):
    if sha256 is None:
        sha256 = hashlib.sha256(server.content).hexdigest()
    return RemoteFile(filename, f"http://127.0.0.1:{server.server_address[1]}/{filename}", sha256)


def test_fetch_downloads_once(server, home):
    remote = remote_file(server)
    path = fetch(remote, "set", home, verbose=False)
    assert path == home / "set" / "file.bin"
    assert path.read_bytes() == server.content
    assert fetch(remote, "set", str(home)) == path
    assert server.n_requests == 1
    assert list(path.parent.iterdir()) == [path]  # no part is left


def test_fetch_shows_progress(server, home, capsys):
    fetch(remote_file(server), "set", home)
    assert "file.bin" in capsys.readouterr().err


@pytest.mark.parametrize("failure", ["refuse", "hang up"])
def test_fetch_tries_again(server, home, failure):
    server.n_failures, server.failure = 2, failure
    with pytest.warns(UserWarning, match="Retry downloading"):
        path = fetch(remote_file(server), "set", home, verbose=False, delay=0)
    assert path.read_bytes() == server.content
    assert server.n_requests == 3


def test_fetch_gives_up_cleanly(server, home):
    server.n_failures = 9
    with (
        pytest.warns(UserWarning, match="Retry downloading"),
        pytest.raises(OSError, match=r"Could not download .*503.* put the file at"),
    ):
        fetch(remote_file(server), "set", home, verbose=False, n_retries=1, delay=0)
    assert server.n_requests == 2
    assert not list((home / "set").iterdir())


def test_wrong_download_is_not_kept(server, home):
    with pytest.raises(OSError, match=f"expected {'0' * 64}.*The download was not kept"):
        fetch(remote_file(server, "0" * 64), "set", home, verbose=False)
    assert not list((home / "set").iterdir())


def test_interrupted_download_leaves_nothing(server, home, monkeypatch):
    def interrupt(url, part, name, verbose):
        Path(part).write_bytes(b"con")
        raise KeyboardInterrupt

    monkeypatch.setattr(_fetch, "_download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(remote_file(server), "set", home)
    assert not list((home / "set").iterdir())


def test_missing_file_is_not_downloaded_unasked(server, home):
    with pytest.raises(OSError, match=r"file\.bin is missing.*download_if_missing=True"):
        fetch(remote_file(server), "set", home, download_if_missing=False)
    assert server.n_requests == 0
    assert not home.exists()


def test_wrong_local_file_is_refused(server, home):
    path = home / "set" / "file.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(OSError, match=f"{found}, expected .*Delete .*file.bin and fetch again"):
        fetch(remote_file(server), "set", home)
    assert path.read_bytes() == b"other"


def test_data_home_comes_before_the_cache(server, home, tmp_path, monkeypatch):
    cached = tmp_path / "cache" / "set" / "file.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(server.content)
    monkeypatch.setenv("MMGRAPH_DATA", str(tmp_path / "cache"))
    remote = remote_file(server)
    assert fetch(remote, "set", home) == cached
    own = home / "set" / "file.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(server.content)
    assert fetch(remote, "set", home) == own
    assert server.n_requests == 0


def test_compressed_files_are_checked_by_content(server, home):
    sha256 = hashlib.sha256(b"inside").hexdigest()
    for level in (1, 9):
        server.content = gzip.compress(b"inside", level)
        path = fetch(remote_file(server, sha256, f"{level}.gz"), "set", home, verbose=False)
        assert gzip.decompress(path.read_bytes()) == b"inside"
    path.write_bytes(server.content[:-6])
    with pytest.raises(OSError, match=r"damaged.*Delete"):
        fetch(remote_file(server, sha256, "9.gz"), "set", home)


def test_digest_arrays_sees_every_difference():
    a = np.arange(6, dtype=np.int16)
    digest = digest_arrays(a=a)
    assert digest == digest_arrays(a=a.astype(">i2"))
    assert digest == digest_arrays(a=np.arange(12, dtype=np.int16)[:6])
    others = [{"b": a}, {"a": a[::-1]}, {"a": a.reshape(2, 3)}, {"a": a.astype(np.int32)}]
    assert digest not in [digest_arrays(**other) for other in others]


def test_read_npz_refuses_other_content(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3))
    expected = digest_arrays(a=np.arange(3))
    np.testing.assert_array_equal(read_npz(path, expected, ["a"])["a"], np.arange(3))
    with pytest.raises(OSError, match=r"not what it should be.*Delete"):
        read_npz(path, "0" * 64, ["a"])
    with pytest.raises(OSError, match=r"cannot be read.*Delete"):
        read_npz(path, expected, ["b"])
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(OSError, match=r"cannot be read.*Delete"):
        read_npz(path, expected, ["a"])


FETCHERS = [
    datasets.fetch_basic_motions,
    datasets.fetch_japanese_vowels,
    datasets.fetch_mnist,
    datasets.fetch_multiple_features,
    datasets.fetch_spoken_digits,
    datasets.fetch_wikipedia,
]


@pytest.mark.parametrize("fetcher", FETCHERS)
def test_fetchers_say_what_is_missing(fetcher, home):
    with pytest.raises(OSError, match="is missing, and no copy was found in"):
        fetcher(data_home=home, download_if_missing=False)
    assert not home.exists()


@pytest.mark.parametrize(
    ("loader", "file"),
    [(datasets.load_emoji, "emoji"), (datasets.load_liver_toxicity, "liver_toxicity")],
)
def test_local_sets_say_how_to_make_them(loader, file, home):
    with pytest.raises(OSError, match=rf"{file}\.npz is missing.*make it as the notes"):
        loader(data_home=home)


def test_awa_says_how_to_make_it(home):
    with pytest.raises(OSError, match=r"awa_subset\.npz is missing.*make it as the notes"):
        datasets.load_awa(data_home=home)


def test_get_data_home(tmp_path):
    assert datasets.get_data_home() == Path.home() / "mmgraph_data"
    assert datasets.get_data_home("~/x") == Path.home() / "x"
    assert datasets.get_data_home(tmp_path) == tmp_path


# MNIST


def write_idx(path, array):
    """A compressed idx file of bytes; returns its RemoteFile."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content))
    return RemoteFile(path.name, "", hashlib.sha256(content).hexdigest())


def test_mnist_reads_idx_files(home, monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (7, 28, 28)), rng.integers(0, 10, 7)
    files = (
        write_idx(home / "mnist" / "images.gz", images),
        write_idx(home / "mnist" / "labels.gz", labels),
    )
    monkeypatch.setattr(mnist, "FILES", {"test": files})
    bunch = datasets.fetch_mnist(data_home=home, subset="test")
    np.testing.assert_array_equal(bunch.images, images)
    np.testing.assert_array_equal(bunch.target, labels)
    np.testing.assert_allclose(bunch.image, images.reshape(7, -1) / 255, rtol=1e-6)
    assert len(bunch.train) == 0
    assert len(bunch.test) == 7
    X, y = datasets.fetch_mnist(data_home=home, subset="test", binarize=True, return_X_y=True)
    np.testing.assert_array_equal(X, images.reshape(7, -1) >= 128)
    np.testing.assert_array_equal(y, labels)


def test_mnist_refuses_an_unknown_subset():
    with pytest.raises(ValueError, match=r"subset is .* got 'valid'"):
        datasets.fetch_mnist(subset="valid")


@needs_copies
def test_mnist():
    bunch = datasets.fetch_mnist(subset="all", download_if_missing=False)
    assert bunch.image.shape == (70_000, 784)
    assert bunch.image.dtype == np.float32
    assert bunch.data.dtype == np.uint8
    counts = np.bincount(bunch.target[bunch.train])
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert len(bunch.test) == 10_000
    assert bunch.target[60_000:60_003].tolist() == [7, 2, 1]


# Spoken digits


def test_mfcc_is_the_textbook_formula():
    """Against loops over frames, bands and cepstra."""
    rng = np.random.default_rng(0)
    audio = (1000 * rng.standard_normal(1500)).astype(np.int16)
    emphasised = [float(audio[0])]
    emphasised += [float(audio[t]) - 0.97 * float(audio[t - 1]) for t in range(1, len(audio))]
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(256) / 255)
    mels = [b * 2595 * np.log10(1 + 4000 / 700) / 27 for b in range(28)]
    corner = [int(257 * 700 * (10 ** (mel / 2595) - 1) / 8000 + 1e-9) for mel in mels]
    powers = []
    for start in range(0, len(audio) - 255, 80):
        powers.append(abs(np.fft.rfft(window * emphasised[start : start + 256])) ** 2)
    expected = []
    for power in powers:
        logs = []
        for left, centre, right in zip(corner, corner[1:], corner[2:], strict=False):
            energy = sum(power[k] * (k - left) / (centre - left) for k in range(left, centre))
            energy += sum(power[k] * (right - k) / (right - centre) for k in range(centre, right))
            logs.append(np.log(energy + 1e-6 * np.mean(powers)))
        angle = np.pi * (np.arange(26) + 0.5) / 26
        cepstra = [np.sqrt(2 / 26) * np.dot(logs, np.cos(c * angle)) for c in range(13)]
        cepstra[0] /= np.sqrt(2)
        expected.append(cepstra)
    np.testing.assert_allclose(datasets.mfcc(audio), expected, atol=1e-9)
    segments = [np.mean(part, axis=0) for part in np.array_split(expected, 8)]
    np.testing.assert_allclose(datasets.mfcc_summary(audio), np.ravel(segments), rtol=1e-5)


def test_mfcc_fills_up_short_and_silent_sounds():
    rng = np.random.default_rng(0)
    for audio in ([5], np.zeros(4000), rng.standard_normal(300)):
        cepstra = datasets.mfcc(audio)
        assert len(cepstra) >= 13
        assert np.isfinite(cepstra).all()


@pytest.mark.parametrize("sample_rate", [2000, 8000, 16000, 44100])
def test_mfcc_counts_time_in_seconds(sample_rate):
    audio = np.random.default_rng(0).standard_normal(sample_rate)
    assert datasets.mfcc(audio, sample_rate).shape == (97, 13)


def test_mfcc_wants_one_row():
    with pytest.raises(ValueError, match=r"one row of samples, got an array of shape \(2, 9\)"):
        datasets.mfcc(np.zeros((2, 9)))


def write_wavs(path, waveforms):
    """An archive laid out as GitHub's, of 16-bit mono wav files by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, waveform in waveforms.items():
            file = io.BytesIO()
            with wave.open(file, "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(8000)
                sound.writeframes(waveform.astype("<i2").tobytes())
            member = tarfile.TarInfo(f"free-spoken-digit-dataset-abc/recordings/{name}.wav")
            member.size = len(file.getvalue())
            archive.addfile(member, io.BytesIO(file.getvalue()))


def test_spoken_digits_refuses_other_recordings(home):
    path = home / "fsdd" / spoken_digits.ARCHIVE.filename
    write_wavs(path, {"1_a_0": np.arange(9), "0_a_0": np.arange(5)})
    with pytest.raises(OSError, match=r"not what it should be.*Delete"):
        datasets.fetch_spoken_digits(data_home=home)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(OSError, match=r"cannot be read.*Delete"):
        datasets.fetch_spoken_digits(data_home=home)


@needs_copies
def test_spoken_digits():
    bunch = datasets.fetch_spoken_digits(download_if_missing=False)
    assert bunch.audio.shape == (3000, 104)
    assert bunch.audio.dtype == np.float32
    assert len(bunch.test) == 300
    assert len(bunch.train) == 2700
    assert np.unique(bunch.speaker).tolist() == [
        "george", "jackson", "lucas", "nicolas", "theo", "yweweler",
    ]  # fmt: skip
    assert [len(waveform) for waveform in bunch.waveforms[:2]] == [2384, 4727]
    assert np.bincount(bunch.target).tolist() == [300] * 10


@needs_copies
def test_spoken_digits_summary_is_the_reference():
    reference = Path(os.environ["MMGRAPH_DATA"]) / "fsdd" / "features_mfcc104.npz"
    if not reference.exists():
        pytest.skip("no features_mfcc104.npz to compare with")
    with np.load(reference) as archive:
        expected = archive["X"]
    audio = datasets.fetch_spoken_digits(download_if_missing=False).audio
    np.testing.assert_allclose(audio, expected, rtol=0, atol=1e-5)  # float32, up to 111


@needs_copies
def test_spoken_digits_from_the_archive_are_the_same(tmp_path, monkeypatch):
    bunch = datasets.fetch_spoken_digits(download_if_missing=False)
    names = [
        f"{digit}_{speaker}_{index}"
        for digit, speaker, index in zip(bunch.target, bunch.speaker, bunch.index, strict=True)
    ]
    waveforms = dict(reversed(list(zip(names, bunch.waveforms, strict=True))))
    write_wavs(tmp_path / "fsdd" / spoken_digits.ARCHIVE.filename, waveforms)
    monkeypatch.delenv("MMGRAPH_DATA")
    other = datasets.fetch_spoken_digits(data_home=tmp_path, download_if_missing=False)
    np.testing.assert_array_equal(other.audio, bunch.audio)
    np.testing.assert_array_equal(other.speaker, bunch.speaker)


# The other sets


@needs_copies
def test_wikipedia():
    pytest.importorskip("pandas")
    bunch = datasets.fetch_wikipedia(tfidf=True, as_frame=True, download_if_missing=False)
    assert bunch.image.shape == (2866, 128)
    assert bunch.text.shape == (2866, 10)
    assert bunch.tfidf.shape == (2866, 1000)
    assert bunch.frame.shape == (2866, 1138)
    np.testing.assert_allclose(bunch.image.sum(axis=1), 1)
    np.testing.assert_allclose(bunch.text.sum(axis=1), 1)
    train, test = (np.bincount(bunch.target[rows]) for rows in (bunch.train, bunch.test))
    assert (train.min(), train.max(), train.sum()) == (138, 347, 2173)
    assert (test.min(), test.max(), test.sum()) == (34, 104, 693)
    assert bunch.target_names[bunch.target[0]] == "media"
    assert bunch.text_id[0] == "b3150b0c281960b6a6d33407824fd40a-3"


@needs_copies
def test_multiple_features():
    bunch = datasets.fetch_multiple_features(download_if_missing=False)
    widths = [bunch[view].shape[1] for view in ("fac", "fou", "kar", "pix", "zer", "mor")]
    assert widths == [216, 76, 64, 240, 47, 6]
    assert np.bincount(bunch.target[bunch.train]).tolist() == [100] * 10
    assert np.bincount(bunch.target[bunch.test]).tolist() == [100] * 10
    assert bunch.pix.min() == 0
    assert bunch.pix.max() == 6


def test_multiple_features_reads_csv(home, monkeypatch):
    rng = np.random.default_rng(0)
    files, target = {}, np.repeat(np.arange(10), 2)
    (home / "mfeat").mkdir(parents=True)
    views = {view: rng.standard_normal((20, 3)) for view in multiple_features.FILES}
    for view, block in views.items():
        rows = [
            ",".join(map(repr, [*row, t]))
            for row, t in zip(block.tolist(), target.tolist(), strict=True)
        ]
        content = "\n".join(["0,1,2,3", *rows]).encode()
        (home / "mfeat" / f"mfeat-{view}.csv").write_bytes(content)
        files[view] = RemoteFile(f"mfeat-{view}.csv", "", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(multiple_features, "FILES", files)
    bunch = datasets.fetch_multiple_features(data_home=home)
    np.testing.assert_array_equal(bunch.target, target)
    for view, block in views.items():
        np.testing.assert_array_equal(bunch[view], block)


@needs_copies
def test_emoji():
    bunch = datasets.load_emoji()
    assert bunch.image.shape == (1637, 3072)
    assert 0 <= bunch.image.min() < bunch.image.max() <= 1
    assert bunch.text.shape == (1637, 481)
    assert set(np.unique(bunch.text)) == {0, 1}
    assert bunch.characters[0] == "\N{GRINNING FACE}"
    assert "smile" in bunch.keywords[0]
    assert bunch.target_names[bunch.target[0]] == "Smileys & Emotion"
    words = {word for word, has in zip(bunch.vocabulary, bunch.text[0], strict=True) if has}
    assert words <= set(bunch.keywords[0])
    assert len(bunch.train) + len(bunch.test) == 1637


@needs_copies
def test_liver_toxicity():
    bunch = datasets.load_liver_toxicity(as_frame=True)
    assert bunch.gene.shape == (64, 3116)
    assert bunch.clinic.shape == (64, 10)
    assert bunch.target_names == ["50", "150", "1500", "2000"]
    np.testing.assert_array_equal(np.bincount(bunch.target), 16)
    assert set(bunch.hours) == {6, 18, 24, 48}
    assert bunch.frame.columns[-1] == "clinic__Cholesterol.mg.dL."
    assert len(bunch.train) + len(bunch.test) == 64


@needs_copies
def test_awa():
    bunch = datasets.load_awa()
    assert bunch.phog.shape == (1800, 252)
    assert all(bunch[name].shape == (1800, 2000) for name in ("lss", "sift", "surf", "rgsift"))
    assert min(bunch[name].min() for name in bunch.feature_names) >= 0
    assert np.unique(bunch.target, return_counts=True)[1].tolist() == [36] * 50
    assert (len(bunch.train), len(bunch.test)) == (1440, 360)
    assert set(bunch.target[bunch.test]) == set(bunch.test_classes)
    assert set(bunch.target[bunch.train]) == set(bunch.train_classes)
    strengths = np.array([bunch.attributes[name] for name in bunch.target_names])
    assert strengths.shape == (50, 85)
    assert 0 <= strengths.min() < strengths.max() == 100
    stripes = bunch.attribute_names.index("stripes")
    assert bunch.attributes_binary["zebra"][stripes] == 1
    assert bunch.attributes["zebra"][stripes] > 50 > bunch.attributes["polar+bear"][stripes]


def test_import_is_light():
    code = (
        "import sys, sklearn.utils; before = set(sys.modules); import mmgraph.datasets; "
        "heavy = {'pandas', 'matplotlib', 'numba', 'scipy.io', 'sklearn.datasets', 'tqdm'}; "
        "print(*heavy & set(sys.modules) - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not run.stdout.split()


@needs_copies
@pytest.mark.parametrize(
    ("name", "shape", "n_positive"),
    [
        ("ionosphere", (351, 34), 225),
        ("liver", (345, 6), 200),
        ("pima", (768, 8), 268),
        ("sonar", (208, 60), 111),
        ("wpbc", (198, 33), 47),
    ],
)
def test_uci_tables(name, shape, n_positive):
    table = datasets.fetch_uci_table(name, download_if_missing=False)
    assert table.data.shape == shape
    assert table.target.sum() == n_positive
    assert np.isnan(table.data).sum() == (4 if name == "wpbc" else 0)


def test_uci_tables_refuse_another_name():
    with pytest.raises(ValueError, match="name='iris': choose one of"):
        datasets.fetch_uci_table("iris")


# Sequences of the archives of time series


def write_ts(path, sequences, labels, length=None):
    """A ts file, sequences filled with zeros to a length."""
    lines = ["#A comment", "@problemName x", "@data"]
    for frames, label in zip(sequences, labels, strict=True):
        filled = np.pad(frames, ((0, (length or len(frames)) - len(frames)), (0, 0)))
        lines.append(":".join([",".join(map(repr, c.tolist())) for c in filled.T] + [str(label)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_motions_are_read_from_their_files(home, monkeypatch):
    frames, labels = np.random.default_rng(0).normal(size=(4, 100, 6)), ["b", "a", "a", "b"]
    for part, own in (("TRAIN", slice(0, 3)), ("TEST", slice(3, 4))):
        write_ts(home / "motions" / f"BasicMotions_{part}.ts", frames[own], labels[own])
    arrays = {"acceleration": frames[:, :, :3], "rotation": frames[:, :, 3:], "y": np.array(labels)}
    parts = {"train": slice(0, 3), "test": slice(3, 4)}
    content = {f"{n}_{p}": a[own] for n, a in arrays.items() for p, own in parts.items()}
    with pytest.raises(OSError, match=r"not what it should be.*fetch again"):
        datasets.fetch_basic_motions(data_home=home)
    monkeypatch.setattr(basic_motions, "CONTENT", digest_arrays(**content))
    bunch = datasets.fetch_basic_motions(data_home=home)
    np.testing.assert_array_equal(bunch.rotation, frames[:, :, 3:].reshape(-1, 3))
    np.testing.assert_array_equal(bunch.target[::100], [1, 0, 0, 1])
    assert len(bunch.train) == 300
    assert bunch.test[0] == 300
    (home / "motions" / "BasicMotions_TEST.ts").write_text("@data\n1,x:a\n")
    with pytest.raises(OSError, match=r"cannot be read.*Delete"):
        datasets.fetch_basic_motions(data_home=home)


@pytest.mark.parametrize("first", [0, 1])
def test_vowels_are_read_without_their_filling(home, monkeypatch, first):
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(n, 12)) for n in (7, 9, 8)]
    frames[0][3] = 0  # silence in the middle stays
    write_ts(home / "motions" / "JapaneseVowels_TRAIN.ts", frames[:2], [first, first + 1], 29)
    write_ts(home / "motions" / "JapaneseVowels_TEST.ts", frames[2:], [first], 29)
    content = {
        "frames_train": np.concatenate(frames[:2]),
        "frames_test": frames[2],
        "length_train": np.array([7, 9]),
        "length_test": np.array([8]),
        "y_train": np.array([1, 2]),
        "y_test": np.array([1]),
    }
    monkeypatch.setattr(japanese_vowels, "CONTENT", digest_arrays(**content))
    bunch = datasets.fetch_japanese_vowels(data_home=home)
    np.testing.assert_array_equal(bunch.cepstra, np.concatenate(frames))
    np.testing.assert_array_equal(bunch.sequence, [0] * 7 + [1] * 9 + [2] * 8)
    np.testing.assert_array_equal(bunch.target, [0] * 7 + [1] * 9 + [0] * 8)
    assert bunch.test.tolist() == list(range(16, 24))


@needs_copies
def test_basic_motions():
    pytest.importorskip("pandas")
    bunch = datasets.fetch_basic_motions(download_if_missing=False, as_frame=True)
    assert bunch.acceleration.shape == bunch.rotation.shape == (8000, 3)
    assert bunch.target_names == ["Badminton", "Running", "Standing", "Walking"]
    for rows in (bunch.train, bunch.test):
        assert np.bincount(bunch.target[rows]).tolist() == [1000] * 4
    assert bunch.frame.columns[3] == "rotation__x"


@needs_copies
def test_japanese_vowels():
    bunch = datasets.fetch_japanese_vowels(download_if_missing=False)
    assert bunch.cepstra.shape == (9961, 12)
    lengths = np.bincount(bunch.sequence)
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert len(np.unique(bunch.sequence[bunch.train])) == 270
    assert np.unique(bunch.target).tolist() == list(range(9))
