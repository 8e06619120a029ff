"""`python tools/pi_rootfs`, or `python -m pi_rootfs` where tools/ is on the path."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from pi_rootfs.cli import main

sys.exit(main())
