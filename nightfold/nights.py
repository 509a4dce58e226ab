"""A night as people write it: YYYY-MM-DD, the day whose data is taken."""

import argparse
import re
from datetime import date

from nightfold.errors import BadInput


def checked(text: str) -> str:
    """The same text; raises BadInput when it is no day, written so."""
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError(text)
        date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"night {text!r} is not a day: write it as YYYY-MM-DD") from error
    return text


def argument(text: str) -> str:
    """The same as the type of an argument on a command line."""
    try:
        return checked(text)
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error
