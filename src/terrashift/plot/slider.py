"""One self-contained page on which two images are compared by a slider or by flickering."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np

from ..core.text import markup
from ..io.atomic import atomic_write_text
from ..register.preview import Preview
from .registration import stretched

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; padding: 0 1rem; max-width: 60rem; color: #222; }}
#stage {{ position: relative; width: min(100%, {width}px); aspect-ratio: {columns} / {rows}; background: #888; }}
#stage img {{ position: absolute; inset: 0; width: 100%; height: 100%; image-rendering: pixelated; }}
#line {{ position: absolute; top: 0; bottom: 0; width: 2px; background: #f5b301; pointer-events: none; }}
input[type=range] {{ width: min(100%, {width}px); }}
button, label {{ margin-right: .8rem; }}
table {{ border-collapse: collapse; }} td {{ padding: .1rem .8rem .1rem 0; }}
</style></head><body>
<h1>{title}</h1>
<p id="keys">
<button id="flicker" type="button">Flicker</button>
<label><input type="radio" name="which" value="after" checked> registered</label>
<label><input type="radio" name="which" value="before"> as it was</label>
</p>
<div id="stage">
<img id="reference" alt="reference" src="{reference}">
<img id="after" alt="moving image, registered" src="{after}">
<img id="before" alt="moving image, as it was" src="{before}" hidden>
<div id="line"></div>
</div>
<input id="cut" type="range" min="0" max="100" value="50" aria-label="where the images meet">
<p>Left of the line: the reference. Right of it: the moving image.</p>
<table>{numbers}</table>
<script>
const stage = id => document.getElementById(id);
let timer = null, seen = true;
function draw() {{
  const which = document.querySelector('input[name=which]:checked').value;
  const cut = timer === null ? Number(stage('cut').value) : (seen ? 0 : 100);
  for (const name of ['before', 'after']) {{
    stage(name).hidden = name !== which;
    stage(name).style.clipPath = `inset(0 0 0 ${{cut}}%)`;
  }}
  stage('line').style.left = cut + '%';
  stage('line').hidden = timer !== null;
}}
stage('cut').addEventListener('input', draw);
document.querySelectorAll('input[name=which]').forEach(one => one.addEventListener('change', draw));
stage('flicker').addEventListener('click', () => {{
  if (timer === null) timer = setInterval(() => {{ seen = !seen; draw(); }}, 500);
  else {{ clearInterval(timer); timer = null; }}
  stage('flicker').textContent = timer === null ? 'Flicker' : 'Stop';
  draw();
}});
draw();
</script></body></html>
"""


def slider_page(shown: Preview, title: str, numbers: dict[str, str], path: Path) -> None:
    """Write the page: reference on the left, moving image on the right of a line that follows a slider.

    The pictures are inside the page, which loads nothing.

    Args:
        shown: the window that is compared.
        title: of the page.
        numbers: to be listed below, in words.
        path: file to write; an existing one is replaced.

    Raises:
        OutputError: where the file cannot be written.
    """
    after = shown.after.numpy()
    rows, columns = after.shape
    page = PAGE.format(
        title=markup(title),
        width=max(columns, 480),
        rows=rows,
        columns=columns,
        reference=_as_url(stretched(shown.reference.numpy(), shown.reference.numpy())),
        before=_as_url(stretched(shown.before.numpy(), after)),
        after=_as_url(stretched(after, after)),
        numbers="".join(f"<tr><td>{markup(name)}</td><td>{markup(value)}</td></tr>" for name, value in numbers.items()),
    )
    atomic_write_text(path, page)


def _as_url(image: np.ndarray) -> str:
    """A grey image as a data URL of a PNG."""
    from matplotlib.image import imsave

    buffer = BytesIO()
    imsave(buffer, image, cmap="gray", vmin=0, vmax=1, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
