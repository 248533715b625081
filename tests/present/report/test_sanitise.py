"""HTML of other people holds nothing that runs, loads or lies about the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.present.report.sanitise import Fragments

ALLOWED_SCHEMES = ("#", "http://", "https://", "mailto:")
SHARDS = st.sampled_from(
    (
        *("<h1>", "</h1>", '<h2 id="snb-x" title="a><h3>b">', "</h2>", "<p title='\">x'>", '"', "'", ">", "<", "&lt;", "pwd=hunter22"),
        *("<a href='#no'>", "</a>", "<svg>", "</svg>", "<script>alert(1)</script>", "<style>x</style>", "<img src=x onerror=alert(1)>"),
        *("<math><mi><style>", " onclick=alert(1) ", "<td class='snb-x y'>", "<!--", "-->", "]]>", "\x00"),
    )
)


class _Checked(HTMLParser):
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style", "iframe", "object", "embed", "base", "form", "input", "link", "meta", "math"}
        for name, value in attrs:
            assert not name.startswith("on")
            assert name != "style"
            if name == "href":
                assert str(value).lower().startswith(ALLOWED_SCHEMES)
            if name == "src":
                assert str(value).startswith("data:image/")


def check(html: str) -> None:
    parser = _Checked()
    parser.feed(html)
    parser.close()


@given(st.lists(SHARDS | st.text(max_size=6), max_size=12).map("".join))
def test_no_mixture_of_shards_gets_through(markup: str) -> None:
    """Whatever is put together, no active element or attribute is left, also after headings, words and links were rewritten."""
    fragments = Fragments()
    pieces = [fragments.text(markup), fragments.output(markup)]
    for piece in pieces:
        check(fragments.linked(piece))


def test_headings_inside_attributes_are_left_alone() -> None:
    """A heading written into an attribute is no heading: rewriting it would end the attribute."""
    fragments = Fragments()
    out = fragments.output('<p title="<h1>x</h1>" class="snb-a">y</p><h1>real</h1>')
    assert '<p title="' in out
    assert out.endswith("<h2>real</h2>")
    check(out)


def test_headings_never_skip_a_level() -> None:
    """The page has its own first heading; others follow in order, and those of the text are listed."""
    fragments = Fragments()
    text = fragments.text("<h1>One</h1><h4>Deep &amp; <em>low</em></h4>")
    shown = fragments.output("<h6>Out</h6>")
    assert re.findall(r"<h(\d)", text + shown) == ["2", "3", "4"]
    assert [(heading.level, heading.words) for heading in fragments.headings] == [(2, "One"), (3, "Deep & low")]


def test_ids_are_ours_and_unique() -> None:
    """A second element with the same id loses it, and foreign ids and classes go."""
    fragments = Fragments()
    out = fragments.output('<i id="snb-ref-a">x</i><i id="snb-ref-a">y</i><i id="body" class="evil snb-note">z</i>')
    assert out == '<i id="snb-ref-a">x</i><i>y</i><i class="snb-note">z</i>'


def test_links_that_lead_nowhere_lose_their_target() -> None:
    """A reference to a row that is not on the page is text, one that is stays a link."""
    fragments = Fragments()
    out = fragments.output('<a href="#snb-a">yes</a><a href="#snb-b">no</a><i id="snb-a">x</i><code>href="#snb-b"</code>')
    linked = fragments.linked(out)
    assert 'href="#snb-a"' in linked
    assert linked.count("#snb-b") == 1


@pytest.mark.parametrize("address", ["http://x/p.png", "x", "data:text/html,<b>", "data:image/svg+xml;base64,AAAA", "//x/y"])
def test_pictures_never_load_anything(address: str) -> None:
    """Only pictures that are in the page stay; drawings are shown as pictures elsewhere."""
    assert "<img" not in Fragments().output(f'<img src="{address}" alt="a">')


def test_what_is_harmless_stays() -> None:
    """Pictures that are in the page and links that a person follows are kept."""
    kept = '<img src="data:image/png;base64,AAAA" alt="a"><a href="mailto:a@b.example">m</a><a href="https://x/">w</a>'
    out = Fragments().output(kept)
    assert '<img src="data:image/png;base64,AAAA" alt="a">' in out
    assert 'href="mailto:a@b.example"' in out
    assert 'href="https://x/"' in out


@pytest.mark.parametrize("tag", ["script", "style", "template", "iframe", "object", "math", "noscript"])
def test_what_is_not_meant_to_be_read_goes_with_its_content(tag: str) -> None:
    """Words inside of what runs or is hidden are no words of the page."""
    assert Fragments().output(f"<p>a</p><{tag}>gone</{tag}><p>b</p>") == "<p>a</p><p>b</p>"


def test_words_are_redacted() -> None:
    """Secrets go from words and attributes, also when they are written with entities."""
    out = Fragments().output('<td title="password=hunter22">{&quot;token&quot;: &quot;abc&quot;}</td><p title="password=hunter22">x</p>')
    assert "hunter22" not in out
    assert "abc" not in out
