"""Passages of a stream: windows of several lengths, what they show, and those that stand apart."""

import numpy as np

__all__ = ["segment_means", "stand_apart", "windows"]


def windows(n_frames, lengths, hop):
    """Every window of some lengths.

    Parameters
    ----------
    n_frames : int
    lengths : sequence of int
        Longer ones than the stream count as its length.
    hop : int
        Frames from one window to the next of the same length.

    Returns
    -------
    ndarray of int64, shape (n_windows, 2)
        First frame, and the one after the last.
    """
    found = []
    for length in sorted({min(int(length), n_frames) for length in lengths}):
        begin = np.arange(0, n_frames - length + 1, hop)
        found.append(np.column_stack([begin, begin + length]))
    return np.concatenate(found)


def segment_means(frames, spans, n_segments):
    """Means of the frames of passages over segments of equal length.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, n_columns)
    spans : ndarray of int, shape (n_passages, 2)
    n_segments : int

    Returns
    -------
    ndarray of shape (n_passages, n_segments * n_columns)
        The columns of the first segment first. Where a passage has fewer frames than segments,
        neighbours share a frame.
    """
    begin, length = spans[:, :1], np.diff(spans)
    edges = np.arange(n_segments + 1)
    low = begin + edges[:-1] * length // n_segments
    high = np.maximum(begin + edges[1:] * length // n_segments, low + 1)
    centre = frames.mean(axis=0)  # so that no digits are lost in long sums
    sums = np.pad(np.cumsum(frames - centre, axis=0), ((1, 0), (0, 0)))
    means = (sums[high] - sums[low]) / (high - low)[:, :, None] + centre
    return means.reshape(len(spans), -1)


def stand_apart(spans, scores, k):
    """The best passages of which no two overlap.

    Parameters
    ----------
    spans : ndarray of int, shape (n_passages, 2)
    scores : ndarray of shape (n_passages,)
    k : int
        How many, at most.

    Returns
    -------
    ndarray of int64
        Their numbers, the best first; of equally good ones the first.
    """
    taken, kept = np.zeros(spans.max(initial=0), bool), []
    for i in np.argsort(-scores, kind="stable"):
        begin, end = spans[i]
        if not taken[begin:end].any():
            taken[begin:end] = True
            kept.append(i)
            if len(kept) == k:
                break
    return np.array(kept, np.int64)
