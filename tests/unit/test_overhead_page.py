"""docs/overhead.md and its picture say what the growth bench found."""

from xml.etree import ElementTree as ET

import pytest

from tests.bench.dialogue import ROOT
from tests.bench.growth_page import BEGIN, END, Large, Many, picture, text, with_growth
from tests.bench.loglog import Curve, Panel, decades, place, svg

MANY = [Many(100, 1900, 2000, 13 << 20), Many(10_000, 250_000, 300_000, 30 << 20)]
LARGE = [
    Large(100, "4k", 500.4, 400.0),
    Large(8192, "4k", 43_210.0, 43_100.0),
    Large(100, "huge", 10.1, 0.0),
    Large(8192, "huge", 220.0, 210.0),
]
_SVG = "{http://www.w3.org/2000/svg}"


def test_the_tables_have_a_row_for_each_finding() -> None:
    """Times are told with three digits and their unit, sizes as people say them."""
    lines = text("a machine", MANY, LARGE).splitlines()

    assert lines[0] == "Measured on a machine."
    assert "| 10,000 | 250 ms | 300 ms | 30 µs | 30.0 MiB |" in lines
    assert "| 8 GiB | 4 KiB pages | 43.2 ms | 43.1 ms |" in lines


def test_a_wait_too_short_to_be_found_is_not_told_as_none() -> None:
    """The target tries ten thousand times a second: what it found of a shorter wait is chance."""
    assert "| 100 MiB | huge pages | 10 µs | under 200 µs |" in text("a machine", MANY, LARGE)


def test_the_findings_replace_those_of_before_and_nothing_else() -> None:
    """What stands before and behind the marks stays, however often the bench writes."""
    page = f"before\n{BEGIN}\n{END}\nbehind\n"

    once = with_growth(page, "first")

    assert once == f"before\n{BEGIN}\n\nfirst\n\n{END}\nbehind\n"
    assert with_growth(once, "first") == once
    assert "first" not in with_growth(once, "second")


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_page_without_marks_is_refused(page: str) -> None:
    """Nothing is written to where nobody would look for it."""
    with pytest.raises(ValueError, match="written by"):
        with_growth(page, "findings")


def test_the_documentation_has_the_place_for_the_findings() -> None:
    """The marks are in the page, each once."""
    page = (ROOT / "docs" / "overhead.md").read_text()

    assert (page.count(BEGIN), page.count(END)) == (1, 1)


def test_the_picture_has_every_finding() -> None:
    """It is well-formed, and has a point for each of the findings and a line for each kind."""
    root = ET.fromstring(picture(MANY, LARGE))  # noqa: S314 - written by ourselves

    assert len(root.findall(f".//{_SVG}circle")) == len(MANY) + len(LARGE)
    assert len(root.findall(f".//{_SVG}path[@d]")) > 3
    assert {"psstop", "4 KiB pages", "huge pages"} <= {element.text for element in root.iter(f"{_SVG}text")}


def test_a_power_of_ten_is_as_wide_as_the_next() -> None:
    """On a logarithmic axis equal ratios have equal distances, and the ends are the ends."""
    axis = list(decades(-1, 3))

    assert axis == pytest.approx([0.1, 1, 10, 100, 1000])
    assert [place(value, axis, 0, 400) for value in axis] == pytest.approx([0, 100, 200, 300, 400])
    assert place(1000, axis, 400, 0) == pytest.approx(0)


def test_labels_are_no_markup() -> None:
    """A label is shown as it is, whatever stands in it."""
    panel = Panel("<b>&", '"x"', decades(0, 1), decades(0, 1), [Curve("a<b", [(1, 1), (10, 10)])])

    drawn = svg([panel], 'says "what" & why')

    assert {"<b>&", '"x"', "a<b"} <= {element.text for element in ET.fromstring(drawn).iter()}  # noqa: S314
    assert ET.fromstring(drawn).get("aria-label") == 'says "what" & why'  # noqa: S314
