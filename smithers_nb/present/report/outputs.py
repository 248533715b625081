"""What a notebook's cells say and show, as pieces of a page.

Gets markdown text and cell outputs (nbformat); gives safe HTML. Of several forms of one output the best that needs no foreign script
is taken: a plotly figure with its still twin, HTML, a picture, markdown, text. Widgets are never embedded.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.present.html.cards import banner, details, note
from smithers_nb.present.html.markup import Html, escape, h, join
from smithers_nb.present.html.text import shown, without_ansi
from smithers_nb.present.report.secrets import has_telling_heading, redacted_columns, redacted_svg
from smithers_nb.present.timeline.plotly_figure import PLOTLY_MIMETYPE
from smithers_nb.redact import redact_value

if TYPE_CHECKING:
    from smithers_nb.present.report.sanitise import Fragments

_WIDGET: Final = "application/vnd.jupyter.widget-view+json"
_MAX_TEXT: Final = 60_000
_MAX_HTML: Final = 2_000_000
_MAX_FIGURE: Final = 600_000
_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
_JSON_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})

Bundle = Mapping[str, Any]


class Outputs:
    """Turns the outputs of one notebook into pieces of a page.

    Attributes:
        figures: JSON of the live figures so far; the piece at a place says which it shows.
    """

    def __init__(self, fragments: Fragments) -> None:
        self.figures: list[Html] = []
        self._fragments = fragments

    def of_cell(self, outputs: Sequence[Bundle]) -> Html:
        """Show all outputs of one cell; what a stream wrote in pieces is one piece."""
        return join(self._one(output) for output in _streams_joined(outputs))

    def markdown(self, source: str) -> Html:
        """Render markdown of a cell."""
        return self._fragments.text(rendered_markdown(source))

    def _one(self, output: Bundle) -> Html | None:
        kind = output.get("output_type")
        if kind == "stream":
            return _stream(output)
        if kind == "error":
            return error_piece(output)
        data = output.get("data")
        return self._data(data) if isinstance(data, Mapping) else None

    def _data(self, data: Bundle) -> Html | None:
        shows: tuple[tuple[str, Callable[[Bundle], Html]], ...] = (
            (PLOTLY_MIMETYPE, self._figure),
            (_WIDGET, _widget),
            ("text/html", self._html),
            ("image/svg+xml", _svg_picture),
            *((mimetype, _picture(mimetype)) for mimetype in _PICTURES),
            ("text/markdown", lambda bundle: self._fragments.output(rendered_markdown(text_of(bundle["text/markdown"])))),
            ("text/latex", lambda bundle: _pre(text_of(bundle["text/latex"]))),
            ("application/json", lambda bundle: _pre(json.dumps(redact_value(bundle["application/json"]), indent=2, ensure_ascii=False))),
            ("text/plain", lambda bundle: _pre(text_of(bundle["text/plain"]))),
        )
        show = next((show for mimetype, show in shows if mimetype in data and (show != self._figure or _is_figure(data[mimetype]))), None)
        return show(data) if show else None

    def _html(self, data: Bundle) -> Html:
        markup = text_of(data["text/html"])
        if len(markup) > _MAX_HTML:
            remark = note(
                f"A table or page of {len(markup):,} characters is left out; its plain text is shown instead.", state="problem"
            ).html
            return remark if has_telling_heading(markup) else join([remark, _pre(text_of(data.get("text/plain", "")))])
        return self._fragments.output(markup)

    def _figure(self, data: Bundle) -> Html:
        traces = [redacted_columns(trace) if isinstance(trace, Mapping) else trace for trace in data[PLOTLY_MIMETYPE].get("data") or ()]
        spec = {"data": traces, "layout": _without_pictures(data[PLOTLY_MIMETYPE].get("layout"))}
        blob = json_block(redact_value(spec))
        title = _title(spec["layout"]) or "Figure"
        markup = text_of(data.get("text/html", ""))
        twin = self._fragments.output(markup) if "snb-twin" in markup else _no_twin(title, data)
        if len(blob) > _MAX_FIGURE:
            return twin
        self.figures.append(blob)
        live = h("div", class_="snb-plot", data_figure=f"snb-figure-{len(self.figures)}", role="group", aria_label=f"{title}, live figure")
        return h("div", live, twin, class_="snb-figure")


def error_piece(output: Bundle) -> Html:
    """Show what stopped a cell: the reason in words, the traceback behind it."""
    trace = without_ansi("\n".join(map(str, output.get("traceback", ()))))
    reason = f"{output.get('ename', 'Error')}: {without_ansi(str(output.get('evalue', '')))}"
    said = banner("This step stopped with an error", reason).html
    return join([said, details("Traceback", trace, limit=_MAX_TEXT).html if trace else None])


def rendered_markdown(source: str) -> str:
    """Render markdown to HTML that still has to be sanitised."""
    import mistune

    render = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])
    return str(render(source))


def json_block(value: Any) -> Html:
    """Write JSON so that it can lie inside a `script` element; numbers that JSON does not know become null."""
    plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
    return Html(json.dumps(plain, separators=(",", ":")).translate(_JSON_ESCAPES))


def text_of(value: Any) -> str:
    """Read a text that notebooks may keep as a list of lines."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _streams_joined(outputs: Sequence[Bundle]) -> list[Bundle]:
    joined: list[Bundle] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.get("output_type") == last.get("output_type") == "stream" and output.get("name") == last.get("name"):
            joined[-1] = {**last, "text": text_of(last.get("text", "")) + text_of(output.get("text", ""))}
        else:
            joined.append(output)
    return joined


def _stream(output: Bundle) -> Html | None:
    text = without_ansi(text_of(output.get("text", "")))
    if not text.strip():
        return None
    return details("Messages on standard error", text, limit=_MAX_TEXT).html if output.get("name") == "stderr" else _pre(text)


def _pre(text: str) -> Html:
    return h("pre", escape(without_ansi(text), _MAX_TEXT), class_="snb-pre", tabindex="0")


def _widget(data: Bundle) -> Html:
    if "text/html" in data or "text/plain" not in data:
        return note("A live control was here; it works in the notebook only.").html
    return note(f"A live control was here; it works in the notebook only: {text_of(data['text/plain'])[:120]}").html


def _picture(mimetype: str) -> Callable[[Bundle], Html]:
    def show(data: Bundle) -> Html:
        try:
            picture = base64.b64decode("".join(text_of(data[mimetype]).split()), validate=True)
        except (binascii.Error, ValueError):
            picture = b""
        if not picture:
            return note("A picture that cannot be read is left out.", state="problem").html
        return _image(f"data:{mimetype};base64,{base64.b64encode(picture).decode()}", text_of(data.get("text/plain", "")))

    return show


def _svg_picture(data: Bundle) -> Html:
    """A drawing of unknown origin is shown as a picture, where no script of it can run."""
    drawing = redacted_svg(text_of(data["image/svg+xml"]))
    if drawing is None:
        return note("A drawing that cannot be read, or shows a secret, is left out.", state="problem").html
    packed = base64.b64encode(drawing.encode("utf-8", "replace")).decode()
    return _image(f"data:image/svg+xml;base64,{packed}", text_of(data.get("text/plain", "")))


def _image(address: str, words: str) -> Html:
    from html import escape

    return Html(f'<img class="snb-picture" src="{address}" alt="{escape(shown(words, 200) or "Picture made by this step")}">')


def _without_pictures(layout: Any) -> Any:
    """Drop pictures from a layout: they may name addresses."""
    return {key: value for key, value in layout.items() if key not in {"images", "template"}} if isinstance(layout, Mapping) else {}


def _is_figure(spec: Any) -> bool:
    """Return whether the value of an output can be a figure of plotly: anybody may call anything one."""
    return isinstance(spec, Mapping) and isinstance(spec.get("data") or [], list)


def _title(layout: Any) -> str:
    title = layout.get("title") if isinstance(layout, Mapping) else None
    words = title.get("text") if isinstance(title, Mapping) else title
    return shown(words, 200) if isinstance(words, str) else ""


def _no_twin(title: str, data: Bundle) -> Html:
    words = f"{title}: a live figure of {len(data[PLOTLY_MIMETYPE].get('data') or ())} traces, drawn where scripts may run."
    return h("figure", h("figcaption", words), class_="snb-twin")
