"""Directives that write parts of the documentation from the code, so that the two cannot drift apart."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import numpy as np
import typer
from docutils import nodes
from docutils.parsers.rst import directives
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click

from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.profiles import gridded, schema
from oceanrecon.sources import quality
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.columns import Column, Table
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


class EnrichedVariables(_MarkdownDirective):
    """``{enriched-variables}``: every variable of the enriched store, in tables, and what its flags mean."""

    def _markdown(self) -> str:
        self.env.note_dependency(str(schema.__file__))
        own = schema.enriched_columns(())
        lines = ["### Which profile, where and when", "", *column_table(column for column in own if not column.levels)]
        lines += ["", "### What was measured, on the depths of the model", ""]
        lines += column_table(column for column in own if column.levels)
        columns = list(own)
        for product in PRODUCTS.values():
            sampled = schema.enriched_columns([product])[len(own) :]
            columns += sampled
            lines += ["", f"### {product.title}, where the profile is", "", *column_table(sampled)]
        return "\n".join([*lines, "", "### What the flags mean", "", *flag_list(columns)])


class GriddedVariables(_MarkdownDirective):
    """``{gridded-variables}``: every variable of the gridded store of a uint8 export, and its index."""

    def _markdown(self) -> str:
        self.env.note_dependency(str(gridded.__file__))
        recipe = gridded.GridRecipe(
            output="", store="", grid=RasterGrid.from_bounds(0.1, (-180.0, -90.0, 180.0, 90.0)), encoding="uint8",
            temperature="potential", depth=(), targets=(), window_days=7,
        )  # fmt: skip
        return "\n".join(column_table(gridded.gridded_columns(recipe), gridded.index_tables(recipe, {})))


def column_table(columns: Iterable[Column], tables: Iterable[Table] = ()) -> list[str]:
    """The lines of a Markdown table of the variables of a profile store, and of the small arrays beside them."""
    lines = ["| variable | type | per | units | what it is |", "|:--|:--|:--|:--|:--|"]
    for column in columns:
        per = "profile,\N{NO-BREAK SPACE}depth" if column.levels else "profile"
        lines.append(f"| `{column.name}` | {column.dtype} | {per} | {_meaning(column)} |")
    lines += [f"| `{table.name}` | {table.values.dtype} | {table.dimension} | {_meaning(table)} |" for table in tables]
    return lines


def _meaning(variable: Column | Table) -> str:
    attrs = variable.attrs
    text = attrs.get("long_name", attrs.get("standard_name"))
    if not text:
        raise ExtensionError(f"variable {variable.name!r} has neither a long name nor a standard name: give it one")
    units = attrs.get("unit_description") or _unbroken(str(attrs.get("units", "")))
    comment = "" if "flag_values" in attrs else attrs.get("comment", "")
    nearest = "nearest node" if attrs.get("sampling") == "nearest node" else ""
    return f"{units} | {'; '.join(part for part in (str(text), str(comment), nearest) if part)}"


def _unbroken(units: str) -> str:
    return units.replace(" ", "\N{NO-BREAK SPACE}").replace("-", "\N{NON-BREAKING HYPHEN}")


def flag_list(columns: Iterable[Column]) -> list[str]:
    """The lines of a definition list: the values of flags, and the variables that have them."""
    found: dict[tuple[tuple[int, ...], str], list[str]] = {}
    for column in columns:
        if "flag_values" in column.attrs:
            key = tuple(column.attrs["flag_values"]), str(column.attrs["flag_meanings"])
            found.setdefault(key, []).append(f"`{column.name}`")
    lines = []
    for (values, meanings), names in found.items():
        each = zip(values, meanings.split(), strict=True)
        text = ", ".join(f"{value} {meaning.replace('_', ' ')}" for value, meaning in each)
        lines += [", ".join(names), f": {text}", ""]
    return lines


_SOURCES = {"en4": "EN4", "argo": "Argo"}


class QualityTable(_MarkdownDirective):
    """``{quality-table}``: which flags of levels, positions and dates each quality mode accepts, for each source."""

    def _markdown(self) -> str:
        self.env.note_dependency(str(quality.__file__))
        lines = ["| | source | `standard` | `strict` | `none` |", "|:--|:--|:--|:--|:--|"]
        for what, acceptance in (
            ("value of a level", quality.level_acceptance),
            ("depth of a level", quality.depth_acceptance),
            ("position, date", quality.place_acceptance),
        ):
            for kind in get_args(quality.SourceKind):
                modes = " | ".join(flags_text(acceptance(kind, mode)) for mode in get_args(quality.QualityMode))
                lines.append(f"| {what} | {_SOURCES[kind]} | {modes} |")
        return "\n".join(lines)


def flags_text(accepted: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    """What a table of accepted flags says: ``1, 2, blank`` or ``all but 4``."""
    names = {quality.MISSING_FLAG: "blank"} | {digit: str(digit) for digit in range(10)}
    chosen = [name for flag, name in sorted(names.items(), key=lambda item: item[0] % 256) if accepted[flag % 256]]
    if accepted.all():
        return "any"
    others = [name for name in names.values() if name not in chosen]
    return f"all but {', '.join(others)}" if len(others) < len(chosen) else ", ".join(chosen)


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
    """``{benchmarks} folder``: a table per ``1-name.json`` with ``title``, ``machine`` and ``rows`` (mappings)."""

    required_arguments = 1

    def _markdown(self) -> str:
        folder = Path(self.env.srcdir) / self.arguments[0]
        parts = []
        for path in sorted(folder.glob("*.json"), key=_number_and_name):
            self.env.note_dependency(str(path))
            result = json.loads(path.read_text(encoding="utf-8"))
            columns = list(result["rows"][0])
            parts += [f"### {result['title']}", "", result["machine"], ""]
            parts += [f"| {' | '.join(columns)} |", f"|{'|'.join([':--'] + ['--:'] * (len(columns) - 1))}|"]
            parts += [f"| {' | '.join(str(row[column]) for column in columns)} |" for row in result["rows"]]
            parts.append("")
        return "\n".join(parts) or "No results are kept yet: run `make bench`."


def _number_and_name(path: Path) -> tuple[int, str]:
    number, _, name = path.stem.partition("-")
    return int(number), name


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("stretch-table", StretchTable)
    app.add_directive("settings", Settings)
    app.add_directive("enriched-variables", EnrichedVariables)
    app.add_directive("gridded-variables", GriddedVariables)
    app.add_directive("quality-table", QualityTable)
    app.add_directive("command-reference", CommandReference)
    app.add_directive("benchmarks", Benchmarks)
    return {"parallel_read_safe": True}
