"""Everything that decides a result, in one value that can be written down and read back."""

from __future__ import annotations

import difflib
import hashlib
import json
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from .errors import OptionError
from .estimators.base import Estimator
from .estimators.cnn4l import Cnn4l
from .estimators.consistency import BackwardOptions
from .estimators.frequency import Frequency
from .estimators.geoflownet import GeoFlowNet
from .estimators.iterative import Iterative
from .estimators.learned import Learned
from .estimators.microflow import MicroFlow
from .estimators.searaft import SeaRaft
from .estimators.search import SearchOptions
from .estimators.spatial import Spatial
from .io.raster import ReadOptions
from .io.untrusted import Malformed, parse_yaml, read_text
from .regularise.log_tv import LogTv
from .regularise.off import Off
from .regularise.quadratic import Quadratic
from .regularise.tv import Tv
from .resources import RunOptions

Method = Frequency | Spatial | MicroFlow | GeoFlowNet | Iterative | SeaRaft | Cnn4l
METHODS: dict[str, type[Method]] = {
    "frequency": Frequency,
    "spatial": Spatial,
    "microflow": MicroFlow,
    "geoflownet": GeoFlowNet,
    "iterative": Iterative,
    "searaft": SeaRaft,
    "cnn4l": Cnn4l,
}
REGULARISERS: dict[str, type[Off] | type[Quadratic] | type[Tv] | type[LogTv]] = {
    "none": Off,
    "quadratic": Quadratic,
    "tv": Tv,
    "log_tv": LogTv,
}
OF_NETWORKS = LogTv(strength_px=0.4, tolerance_px=0.003)
"""How the motion that trained networks find is smoothed: their errors reach over many vectors (see docs/methods.md)."""
UNIONS: dict[str, Mapping[str, type[BaseModel]]] = {"estimate": METHODS, "regularise": REGULARISERS}
"""Sections whose key `method` decides which other keys they have."""
COMMENT_WIDTH = 100


def usual_regulariser(method: str | None) -> Off | LogTv:
    """What a method's vectors are smoothed by unless something else is asked for.

    >>> usual_regulariser("microflow").method, usual_regulariser("frequency").method
    ('log_tv', 'none')
    """
    return OF_NETWORKS if method in METHODS and issubclass(METHODS[method], Learned) else Off()


def _usual(known: dict[str, Any]) -> Off | LogTv:
    """The same from the parts of a recipe that are known to be right."""
    return usual_regulariser(known["estimate"].method if "estimate" in known else None)


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """How a displacement is measured: one options model per step."""

    read: ReadOptions = Field(default_factory=ReadOptions, description="Which pixels are read.")
    search: SearchOptions = Field(default_factory=SearchOptions, description="How far matches are looked for.")
    estimate: Annotated[Method, Field(discriminator="method")] = Field(
        default_factory=MicroFlow, description="How displacement is measured."
    )
    backward: BackwardOptions = Field(default_factory=BackwardOptions, description="Whether the way back is checked.")
    regularise: Annotated[Off | Quadratic | Tv | LogTv, Field(discriminator="method")] = Field(
        default_factory=_usual,
        description="How noise is taken out of the measured motion: none, quadratic, tv or log_tv; unless given, "
        "log_tv for trained networks and none for correlators.",
    )
    run: RunOptions = Field(
        default_factory=RunOptions, description="What the run may use of the machine; the result does not depend on it."
    )

    @field_validator("regularise", mode="before")
    @classmethod
    def _accepts_other_spellings(cls, value: Any) -> Any:
        """A name alone will do; see `regulariser_name`."""
        if isinstance(value, str | bool):
            value = {"method": value}
        if isinstance(value, dict) and "method" in value:
            value = value | {"method": regulariser_name(value["method"])}
        return value

    @property
    def estimator(self) -> Estimator:
        """The method of `estimate`, checked backwards where `backward` says so."""
        return self.backward.wrap(self.estimate)

    @property
    def regularises(self) -> bool:
        """Whether the measured motion is smoothed in a second pass."""
        return not isinstance(self.regularise, Off)

    @property
    def hash(self) -> str:
        """sha256 over all that changes the result: everything but `run`."""
        settings = self.model_dump(mode="json", exclude={"run"})
        return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_yaml(self, notes: Mapping[str, str] | None = None, head: str = "") -> str:
        """YAML in which every key follows its description, type and choices as comments.

        Args:
            notes: more to say about a key, by its dotted name: `{"estimate.window_px": "..."}`.
            head: text for the top.
        """
        lines = _comment(head, 0)
        for part, info in type(self).model_fields.items():
            lines += ["", *_comment(info.description or "", 0), f"{part}:"]
            lines += _part_lines(part, getattr(self, part), notes or {})
        return "\n".join(lines).strip() + "\n"

    @classmethod
    def from_yaml(cls, path: Path | str) -> Recipe:
        """Read a recipe file; keys that it leaves out take their defaults.

        Raises:
            OptionError: naming the file and the key.
        """
        try:
            text = read_text(path)
        except (OSError, Malformed) as error:
            raise OptionError(f"recipe {path} cannot be read: {error}. `terrashift recipe` prints one.") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "recipe") -> Recipe:
        """Read a recipe from text; `name` stands in messages.

        >>> Recipe.parse("estimate: {method: spatial, window_px: 15}").estimate.window_px
        15
        """
        try:
            data = parse_yaml(text)
        except Malformed as error:
            raise OptionError(f"{name} is not YAML: {error}") from error
        if data is None:
            return cls()
        if not isinstance(data, dict):
            raise OptionError(
                f"{name} holds a {type(data).__name__} where the sections {', '.join(cls.model_fields)} are expected."
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise OptionError("\n".join(f"{name}: {line}" for line in explain(error))) from error


def regulariser_name(word: Any) -> Any:
    """The name in `REGULARISERS` of `off` (which YAML reads as false), `log-TV` and the like; else the word itself.

    >>> [regulariser_name(word) for word in ("off", False, "log-TV", "median")]
    ['none', 'none', 'log_tv', 'median']
    """
    name = str(word).lower().replace("-", "_")
    name = "none" if name in ("off", "false") else name
    return name if name in REGULARISERS else word


def explain(error: ValidationError) -> Iterable[str]:
    """Each mistake in a recipe as a sentence that names the key, what it met and what is known there."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for one in error.errors():
        place = [str(part) for part in one["loc"]]
        known = UNIONS.get(place[0], {})
        method = place[1] if len(place) > 1 and place[1] in known else ""
        key = ".".join(part for part in place if part != method)
        if one["type"] == "extra_forbidden":
            yield f"unknown key `{key}`{' for method ' + method if method else ''}. {nearest(place[-1], _known(place))}"
        elif one["type"] == "union_tag_not_found":
            yield f"`{key}.method` is missing: it is one of {', '.join(known)}."
        elif one["type"] == "union_tag_invalid":
            yield f"`{key}.method` is {one['input'].get('method')}: it is one of {', '.join(known)}."
        else:
            key = ".".join(key.split(".")[:2])  # what follows names the branch of a union
            wrong.setdefault((key, repr(one["input"])), []).append(one["msg"].removeprefix("Value error, ").rstrip("."))
    for (key, value), messages in wrong.items():
        yield f"`{key}` is {value}: {', or '.join(messages)}."


def nearest(word: str, known: Iterable[str]) -> str:
    """Point to the known word that was probably meant, or list them all.

    >>> nearest("windw_px", ["window_px", "step_px"])
    'Did you mean `window_px`?'
    """
    known = list(known)
    close = difflib.get_close_matches(word, known, 1, 0.5) or [k for k in known if k.startswith(word)][:1]
    return f"Did you mean `{close[0]}`?" if close else f"Known here: {', '.join(known)}."


def _known(place: list[str]) -> Iterable[str]:
    """The keys that could stand at the last part of `place`."""
    if len(place) == 1:
        return Recipe.model_fields
    if place[0] in UNIONS:
        return UNIONS[place[0]][place[1]].model_fields
    part = Recipe.model_fields[place[0]].annotation
    return part.model_fields if isinstance(part, type) and issubclass(part, BaseModel) else ()


def _part_lines(part: str, options: BaseModel, notes: Mapping[str, str]) -> list[str]:
    """The keys of one section, indented, each below its comments."""
    schema = type(options).model_json_schema()["properties"]
    values = options.model_dump(mode="json")
    lines = []
    for key, info in type(options).model_fields.items():
        text = f"{(info.description or '').strip()} ({describe(schema[key])})"
        lines += [*_comment(text, 2), *_comment(notes.get(f"{part}.{key}", ""), 2), f"  {key}: {_scalar(values[key])}"]
    return lines


def describe(schema: Mapping[str, Any]) -> str:
    """What a value may be, from its JSON schema, in words.

    >>> describe({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'whole number >= 1, or null'
    """
    if "anyOf" in schema:
        return ", or ".join(describe(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " or ".join(str(choice) for choice in schema["enum"])
    words = {"integer": "whole number", "string": "text", "boolean": "true or false", "array": "list"}
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<", "multipleOf": "x"}
    kind = schema.get("type", "any")
    bounds = [f"{sign} {schema[name]:g}" for name, sign in limits.items() if name in schema and name != "multipleOf"]
    if "multipleOf" in schema:
        bounds.append(f"a multiple of {schema['multipleOf']:g}")
    return " ".join([str(words.get(kind, kind)), ", ".join(bounds)]).strip()


def _comment(text: str, indent: int) -> list[str]:
    pad = " " * indent + "# "
    return [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(
            paragraph, COMMENT_WIDTH, initial_indent=pad, subsequent_indent=pad, break_long_words=False
        )
    ]


def _scalar(value: Any) -> str:
    """One value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
