"""Tables are read between their points as SciPy reads them: linear in the logarithm of every axis, held at the edge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from hopperbook.kernels.tables import Grid, at


@st.composite
def questions(draw):
    """Draw a table of one to four axes, some of one point, and points inside, on and outside it."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axes = tuple(np.log(np.cumsum(random.uniform(0.5, 100.0, n))) for n in lengths)
    grid = Grid(axes, random.standard_normal(lengths), np.ones(lengths, bool))
    outside = [np.exp(random.uniform(axis[0] - 1, axis[-1] + 1, 20)) for axis in axes]
    on = [np.exp(axis[random.integers(0, len(axis), 20)]) for axis in axes]
    return grid, [np.r_[a, b] for a, b in zip(outside, on, strict=True)]


@given(questions())
def test_a_table_is_read_as_scipy_reads_it(question):
    grid, points = question
    values, beyond = at(grid, points)
    logs = [np.log(each) for each in points]
    places = [np.interp(log, axis, np.arange(len(axis))) for log, axis in zip(logs, grid.axes, strict=True)]
    assert values == pytest.approx(map_coordinates(grid.residual, places, order=1, mode="nearest"), abs=1e-9)
    out = [(log < axis[0] - 1e-9) | (log > axis[-1] + 1e-9) for log, axis in zip(logs, grid.axes, strict=True)]
    assert (beyond == np.any(out, axis=0)).all()


def test_zero_and_less_lie_below_every_axis():
    grid = Grid((np.log([1.0, 2.0]),), np.array([3.0, 4.0]), np.ones(2, bool))
    values, beyond = at(grid, [np.array([0.0, -1.0, 1.0, 4.0])])
    assert values.tolist() == [3.0, 3.0, 3.0, 4.0]
    assert beyond.tolist() == [True, True, False, True]
