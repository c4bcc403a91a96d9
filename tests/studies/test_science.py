"""What the chapter on scientific computing computes, against figures worked by hand."""

import pytest

from hopperbook import facts, hpc
from hopperbook.customer import default
from hopperbook.studies import science


def test_at_the_ridge_both_roofs_are_equal():
    for name in facts.drawn():
        part, ridge = facts.gpu(name), science.ridge_flop_per_byte(name)
        at, above = (hpc.attainable_flop_per_s(part, x) for x in (ridge, 2 * ridge))
        assert at == pytest.approx(above)
        assert hpc.attainable_flop_per_s(part, 0.5 * ridge) == pytest.approx(0.5 * above)


def test_a_streaming_code_gains_as_the_bandwidth_does():
    rates = science.kernel_rates(facts.drawn())
    new, old = facts.drawn()[-1], facts.drawn()[0]
    bandwidth = [facts.gpu(name).memory_bandwidth_bytes_per_s for name in (new, old)]
    assert science.gain(rates, science.STREAMS, new, old) == pytest.approx(bandwidth[0] / bandwidth[1])


def test_the_table_follows_the_parts_drawn():
    table = science.kernel_table(science.compared("H100 NVL"))
    for step in science.steps():
        assert (table[step.column] * table[step.old]).tolist() == pytest.approx(table[step.new].tolist())
    assert list(table)[-1] == "bound"
    assert "H100 NVL" in table
    assert len(science.steps()) == len(facts.drawn()) - 1


def test_the_slope_ends_at_the_ridge():
    newest = facts.drawn()[-1]
    points = science.vector_kernels(newest)
    assert (points.slope == (points.intensity < 0.9 * science.ridge_flop_per_byte(newest))).all()


def test_the_gain_of_dpx_is_the_product_of_its_parts():
    found = science.dpx_gain(science.cell_updates(facts.drawn()))
    assert found.clock * found.dpx == pytest.approx(found.smith_waterman)
    assert found.dpx == pytest.approx(10.05 / 5.86)


def test_a_day_by_hand():
    lab = default().model_copy(update={"hpc_hours_per_day": 6.0, "busy_fraction": 0.25})
    found = science.day(lab, "H100 SXM", 8)
    assert (found.science_hours, found.serving_hours, found.idle_hours) == (6, 6, 18)
    assert (found.used_fraction, found.free_gpu_hours) == (0.5, 96)
    assert found.fits
    assert not science.day(lab, "H100 SXM", 2).fits


def test_the_check_names_measurements_with_their_sources():
    checked = science.check()
    assert set(checked.source) <= set(facts.references())
    assert ((1 + checked.error) * checked.measured).tolist() == pytest.approx(checked.predicted.tolist())
