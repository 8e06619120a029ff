"""The contract between workstation and device: manifest, archive, golden vectors.

Rule of this folder: the standard library, numpy and `edge_ad.detect` only; it neither trains nor
runs a model. `SPEC.md` beside this file says what a bundle is, byte by byte where it matters.
"""
