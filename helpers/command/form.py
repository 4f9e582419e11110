"""The form below a chapter's parameters cell: its parameters, buttons, and what came of each step and check."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from helpers.command import given, work
from helpers.command.work import Work
from helpers.core import show
from helpers.core.errors import BadInput
from helpers.core.notebooks import Notebook
from helpers.core.parameters import Parameter
from helpers.core.target import Target

MODES = {"plan": "show what install would do", "install": "make it so, and prove it", "verify": "ask, change nothing"}
WORDS = {"waiting": "·", "running": "…", **show.MARKS}
_LABEL, _FIELD = {"width": "11em"}, {"width": "17em"}


class Form:
    """Widgets of one chapter. names: the kernel's, whose values a valid field changes. Nothing without ipywidgets."""

    def __init__(self, notebook: Notebook, names: dict[str, Any]):
        self.notebook, self.names = notebook, names
        self.work: Work | None = None

    def show(self) -> None:
        try:
            self.widgets = import_module("ipywidgets")
        except ImportError:
            return
        parameters = [p for p in self.notebook.parameters.values() if p.name != "mode"]
        self.fields = {p.name: Field(p, self) for p in parameters}
        self._buttons = {mode: self._button(mode, partial(self._start, mode), tip) for mode, tip in MODES.items()}
        titles = [title for kind, title in work.titles(self.notebook) if kind == "step"]
        self._steps = self.widgets.Dropdown(options=titles, layout={"width": "28em"})
        self._buttons["this step only"] = self._button(
            "this step only", self._start_step, "apply this one, ask the others"
        )
        self._stop = self._button("stop", self._end, "end what runs; what was done is kept")
        self._stop.disabled = True
        self._status, self._table, self._log = (self.widgets.HTML() for _ in range(3))
        box = self.widgets.VBox([*(f.row for f in self.fields.values()), *self._bars()])
        box.add_class("runbook-form")
        self._settle()
        import_module("IPython.display").display(box)

    def _bars(self) -> list[Any]:
        modes, only = [self._buttons[m] for m in MODES], self._buttons["this step only"]
        rows = [self.widgets.HBox([*modes, self._stop]), self.widgets.HBox([self._steps, only])]
        return [*rows, self._status, self._table, self._log]

    def _button(self, name: str, call: Callable[[], None], tip: str) -> Any:
        button = self.widgets.Button(description=name, tooltip=tip)
        button.add_class("runbook-" + name.replace(" ", "-"))
        button.on_click(partial(_without_its_button, call))
        return button

    # -- what a person does ------------------------------------------------------------------------

    def changed(self) -> None:
        """A field has another value: buttons wait until all fit, and the cells below see what fits."""
        for name, field in self.fields.items():
            if not field.problem:
                self.names[name] = field.value
        self._settle()

    def _settle(self) -> None:
        busy = self.work is not None and self.work.busy
        for button in self._buttons.values():
            button.disabled = busy or any(field.problem for field in self.fields.values())
        self._stop.disabled = not busy

    def _start(self, mode: str, step: str = "") -> None:
        values = {name: field.value for name, field in self.fields.items()}
        self.work = Work(self.notebook, values, mode, step, self._draw)
        self.work.start()
        self._settle()

    def _start_step(self) -> None:
        self._start("install", str(self._steps.value))

    def _end(self) -> None:
        if self.work:
            self.work.stop()

    # -- what is seen ------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Called by the work as it goes, and once more when it has ended."""
        seen = self.work
        if seen is None:
            return
        error = f"<pre>{html.escape(seen.error)}</pre>" if seen.error else ""
        self._table.value = _table(seen)
        self._log.value = f"<pre style='font-size:80%'>{html.escape(seen.tail())}</pre>"
        # The last word comes last: the page draws one after the other.
        self._status.value = f"<b>{html.escape(seen.said)}</b> {seen.seconds:.0f} s {html.escape(seen.note)}{error}"
        if not seen.busy:
            self._settle()


def _without_its_button(call: Callable[[], None], _: Any) -> None:
    call()


def _table(seen: Work) -> str:
    rows: list[str] = []
    for (kind, title), (state, note) in seen.rows.items():
        colour = show.COLOURS.get(state, "#57606a")
        mark = WORDS.get(state, "·").strip("‹›")
        rows.append(
            f'<tr class="is-{state.replace(" ", "-")}"><td style="color:{colour}">{mark}</td><td>{kind}</td>'
            f"<td>{html.escape(title)}</td><td><small>{html.escape(show.shortened(note))}</small></td></tr>"
        )
    return f'<table class="runbook-checks">{"".join(rows)}</table>'


class Field:
    """A parameter as a row: name, what takes its value, its comment, and why a value does not fit."""

    def __init__(self, parameter: Parameter, form: Form):
        self.parameter, self.form = parameter, form
        self.value: Any = form.names.get(parameter.name, parameter.default)
        self.problem = ""
        w = form.widgets
        self._input = self._made(w)
        self._input.add_class("runbook-field-" + parameter.name)
        self._refusal = w.HTML()
        self._input.observe(self._changed, names="value")
        label = w.HTML(f"<code>{parameter.name}</code>", layout=_LABEL)
        comment = w.HTML(f"<small>{html.escape(parameter.help)}</small>")
        self.row = w.HBox([label, self._input, w.VBox([comment, self._refusal])])

    def _made(self, w: Any) -> Any:
        example: object = self.parameter.default
        several = isinstance(example, list)
        if isinstance(example, bool):
            return w.Checkbox(value=bool(self.value), indent=False, layout=_FIELD)
        if self.parameter.choices and not several:
            choices = list(dict.fromkeys([*self.parameter.choices, str(self.value)]))
            return w.Dropdown(options=choices, value=str(self.value), layout=_FIELD)
        text = ", ".join(str(item) for item in self.value) if several else str(self.value)
        return w.Text(value=text, layout=_FIELD)

    def _changed(self, change: Any) -> None:
        value = self._typed(change["new"])
        self.problem = why_not(self.form.notebook, self.parameter.name, value)
        if not self.problem:
            self.value = value
        said = (
            f'<span class="runbook-refused" style="color:{show.COLOURS["failed"]}">{html.escape(self.problem)}</span>'
        )
        self._refusal.value = said if self.problem else ""
        self.form.changed()

    def _typed(self, said: Any) -> Any:
        if not isinstance(said, str):
            return said
        name = self.parameter.name
        said = f"[{said}]" if isinstance(self.parameter.default, list) else said
        return given.typed({name: said}, {name: self.parameter})[name]


def why_not(notebook: Notebook, name: str, value: Any) -> str:
    """Why a parameter may not have this value; "" when it may."""
    try:
        notebook.check({name: value})
        if name == "target":
            Target.parse(value)
    except BadInput as e:
        return e.saw or e.what
    return ""
