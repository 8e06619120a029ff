"""From trained weights to TFLite bytes.

Rule of this folder: `convert` in `converter.py` is the one way in; how a file is made (which graph, which
converter) stays behind it. It runs in a worker process, since a converter can crash.
"""
