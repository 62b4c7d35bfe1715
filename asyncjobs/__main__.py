"""`python -m asyncjobs` is the command line, as `asyncjobs` is."""

import sys

from asyncjobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
