"""The command line: `nightfold validate|lookup|versions|history|verify|rollback|release|split|keys|retake|unlock|maintain|forget|report`.

Exit 0 only on success; 2 for wrong use; 1 otherwise, with one line on stderr (of `validate` one for each problem) that
names the file, field or key and the mend.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from nightfold.cli.showing import complain
from nightfold.cli.words import parsed
from nightfold.errors import NightfoldError


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        code = command(arguments)
        sys.stdout.flush()
        return code
    except NightfoldError as error:
        complain(str(error))
        return 1
    except BrokenPipeError:  # the reader of our output went away (`| head`): not a fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at its end
        return 1
