"""Random requests for tags."""

from __future__ import annotations

from hypothesis import strategies as st

from otto_docker_sync.reservations.request import Request

TAGS = "abcde"


@st.composite
def requests(draw: st.DrawFn, request_id: str = "one") -> Request:
    """One request: of one or several sets of tags, shared or not."""
    tags = st.lists(st.sampled_from(TAGS), min_size=1, max_size=3, unique=True)
    choices = draw(st.lists(tags, min_size=1, max_size=3))
    return Request(
        id=request_id,
        choices=tuple(tuple(sorted(each)) for each in choices),
        count=draw(st.integers(1, len(choices))),
        shared=draw(st.booleans()),
        priority=draw(st.integers(-1, 1)),
    )
