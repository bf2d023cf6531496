"""The search for banned phrases finds them; that there are none is a part of `make check`."""

import pytest

from tests.support.phrases import banned, found_in


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("A dear\nlook-up", "dear"),
        ("It is NO tick", "is NO tick"),
        ("a home of its own", "of its own"),
        ("waits for ever", "for ever"),
    ],
)
def test_a_banned_phrase_is_found_with_its_line(text, phrase):
    assert [(line, found) for line, found, _ in found_in(f"first\n{text}")] == [(2, phrase)]


def test_parts_of_words_are_not_phrases():
    assert list(found_in("heartbeats besides forever clearly; this is not a tick")) == []


def test_every_phrase_says_what_to_write_instead():
    assert all(banned().values())
