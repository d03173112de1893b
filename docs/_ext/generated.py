"""Directives that write parts of the documentation from the code, so that the two cannot drift apart."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import typer
from docutils import nodes
from docutils.parsers.rst import directives
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click

from oceanrecon.transform.encode import QUANTITIES, EncodingName, stretch

_TYPE_NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", NoneType: "none"}
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}


class _MarkdownDirective(SphinxDirective, ABC):
    def run(self) -> list[nodes.Node]:
        return list(self.parse_text_to_nodes(self._markdown(), allow_section_headings=True))

    @abstractmethod
    def _markdown(self) -> str: ...

    def named_object(self) -> Any:
        """The object that the argument names as ``package.module:name``; a change of it rebuilds the page."""
        module_name, _, name = self.arguments[0].partition(":")
        module = import_module(module_name)
        self.env.note_dependency(str(module.__file__))
        return getattr(module, name)


class StretchTable(_MarkdownDirective):
    """``{stretch-table}``: range, step and largest error of every quantity in every encoding."""

    def _markdown(self) -> str:
        lines = [
            "| quantity | encoding | range | step | largest error in range |",
            "|:--|:--|:--|--:|--:|",
        ]
        for quantity in QUANTITIES:
            for encoding in get_args(EncodingName):
                code = stretch(quantity, encoding)
                facts = f"{code.minimum:g} to {code.maximum:g} {code.units} | {code.step:.3g} | {code.step / 2:.3g} |"
                lines.append(f"| {quantity.replace('_', ' ')} | `{encoding}` | {facts}")
                if encoding == "uint8":
                    # -127..127 with -128 missing: as many valid codes over the same range
                    lines.append(f"| {quantity.replace('_', ' ')} | `int8` (not written) | {facts}")
        return "\n".join(lines)


class Settings(_MarkdownDirective):
    """``{settings} package.module:Model``: every key of a pydantic model, with type, default and meaning."""

    required_arguments = 1

    def _markdown(self) -> str:
        return settings_text(self.named_object())


def settings_text(model: type[BaseModel]) -> str:
    """The keys of a model and of the models in it, as a Markdown definition list."""
    return "\n".join(_settings(model, ""))


def _settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if not field.description:
            raise ExtensionError(f"setting {key!r} ({model.__module__}.{model.__name__}) has no description: add one")
        limits = [
            f"{words} {getattr(item, limit)}"
            for item in field.metadata
            for limit, words in _LIMITS.items()
            if getattr(item, limit, None) is not None
        ]
        facts = [", ".join([_type_text(field.annotation), *limits]), _default_text(field)]
        yield f"`{key}`\n: {field.description}\n\n  *{' · '.join(facts)}*\n"
        for child, path in _child_models(field.annotation, key):
            yield from _settings(child, f"{path}.")


def _type_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type_text(argument) for argument in arguments)
    if origin in (list, tuple, set, frozenset):
        inner = [argument for argument in arguments if argument is not Ellipsis]
        fixed = origin is tuple and len(inner) == len(arguments)
        if fixed:
            return f"list of {len(inner)}: {', '.join(_type_text(argument) for argument in dict.fromkeys(inner))}"
        return f"list of {_type_text(inner[0])}"
    if origin is dict:
        return f"mapping of {_type_text(arguments[0])} to {_type_text(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _TYPE_NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel):
        return "optional"
    if default is None:
        return "default: none"
    if default == "":
        return "default: empty"
    if isinstance(default, tuple):
        default = list(default)
    text = default if isinstance(default, str) else json.dumps(default, default=str)
    return f"default: `{text}`"


def _child_models(annotation: Any, path: str) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, path
        return
    if get_origin(annotation) is dict:
        path = f"{path}.<name>"
    elif get_origin(annotation) in (list, tuple):
        path = f"{path}[]"
    for argument in get_args(annotation):
        if isinstance(argument, type) or get_origin(argument) is not None:
            yield from _child_models(argument, path)


class CommandReference(_MarkdownDirective):
    """``{command-reference} package.module:app``: the help of every command of a typer application."""

    required_arguments = 1
    option_spec: ClassVar = {"name": directives.unchanged_required}

    def _markdown(self) -> str:
        command = typer.main.get_command(self.named_object())
        text = get_docs_for_click(obj=command, ctx=typer.Context(command), name=self.options["name"])
        # the page has its own title: start one level lower
        return text.partition("\n")[2]


class Benchmarks(_MarkdownDirective):
    """``{benchmarks} folder``: a table per JSON file with ``title``, ``machine`` and ``rows`` (list of mappings)."""

    required_arguments = 1

    def _markdown(self) -> str:
        folder = Path(self.env.srcdir) / self.arguments[0]
        parts = []
        for path in sorted(folder.glob("*.json")):
            self.env.note_dependency(str(path))
            result = json.loads(path.read_text(encoding="utf-8"))
            columns = list(result["rows"][0])
            parts += [f"### {result['title']}", "", result["machine"], ""]
            parts += [f"| {' | '.join(columns)} |", f"|{'|'.join([':--'] + ['--:'] * (len(columns) - 1))}|"]
            parts += [f"| {' | '.join(str(row[column]) for column in columns)} |" for row in result["rows"]]
            parts.append("")
        return "\n".join(parts) or "No results are kept yet: run `make bench`."


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("stretch-table", StretchTable)
    app.add_directive("settings", Settings)
    app.add_directive("command-reference", CommandReference)
    app.add_directive("benchmarks", Benchmarks)
    return {"parallel_read_safe": True}
