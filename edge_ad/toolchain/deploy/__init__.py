"""From the workstation to a board: SSH, our own wheel, exact requirements, a wheelhouse, the order.

What is done on the board is `edge_ad.runtime.install`, which runs there from a zip. The connection is the
system's `ssh`, so that keys, agents, jump hosts, known hosts and ~/.ssh/config are what they always are.
"""
