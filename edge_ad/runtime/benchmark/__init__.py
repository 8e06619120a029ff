"""Measuring a bundle on this machine: what `edge-ad bench` does.

`session` starts a fresh process for each measurement and looks at the machine in between; `worker` is that
process; `file` writes and reads what came of it. What the figures mean is `edge_ad.bench`'s business.

Rule of this folder: as of `edge_ad.runtime`. `worker` imports nothing before it has noted when it began.
"""
