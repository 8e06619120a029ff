"""`python -m edge_ad` is the `edge-ad` command."""

from edge_ad.cli import main

if __name__ == "__main__":
    main()
