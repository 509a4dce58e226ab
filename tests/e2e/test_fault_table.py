"""Every row of the fault table as a test; an hour and more on two cores, so only in `make test-all`."""

import tempfile
from pathlib import Path

from benchmarks.faults.__main__ import try_out
from benchmarks.faults.registry import FAULTS
from benchmarks.faults.stand import standing

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(0)]  # its own limits grow with the night


@pytest.fixture(scope="module")
def stand():
    with tempfile.TemporaryDirectory(prefix="nightfold-faults-") as name, standing(Path(name), say=print) as stand:
        yield stand


@pytest.mark.parametrize("name", FAULTS)
def test_whatever_breaks_readers_keep_whole_lists_and_the_night_ends_well(stand, name):
    row = try_out(stand, FAULTS[name], say=print)
    if row.not_run:
        pytest.skip(row.not_run)
    assert row.wrong == {}
