"""Limits hold whatever the shape of the page and however small they are."""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from metaembed_rag.pages import Limits

SIDES = st.floats(1e-3, 1e15)


@example(1e-3, 2e13, 10_000, 1.0)
@given(SIDES, SIDES, st.integers(1, 10**8), st.floats(1e-2, 1e4))
def test_no_page_is_drawn_over_the_limit(width, height, pixels, wanted):
    scale = Limits(max_pixels=pixels).scale_within(width, height, wanted)
    assert 0 < scale <= wanted
    # Renderers round sides up.
    assert max(1, math.ceil(width * scale)) * max(1, math.ceil(height * scale)) <= pixels


@given(SIDES, SIDES)
def test_a_limit_that_is_far_away_changes_nothing(width, height):
    scale = 100 / max(width, height)
    assert Limits().scale_within(width, height, scale) == scale
