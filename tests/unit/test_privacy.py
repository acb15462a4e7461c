"""The privacy page says what the data says."""

from __future__ import annotations

from docs.privacy import PAGE, page


def test_the_privacy_page_is_made_from_the_data_as_it_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"
