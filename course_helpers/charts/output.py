"""How a notebook shows a figure: as an image with alternative text, and dark where the page is dark."""

from __future__ import annotations

from html import escape

from IPython.core.pylabtools import print_figure
from IPython.display import display
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

# A picture cannot know its page, but the page can turn it: white becomes the dark theme's own ground, and
# colours keep their hue. In JupyterLab and its HTML export, in VS Code and in Colab.
DARK = (
    "<style>body[data-jp-theme-light=false] .course-figure, body.vscode-dark .course-figure, "
    "html[theme=dark] .course-figure {filter: invert(.93) hue-rotate(180deg)}</style>"
)


def to_html(figure: Figure, png: str, alternative: str) -> str:
    """`figure`, of which `png` is the picture in base64, as an image that says `alternative`."""
    *color, alpha = to_rgba(figure.get_facecolor())
    turned = "course-figure" if alpha > 0.5 and sum(color) > 1.5 else ""  # one on black is dark already
    image = f'<img class="{turned}" style="max-width: 100%" alt="{escape(alternative)}"'
    return f'{DARK}{image} src="data:image/png;base64,{png}">'


def show(figure: Figure, alternative: str) -> None:
    """Displays `figure` in a notebook.

    JupyterLab and nbconvert give an `image/png` no alternative text, whatever its metadata says (seen with
    JupyterLab 4.6 and nbconvert 7.17), so a page gets HTML; the bare picture is for what takes no HTML.
    """
    png = print_figure(figure, base64=True)
    bundle = {"text/html": to_html(figure, png, alternative), "image/png": png, "text/plain": repr(figure)}
    display(bundle, raw=True, metadata={"image/png": {"alt": alternative}})
