"""`python -m nightfold.cli`."""

import sys

from nightfold.cli import main

sys.exit(main())
