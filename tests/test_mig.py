"""MIG placements against NVIDIA's rules, and the packer against brute force."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import facts, mig
from hopperbook.errors import InputError

GPUS = ["A100 SXM 40GB", "A100 SXM 80GB", "H100 SXM", "H100 NVL", "H200 SXM", "B200 SXM", "GB300", "RTX PRO 6000"]


@pytest.mark.parametrize("gpu", GPUS)
def test_layouts_obey_the_rules(gpu):
    known = mig.profiles(gpu)
    for layout in mig.layouts(gpu):
        slices = [start + i for name, start in layout for i in range(known[name].memory_slices)]
        assert len(slices) == len(set(slices))
        assert max(slices) < mig.MEMORY_SLICES
        assert sum(known[name].slices for name, _ in layout) <= mig.COMPUTE_SLICES


@pytest.mark.parametrize("gpu", GPUS)
def test_most_instances_of_one_kind(gpu):
    table = next(row for row in facts.records("mig") if facts.gpu(gpu).name in row["gpus"])
    for name in mig.profiles(gpu):
        most = max(sum(n == name for n, _ in layout) for layout in mig.layouts(gpu))
        assert most == table["profiles"][name]["count"], name


def test_well_known_mixes():
    # nvidia-mig-user-guide: 4g + 2g + 1g and 3g + 3g fill a card; 4g + 3g is legal; 4g + 4g is not
    assert len({p.card for p in mig.pack({"a": "4g.40gb", "b": "2g.20gb", "c": "1g.10gb"}, "H100 SXM")}) == 1
    assert len({p.card for p in mig.pack({"a": "4g.40gb", "b": "3g.40gb"}, "H100 SXM")}) == 1
    assert len({p.card for p in mig.pack({"a": "4g.40gb", "b": "4g.40gb"}, "H100 SXM")}) == 2


def brute_force(wanted, gpu):
    """Fewest cards by trying every split of the services into cards."""
    known = mig.profiles(gpu)
    ways = [tuple(name for name, _ in layout) for layout in mig.layouts(gpu)]

    def fits(names):
        return any(
            all(
                known[seat].slices >= known[n].slices and known[seat].memory_bytes >= known[n].memory_bytes
                for n, seat in zip(names, seats, strict=True)
            )
            for way in ways
            for seats in itertools.permutations(way, len(names))
        )

    for cards in range(1, len(wanted) + 1):
        for split in itertools.product(range(cards), repeat=len(wanted)):
            if all(fits([w for w, c in zip(wanted, split, strict=True) if c == card]) for card in range(cards)):
                return cards
    return len(wanted)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb"]), min_size=1, max_size=4))
def test_packing_is_as_good_as_brute_force(wanted):
    placed = mig.pack({f"s{i}": name for i, name in enumerate(wanted)}, "H100 SXM")
    assert len(placed) == len(wanted)
    assert 1 + max(p.card for p in placed) == brute_force(wanted, "H100 SXM")


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from(["1g.18gb", "2g.35gb", "3g.71gb"])))
@settings(max_examples=30, deadline=None)
def test_nothing_overlaps(services):
    seen = set()
    for p in mig.pack(services, "H200 SXM"):
        cells = {(p.card, p.start + i) for i in range(p.profile.memory_slices)}
        assert not cells & seen
        assert p.start in p.profile.starts
        seen |= cells


def test_unknown_profiles_are_refused():
    with pytest.raises(InputError, match="nearest: 1g.10gb"):
        mig.pack({"chat": "1g.10g"}, "H100 SXM")
    with pytest.raises(InputError):
        mig.profiles("H300")


def test_an_instance_is_a_small_gpu():
    whole = mig.instance("H100 SXM", "7g.80gb")
    assert whole.memory_bandwidth_bytes_per_s == facts.gpu("H100 SXM").memory_bandwidth_bytes_per_s
    assert mig.instance("H100 SXM", "1g.10gb").nvlink_bytes_per_s_per_direction == 0
