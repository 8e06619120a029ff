"""What makes a board run edge_ad: environment, bundle, settings, service; and what takes it back.

Rule of this folder: the standard library, and what the doctor uses of it. It runs on the board before
anything is installed there, straight from edge_ad's own wheel, which the system's Python reads as it is.

PREFIX/releases/ID/        an environment; it counts once its file `.complete` is there
PREFIX/bin                 a link to the `bin` of the release in service, replaced as a whole
PREFIX/deploy/lock         one process at a time changes the board
PREFIX/deploy/log.ndjson   what it said; whoever ordered it reads along, and may go away
PREFIX/deploy/record.json  what is in service, and what was before a change that is under way
"""
