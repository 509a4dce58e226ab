"""A retry knows what the try before it has found, and nothing that another input gave."""

from nightfold.lake import Lake
from nightfold.spark.grid_so_far import GridSoFar


def test_a_later_attempt_goes_on_and_another_input_begins_anew(home):
    lake = Lake("shop")
    first, second, third = (lake.begin("model", "2026-01-01") for _ in range(3))
    grid = GridSoFar(lake, first, "inputs")
    assert dict(grid) == {}
    grid[0, 1], grid[2, 0] = 0.5, 0.25
    assert dict(GridSoFar(lake, second, "inputs")) == {(0, 1): 0.5, (2, 0): 0.25}
    assert dict(GridSoFar(lake, third, "other inputs")) == {}
