"""Launching a Numba CUDA kernel on CuPy arrays, in CuPy's current stream."""

from numba import config, cuda

BLOCK = 128  # threads a block
_MOST_ROWS = 65535  # blocks along the second axis of a grid


def per_counter(kernel, shape, *arguments):
    """Launch a thread for every counter, four columns, of every row of a matrix of this shape."""
    n_rows, n_columns = shape
    counters = -(-n_columns // 4)
    if n_rows == 0 or counters == 0:
        return
    across = min(BLOCK, 1 << (counters - 1).bit_length())
    down = BLOCK // across
    blocks = (-(-counters // across), min(-(-n_rows // down), _MOST_ROWS))
    _launch(kernel, blocks, (across, down), arguments)


def per_row(kernel, shape, *arguments):
    """Launch a block for every row of a matrix of this shape."""
    n_rows, n_columns = shape
    if n_rows and n_columns:
        _launch(kernel, min(n_rows, _MOST_ROWS), BLOCK, arguments)


def per_tile(kernel, shape, tile, threads, *arguments):
    """Launch a block of (x, y) threads for every tile of a matrix of this shape."""
    down, across = (-(-size // side) for size, side in zip(shape, tile, strict=True))
    if down and across:
        _launch(kernel, (across, down), threads, arguments)


def per_sequence(kernel, n_sequences, threads, *arguments):
    """Launch a block for every sequence, of so many threads."""
    if n_sequences:
        _launch(kernel, n_sequences, threads, arguments)


def _launch(kernel, blocks, threads, arguments):
    if config.ENABLE_CUDASIM:
        kernel[blocks, threads](*arguments)
        return
    import cupy

    # Handed over as they are, CuPy arrays would make Numba wait for their stream at every launch.
    stream = cuda.external_stream(cupy.cuda.get_current_stream().ptr)
    arguments = [
        cuda.as_cuda_array(argument, sync=False) if isinstance(argument, cupy.ndarray) else argument
        for argument in arguments
    ]
    kernel[blocks, threads, stream](*arguments)
