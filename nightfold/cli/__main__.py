"""`python -m nightfold.cli`."""

import sys

from nightfold.cli import main

if __name__ == "__main__":
    sys.exit(main())
