"""Names and tags that try to be something else: markup, scripts, terminal commands, formulas, other cells."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift import console
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.core.text import markdown, markup, printable

SCRIPT = "</script><script>alert(1)</script>"
NASTY = [
    SCRIPT,
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)",
    "]]><!--<![CDATA[",
    "a\x1b[2Jb\x07\x9b31m",
    "\u202egnp.tif",
    "{{7*7}} ${x} %s {0}",
    "$\\frac{1$",
    "a|b\n| c | `d` [e](javascript:alert(1))",
    "[bold red]x[/] :boom: [/nothing]",
    "\x00\ufffe\ud800",
]


def field(text: str) -> DisplacementField:
    """A small field whose every tag is `text`."""
    grid = Grid(12, 14, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
    ones = torch.linspace(-1, 1, 12 * 14).reshape(grid.shape)
    none = torch.zeros(grid.shape, dtype=torch.uint8)
    tags = ("BEFORE", "AFTER", "METHOD", "BEFORE_DATE", "AFTER_DATE", "OTHER", text)
    return DisplacementField(ones, -ones, ones, ones, ones, none, grid, dict.fromkeys(tags, text))


class Page(HTMLParser):
    """Counts what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts, self.images, self.handlers = 0, 0, []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.images += tag == "img"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def seen(page: str, plain: str) -> None:
    """The page makes a browser do what the same page with a plain name does, and can be written."""
    nasty, tame = Page(page), Page(plain)
    assert (nasty.scripts, nasty.images, nasty.handlers) == (tame.scripts, tame.images, [])
    page.encode()
    assert "\x1b" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize("text", NASTY)
def test_the_terminal_gets_no_command(text, capsys):
    console.out(text)
    console.tell(text)
    console.warn(text)
    console.fail(text)
    told = capsys.readouterr()
    for stream in (told.out, told.err):
        stream.encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", stream)


@pytest.mark.parametrize("text", NASTY)
def test_a_page_of_the_terminal_shows_names_as_they_are(text, capsys):
    from rich.table import Table

    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.show(table)
    shown = capsys.readouterr().out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", shown)
    if text.startswith("[bold"):
        assert "[bold red]x[/] :boom: [/nothing]" in shown


def test_colours_of_a_page_stay_on_a_terminal(monkeypatch, capsys):
    from rich.text import Text

    monkeypatch.setenv("FORCE_COLOR", "1")
    console.show(Text("a\x1b[2Jb", style="red"))
    assert "\x1b[31ma\\x1b[2Jb\x1b[0m" in capsys.readouterr().out


def test_the_page_of_a_field_escapes_names_and_tags():
    pytest.importorskip("bokeh", reason="needs bokeh")
    from terrashift.page.html import Extras, page

    pages = []
    for text in ("".join(NASTY), "plain"):
        made = page(field(text), Extras(text, notes=(text,)))
        pages.append(made[:2000] + made[made.index("<body>") :])  # not the libraries between
    seen(*pages)
    assert markup(SCRIPT) in pages[0]


@pytest.mark.parametrize("text", NASTY)
def test_the_page_of_an_evaluation_escapes_it(text):
    from terrashift.evaluate.page import page
    from terrashift.evaluate.run import Outcome, Record
    from terrashift.evaluate.table import markdown as table

    def outcome(name: str) -> Outcome:
        records = [Record(name, name, name, name, {"epe": 0.1}), Record(name, name, name, "b", {}, name)]
        facts = {"command": name, "when": name, "machine": name, "suites": {name: name}, "settings": {"version": name}}
        return Outcome(records, facts)

    seen(page(outcome(text), {text: ("epe",)}, text, []), page(outcome("x"), {"x": ("epe",)}, "x", []))
    written = table(outcome(text), {text: ("epe",)}, text)
    assert f"| {markdown(text)} |" in written


@pytest.mark.parametrize("text", NASTY)
def test_the_slider_escapes_it(text, tmp_path):
    from terrashift.plot.slider import slider_page
    from terrashift.register.preview import Preview

    pages = []
    for name in (text, "plain"):
        image = torch.ones(4, 5)
        slider_page(Preview(image, image, image, 0, 0), name, {name: name}, tmp_path / "a.html")
        pages.append((tmp_path / "a.html").read_text(encoding="utf-8"))
    seen(*pages)


@pytest.mark.parametrize("text", NASTY)
def test_arrows_for_globes_and_maps_are_whole(text, tmp_path):
    from terrashift.io.exchange.formats import write_any

    write_any(field(text), tmp_path / "a.kmz")
    root = ElementTree.fromstring(zipfile.ZipFile(tmp_path / "a.kmz").read("doc.kml"))
    about = root[0].findtext("{http://www.opengis.net/kml/2.2}description") or ""
    assert " ".join(printable(text).split()) in " ".join(about.split())
    assert len(list(root.iter("{http://www.opengis.net/kml/2.2}Placemark"))) == 12 * 14
    write_any(field(text), tmp_path / "a.geojson")
    assert (
        json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["terrashift_field"]["tags"]["METHOD"] == text
    )


@pytest.mark.parametrize("text", NASTY)
def test_a_map_is_drawn_with_it_and_without_a_warning(text, tmp_path):
    from terrashift.plot.maps import quicklook

    quicklook(field(text), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size


@pytest.mark.parametrize("text", NASTY)
def test_a_card_keeps_its_table(text):
    from terrashift.simulate.card import page, summary

    record = {"place": text, "dates": [text], "sensor": text, "licence": text, "source": text, "pixel_m": 10.0}
    record |= {"generator": "rupture", "histogram": [1, *[0] * 12], "offset_of_dates_px": None}
    about = {"kind": "rupture", "pairs": 1, "version": "1", "seed": 0, "command": text, "size_px": [8, 8]}
    about |= {"stored_as": "npz", "split": None, "convention": "c"}
    written = page(about | summary([record]))
    row = next(line for line in written.splitlines() if line.startswith(f"| {markdown(text)} |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
    assert "<" not in written.replace("</", "").split("## Places")[1].split("## Motion")[0]


def test_a_formula_in_a_title_that_a_user_gave_is_drawn_or_refused(tmp_path):
    from terrashift.errors import OptionError
    from terrashift.plot.publication import Overlay, PlotOptions, draw_figure

    draw_figure(field("x"), tmp_path / "a.png", PlotOptions(title="$M_w$ 7.1 for 5\\$"), Overlay())
    with pytest.raises(OptionError, match=r"formula that cannot be drawn.*write \\\$ for a dollar"):
        draw_figure(field("x"), tmp_path / "b.png", PlotOptions(title="$\\frac{1$"), Overlay())
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("text", NASTY)
def test_escapes_are_plain_text_that_can_be_written(text):
    for made in (printable(text), markup(text), markdown(text)):
        made.encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", made)
    assert not re.search("[<>\"']", markup(text))
    assert "\n" not in markdown(text)


def test_honest_names_stay_as_they_are():
    honest = "T33UUU_20230115 – Île de Ré 東京 (B04)\tµm\n"
    assert printable(honest) == honest
    assert np.all([markup("a b") == "a b", markdown("a_b*c 1 µm") == "a_b*c 1 µm"])
