"""What runs on the workstation: recordings in, bundles out.

Rule of this folder: the only place that may import TensorFlow, and only inside the functions that
need it. Scores are always taken through `edge_ad.runtime.detector`, so what is gated is what ships.
"""
