"""Processes that are killed, and disks that are full: nothing is lost or read half-written.

Fits that are killed are in ``test_checkpoint.py``, damaged files in ``test_persistence.py``.
"""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import mmgraph as mg
from mmgraph.datasets._fetch import RemoteFile, fetch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")

MODEL = "mg.CCA(2, shrinkage=0.1).fit(np.random.default_rng({seed}).normal(size=(50, {columns})))"


def python(script, *args, **kwargs):
    """A process that runs a script, with what it needs imported."""
    script = f"import sys\nimport numpy as np\nimport mmgraph as mg\n{script}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, "-c", script, *args], env=environment, **kwargs)


def test_killed_while_saving_again_and_again(tmp_path):
    path = tmp_path / "model"
    script = (
        f"models = [{MODEL.format(seed=0, columns=40)}, {MODEL.format(seed=1, columns=400)}]\n"
        "while True:\n"
        "    for model in models:\n"
        "        mg.save(model, sys.argv[1])\n"
        "        print('saved', flush=True)"
    )
    rng = np.random.default_rng()
    for _ in range(4):
        process = python(script, str(path), stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        process.stdout.close()
        assert mg.load(path).n_features_in_ in (40, 400)


def test_a_full_disk_leaves_the_old_model(tmp_path):
    path = tmp_path / "model"
    mg.save(mg.CCA(2).fit(np.random.default_rng(0).normal(size=(50, 4))), path)
    script = (
        "import resource, signal\n"
        f"model = {MODEL.format(seed=1, columns=400)}\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    mg.save(model, sys.argv[1])\n"
        "except OSError as error:\n"
        "    print('refused:', error)"
    )
    process = python(script, str(path), stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate()
    assert said.startswith("refused:"), said
    assert os.listdir(tmp_path) == ["model"]
    assert mg.load(path).n_features_in_ == 4


class Stalling(http.server.BaseHTTPRequestHandler):
    """Sends half of the content to the first who asks, and then nothing."""

    content, asked, go_on = b"x" * 100_000, threading.Event(), threading.Event()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        half = len(self.content) // 2
        self.wfile.write(self.content[:half])
        self.wfile.flush()
        if not self.asked.is_set():
            self.asked.set()
            self.go_on.wait(60)
            return
        self.wfile.write(self.content[half:])

    def log_message(self, *args):
        pass


def test_killed_while_downloading(tmp_path, monkeypatch):
    monkeypatch.delenv("MMGRAPH_DATA", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/file.bin"
        digest = hashlib.sha256(Stalling.content).hexdigest()
        script = (
            "from mmgraph.datasets._fetch import RemoteFile, fetch\n"
            f"fetch(RemoteFile('file.bin', '{url}', '{digest}'), 'set', sys.argv[1])"
        )
        process = python(script, str(tmp_path), stderr=subprocess.DEVNULL)
        assert Stalling.asked.wait(60)
        time.sleep(0.2)
        process.kill()
        process.wait()
        Stalling.go_on.set()
        assert not (tmp_path / "set" / "file.bin").exists()
        remote = RemoteFile("file.bin", url, digest)
        assert fetch(remote, "set", tmp_path, verbose=False).read_bytes() == Stalling.content
        server.shutdown()
        thread.join()
