"""What the code says is shown on the site as it is, whatever it is."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.docs.markdown import block, code, text

markdown = pytest.importorskip("markdown", reason="comes with zensical: pip install 'distil[docs]'")
EXTENSIONS = ["admonition", "attr_list", "md_in_html", "tables", "toc", "pymdownx.superfences"]
NASTY = st.text(st.sampled_from(list("ab1 .)`*_[]()<>|#~^${}:!&;\\-+=/\"'\n")), min_size=1, max_size=30)


def shown(source: str) -> str:
    """What a reader sees of it."""
    page = markdown.markdown(source, extensions=EXTENSIONS)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


@settings(max_examples=60)
@given(NASTY)
def test_prose_is_shown_as_it_is(plain: str) -> None:
    words = " ".join(plain.replace("`", "'").split())
    assert shown(text(words)) == words


@settings(max_examples=60)
@given(NASTY.filter(str.strip))
def test_code_is_shown_as_it_is(plain: str) -> None:
    plain = " ".join(plain.split())
    assert shown(f"see {code(plain)} there") == f"see {plain} there"


def test_a_model_that_writes_markup_gets_none() -> None:
    for source in (text("<script>alert(1)</script> [x](javascript:1) **b**"), block("```\n<b>x</b>\n```", "text")):
        page = markdown.markdown(source, extensions=EXTENSIONS)
        assert not re.search(r"<script|<b>|<strong|href", page)
