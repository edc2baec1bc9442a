"""The GPU kernels on a real GPU; skipped with a reason where there is none."""

import numpy as np
import pytest

from mmgraph.backend import arrays, kernels, random


@pytest.mark.gpu
def test_every_kernel_equals_its_cpu_twin(cupy):
    import twins_ascent
    import twins_gram
    import twins_markov
    import twins_sampling
    import twins_sequences
    import twins_updates

    shapes = [*twins_sampling.SHAPES, (100, 1000), (70000, 3), (300, 784)]
    for twins in (twins_sampling, twins_ascent):
        twins.check(cupy.asarray, cupy.asnumpy, shapes)
    twins_updates.check(cupy.asarray, cupy.asnumpy, shapes[:-2])
    twins_gram.check(cupy.asarray, cupy.asnumpy, [(300, 200, 100), (5, 11, 3)])
    twins_markov.check(cupy.asarray, cupy.asnumpy)
    twins_sequences.check(cupy.asarray, cupy.asnumpy)


@pytest.mark.gpu
def test_of_chooses_the_gpu(cupy):
    assert kernels.of(cupy.zeros(3)).__name__.endswith("sampling_cuda")


@pytest.mark.gpu
def test_kernels_follow_the_current_stream(cupy):
    key, rows = random.key(0), cupy.arange(2000, dtype=cupy.uint32)
    with cupy.cuda.Stream(non_blocking=True):
        x = cupy.ones((2000, 3000), dtype=cupy.float32)
        for step in range(20):
            module = kernels.of(x)
            x, _ = module.gaussian(x, cupy.ones(3000), rows, key, step, 0)
        result = cupy.asnumpy(x)
    np.testing.assert_array_equal(result, np.full((2000, 3000), 21, dtype=np.float32))


@pytest.mark.gpu
def test_moves(cupy):
    a = np.arange(6.0).reshape(2, 3)
    on_gpu = arrays.to_device(a, "cuda")
    assert arrays.namespace(on_gpu) is cupy
    assert arrays.resolve_device("auto", on_gpu) == "cuda"
    np.testing.assert_array_equal(arrays.to_numpy(on_gpu), a)
    with pytest.raises(TypeError, match="mixed"):
        arrays.namespace(a, on_gpu)
