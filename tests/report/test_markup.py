"""The markup: whatever is put into it, only our own tags come out."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from whodid.report.page.markup import Html, badge, join, section, table, tag


class Found(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.data.append(data)


@given(st.text(), st.text())
def test_text_and_attributes_stay_what_they_are(text: str, value: str) -> None:
    found = Found(tag("p", text, title=value))
    assert found.tags == ["p"]
    assert [name for name, _ in found.attributes] == ["title"]


def test_what_would_be_markup_is_shown() -> None:
    evil = "<script>alert('1')</script>&amp;\""
    found = Found(table(evil, (evil,), [(evil, evil, badge(evil, "bad"))], evil))
    assert set(found.tags) == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span"}
    assert set("".join(found.data).split(evil)) == {""}


def test_markup_that_was_joined_with_text_is_text_again() -> None:
    made = tag("b", "x")
    assert join(made) == "<b>x</b>"
    assert join(made + "") == "&lt;b&gt;x&lt;/b&gt;"
    assert isinstance(join(made), Html)


def test_what_would_steer_a_terminal_or_reorder_text_is_replaced() -> None:
    assert tag("p", "a\u202eb\x1b[31m") == "<p>a\ufffdb\ufffd[31m</p>"


def test_a_table_has_a_caption_and_names_its_rows_and_columns() -> None:
    made = table("Holds", ("hold", "entries"), [("h-1", 1234), ("h-2", 0)])
    assert '<th scope="col">hold</th><th scope="col">entries</th>' in made
    assert '<th scope="row">h-1</th><td class="number">1,234</td>' in made
    assert "<caption>Holds</caption>" in made
    assert 'role="region" aria-label="Holds" tabindex="0"' in made


def test_a_table_without_rows_is_a_sentence() -> None:
    assert table("Holds", ("hold",), [], "No hold.") == '<p class="none">No hold.</p>'


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    made = table("Holds", ("hold",), [(number,) for number in range(1700)])
    assert made.count("<tr>") == 501
    assert made.endswith('<p class="more">… and 1,200 more; the JSON has them all.</p>')


def test_a_section_is_named_by_its_heading() -> None:
    made = section("holds", "Holds", None, tag("p", "x"))
    assert made == '<section id="holds" aria-labelledby="holds-title"><h2 id="holds-title">Holds</h2><p>x</p></section>'
