"""Slow, obviously correct versions of everything fast: what the tests compare with."""

from __future__ import annotations

import itertools
import math

import numpy as np


def windows(rows, length):
    """Every run of `length` rows."""
    return [[list(row) for row in rows[i : i + length]] for i in range(len(rows) - length + 1)]


def is_whole(times, rows, largest_gap):
    """Whether one window's rows are numbers without a long step between them."""
    steps = [b - a for a, b in itertools.pairwise(times)]
    return all(math.isfinite(x) for row in rows for x in row) and all(s <= largest_gap + 1e-6 for s in steps)


def score(window, reconstruction):
    """Contributions and their sum, in plain Python."""
    length, channels = len(window), len(window[0])
    shares = [
        sum(abs(float(window[t][c]) - float(reconstruction[t][c])) for t in range(length)) / length
        for c in range(channels)
    ]
    return shares, sum(shares)


def notebook_flags(exceeds, length, n_rows):
    """The SKAB notebook's rule, as its loop over window positions states it."""
    flags = [False] * n_rows
    for row in range(length - 1, len(exceeds) - length + 1):
        flags[row] = all(exceeds[start] for start in range(row - length + 1, row))
    return flags


def streaming_flags(exceeds, k):
    """`exceeds[i]` is True, False or None (no score): alarm when the last k are all True."""
    return [
        i + 1 >= k and all(exceeds[j] is True for j in range(i - k + 1, i + 1)) for i in range(len(exceeds))
    ]


def sigmoid(x):
    """The logistic function without overflow warnings."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def autoencoder(architecture, weights, windows_):
    """float64 reconstructions `(n, window, channels)`: the network as its definition reads."""
    activate = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[architecture.activation]
    arrays = [np.asarray(w, np.float64) for w in weights]

    def lstm(sequence, kernel, recurrent, bias):
        units = recurrent.shape[0]
        hidden = np.zeros((len(sequence[0]), units))
        cell = np.zeros_like(hidden)
        states = []
        for x in sequence:
            i, f, c, o = np.split(x @ kernel + hidden @ recurrent + bias, 4, axis=1)
            cell = sigmoid(f) * cell + sigmoid(i) * activate(c)
            hidden = sigmoid(o) * activate(cell)
            states.append(hidden)
        return states

    windows_ = np.asarray(windows_, np.float64)
    sequence = [windows_[:, t] for t in range(architecture.window_length)]
    layers = [arrays[i : i + 3] for i in range(0, len(arrays) - 2, 3)]
    for layer in layers[: len(architecture.encoder)]:
        sequence = lstm(sequence, *layer)
    sequence = [sequence[-1]] * architecture.window_length
    for layer in layers[len(architecture.encoder) :]:
        sequence = lstm(sequence, *layer)
    return np.stack([state @ arrays[-2] + arrays[-1] for state in sequence], axis=1)


def pairs_of(weights):
    """Kernels with their biases."""
    return list(zip(weights[::2], weights[1::2], strict=True))


def convolutional(activation, n_encoders, weights, window):
    """A convolutional autoencoder of one window in float64, as its layers read: padded by repeating the ends,
    three rows at a time, every second patch; then each row twice, cut to the length before."""
    activate = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[activation]
    pairs = [(np.asarray(k, np.float64), np.asarray(b, np.float64)) for k, b in pairs_of(weights)]
    rows = np.asarray(window, np.float64)
    lengths = []
    for kernel, bias in pairs[:n_encoders]:
        lengths.append(len(rows))
        padded = np.concatenate([rows[:1], rows, rows[-1:]])
        first = len(rows) % 2 == 0  # of an even number of rows only the end is padded
        starts = range(int(first), len(padded) - 2, 2)
        rows = np.array([activate(padded[at : at + 3].ravel() @ kernel + bias) for at in starts])
    for kernel, bias in pairs[n_encoders:-1]:
        rows = np.repeat(rows, 2, axis=0)[: lengths.pop()]
        padded = np.concatenate([rows[:1], rows, rows[-1:]])
        rows = np.array([activate(padded[at : at + 3].ravel() @ kernel + bias) for at in range(len(rows))])
    kernel, bias = pairs[-1]
    return np.array([row @ kernel + bias for row in rows])


def dense(activation, weights, window):
    """An autoencoder of dense layers on the whole window, in float64."""
    activate = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[activation]
    values = np.asarray(window, np.float64).ravel()
    *hidden, (kernel, bias) = pairs_of(weights)
    for inner, inner_bias in hidden:
        values = activate(values @ inner + inner_bias)
    return (values @ kernel + bias).reshape(window.shape)


def percentile(values, percent):
    """By sorting, and on a straight line between neighbours."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def cluster_bootstrap(series, percent):
    """A percentile of every way to draw as many processes again, with replacement, each way once."""
    draws = itertools.product(range(len(series)), repeat=len(series))
    return [percentile([value for i in draw for value in series[i]], percent) for draw in draws]


def head(head, window, reconstruction):
    """Shares and statistic of one detector head, as docs/heads.md has it, in plain Python."""
    length, channels = len(window), len(window[0])
    residual = [
        [float(window[t][c]) - float(reconstruction[t][c]) for c in range(channels)] for t in range(length)
    ]
    seen = head.channels or [True] * channels
    factor = head.weight / head.scale
    if head.kind in ("l1", "q"):
        power = 1 if head.kind == "l1" else 2
        shares = [sum(abs(residual[t][c]) ** power for t in range(length)) / length for c in range(channels)]
    else:
        values = residual if head.of == "residual-mean" else window
        v = [sum(float(values[t][c]) for t in range(length)) / length for c in range(channels)]
        for c in range(channels):
            if head.baseline and (not head.drifting or head.drifting[c]):
                v[c] -= sum(float(values[t][c]) for t in range(head.baseline)) / head.baseline
        if head.of == "window-moments":
            v += [
                (sum((float(window[t][c]) - v[c]) ** 2 for t in range(length)) / length) ** 0.5
                for c in range(channels)
            ]
        away = [value - center for value, center in zip(v, head.center, strict=True)]
        if head.kind == "t2":
            n = len(v)
            root = [[head.root[max(i, j)][min(i, j)] for j in range(n)] for i in range(n)]
            squares = [sum(root[i][j] * away[j] for j in range(n)) ** 2 for i in range(n)]
            shares = [sum(squares[c::channels]) for c in range(channels)]
        else:
            z = [abs(away[c]) / head.spread[c] if seen[c] else 0 for c in range(channels)]
            shares = [z[c] if c == z.index(max(z)) else 0 for c in range(channels)]
    shares = [share * factor if seen[c] else 0 for c, share in enumerate(shares)]
    return shares, sum(shares)


def fused(heads, window, reconstruction):
    """Contributions and score of a detector: the largest head, or all of them."""
    found = [head(one, window, reconstruction) for one in heads.heads]
    if heads.fusion == "max":
        return max(found, key=lambda pair: pair[1])
    shares = [sum(column) for column in zip(*(pair[0] for pair in found), strict=True)]
    return shares, sum(shares)
