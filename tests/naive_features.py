"""Features of a snapshot in plain Python, as their definitions read."""

from __future__ import annotations

import cmath
import math


def readings(text):
    """The rows of a snapshot's text, by `float` alone."""
    return [[float(cell) for cell in line.split("\t")] for line in text.splitlines()]


def mean_abs(signal):
    return math.fsum(abs(x) for x in signal) / len(signal)


def rms(signal):
    return math.sqrt(math.fsum(x * x for x in signal) / len(signal))


def _moment(signal, power):
    mean = math.fsum(signal) / len(signal)
    return math.fsum((x - mean) ** power for x in signal) / len(signal)


def kurtosis(signal):
    return _moment(signal, 4) / _moment(signal, 2) ** 2


def crest_factor(signal):
    return max(abs(x) for x in signal) / rms(signal)


def band_energy(signal, rate, low, high, *, with_high):
    """Variance between two frequencies, by the sum that defines the discrete Fourier transform."""
    n, mean, energy = len(signal), math.fsum(signal) / len(signal), 0.0
    for k in range(-((n - 1) // 2), n // 2 + 1):
        frequency = abs(k) * rate / n
        if low <= frequency < high or (with_high and frequency == high):
            term = sum((x - mean) * cmath.exp(-2j * math.pi * k * t / n) for t, x in enumerate(signal))
            energy += abs(term / n) ** 2
    return energy
