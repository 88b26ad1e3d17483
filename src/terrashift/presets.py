"""Ready recipes for what people measure, each value with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .errors import OptionError
from .estimators.consistency import BackwardOptions
from .estimators.frequency import Frequency
from .estimators.learned import Learned
from .estimators.search import SearchOptions
from .estimators.spatial import Spatial
from .recipe import METHODS, REGULARISERS, Method, Recipe, nearest, regulariser_name, usual_regulariser
from .regularise.log_tv import LogTv
from .regularise.off import Off
from .regularise.quadratic import Quadratic
from .regularise.tv import Tv

PresetName = Literal["earthquake", "landslide", "glacier", "dune"]
DEFAULT: PresetName = "earthquake"
NETWORKS = tuple(name for name, model in METHODS.items() if issubclass(model, Learned))
"""Methods that are trained networks: a preset sets them all alike."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings of each method for one kind of motion, and why they are what they are."""

    name: PresetName
    about: str
    method: str
    """The method taken unless another is asked for."""
    settings: dict[str, Method]
    """Those of each method, by its name."""
    search: SearchOptions
    backward: BackwardOptions
    reasons: dict[str, str]
    """A sentence or two per setting, by its dotted name with the method's in place of `estimate`.

    `frequency.regularise` is why the regulariser of that method is what it is. What holds for all networks is said of
    `networks`, and not of one that has a reason of its own."""
    regularise: dict[str, Off | Quadratic | Tv | LogTv] = field(default_factory=dict)
    """The regulariser of each method that has another than `usual_regulariser`."""

    def recipe(self, method: str | None = None, regulariser: str | None = None) -> Recipe:
        """The recipe for `method` (default: the preset's own) and `regulariser` (default: that of the method).

        Raises:
            OptionError: where there is none of that name.
        """
        method = method or self.method
        if method not in METHODS:
            raise OptionError(f"there is no method {method!r}. {nearest(method, METHODS)}")
        own = self.regularise.get(method, usual_regulariser(method))
        chosen = own if regulariser is None else regulariser_named(regulariser)
        return Recipe(
            estimate=self.settings[method],
            search=self.search,
            backward=self.backward,
            regularise=own if chosen.method == own.method else chosen,
        )

    def notes(self, method: str | None = None) -> dict[str, str]:
        """The reasons by the keys of `recipe(method)`, for `Recipe.to_yaml`."""
        method = method or self.method
        found = {}
        for key, text in self.reasons.items():
            part, name = key.split(".")
            if part == "networks" and method in NETWORKS and f"{method}.{name}" not in self.reasons:
                part = method
            if part == method and name == "regularise":
                found["regularise.method"] = f"{self.name.capitalize()}: {text}"
            elif part not in ("networks", *METHODS) or part == method:
                found[f"{'estimate' if part == method else part}.{name}"] = f"{self.name.capitalize()}: {text}"
        return found

    def to_yaml(self, method: str | None = None, changed: Recipe | None = None) -> str:
        """The commented recipe with the reasons in it; those of values that `changed` has otherwise are left out."""
        own = self.recipe(method)
        written = changed or own
        notes = {key: text for key, text in self.notes(method).items() if _value(own, key) == _value(written, key)}
        head = (
            f"Preset {self.name}: {self.about}\n"
            "Use it with: terrashift measure before.tif after.tif -o displacement.tif --recipe THIS_FILE"
        )
        return written.to_yaml(notes, head)


def _every(frequency: Frequency, spatial: Spatial, **networks: Any) -> dict[str, Method]:
    """Settings of every method: the correlators' own, and those that all networks share."""
    return {
        "frequency": frequency,
        "spatial": spatial,
        **{name: METHODS[name](**networks) for name in NETWORKS},
    }


def _value(recipe: Recipe, key: str) -> object:
    """The value of a dotted key."""
    part, name = key.split(".")
    return getattr(getattr(recipe, part), name)


def regulariser_named(word: str) -> Off | Quadratic | Tv | LogTv:
    """The regulariser of that name with its own defaults.

    >>> regulariser_named("off").method
    'none'

    Raises:
        OptionError: where there is none.
    """
    name = regulariser_name(word)
    if name not in REGULARISERS:
        raise OptionError(f"there is no regulariser {word!r}. {nearest(word, ['off', *REGULARISERS])}")
    return REGULARISERS[name]()


def preset(name: str) -> Preset:
    """The preset called `name`.

    >>> preset("glacier").recipe().estimate.step_px
    8
    """
    if name not in PRESETS:
        raise OptionError(f"there is no preset {name!r}. {nearest(name, PRESETS)}")
    return PRESETS[name]


EARTHQUAKE = Preset(
    name="earthquake",
    about="surface rupture of an earthquake: a sharp step of a fraction of a pixel to a few pixels across a fault, "
    "smooth and nearly stable ground beside it.",
    method="microflow",
    settings=_every(Frequency(), Spatial()),
    search=SearchOptions(),
    backward=BackwardOptions(),
    reasons={
        "frequency.window_px": "32 px averages noise down to a few hundredths of a pixel; only its middle half counts, "
        "so the fault is smeared over about 16 px. 64 for hazy or strongly changed scenes.",
        "frequency.step_px": "one vector per pixel keeps the fault's trace and near-fault slope. 4 is some 16 times "
        "cheaper and enough for far-field maps.",
        "frequency.min_score": "low enough to keep fields and dry river beds, high enough to drop water and cloud.",
        "spatial.window_px": "9 px follows the fault closely; the smoothing below pays for the noise of so few pixels.",
        "spatial.step_px": "one vector per pixel: the smoothing runs from pixel to pixel, and a coarser step "
        "weakens it.",
        "spatial.reg": "smooths along the ground without rounding off the step at the fault. 0 with a 15 px window "
        "gives independent vectors for statistics.",
        "spatial.min_score": "off: the smoothing carries the field over poor spots, and the score band tells where.",
        "networks.step_px": "one vector per pixel costs no more than one in sixteen: the network sees all anyway.",
        "networks.min_score": "off: the sigma band tells how far each vector can be trusted, and the score band where "
        "the images agree.",
        "cnn4l.step_px": "one vector per pixel follows the fault as closely as the window allows; 4 halves the cost.",
        "search.search_px": "the coarse pass finds the scene's own offset and the largest slip; set it by hand for "
        "slip of many pixels on a small part of the scene.",
        "backward.backward_px": "off: ground far from the fault hardly moves, so false matches are rare and the score "
        "finds them. Try 0.5 where crops or snow changed much.",
        "frequency.regularise": "none, so that slip and its error come from the windows alone. tv or log_tv for maps "
        "of noisy pairs.",
        "spatial.regularise": "none: `reg` smooths already.",
        "networks.regularise": "log_tv: the network gives every vector its error, which tells how much to smooth; its "
        "errors reach over many vectors and so take a price of 0.4 px, twice the usual. The step at the fault gets "
        "sharper; a zone of a few px over which slip is spread looks steeper than it is.",
    },
)

LANDSLIDE = Preset(
    name="landslide",
    about="slow or past landslides: moving bodies some tens of pixels wide with sharp flanks, on slopes whose surface "
    "and shadows change.",
    method="spatial",
    settings=_every(Frequency(window_px=24, start_window_px=48), Spatial(window_px=7, min_score=0.2), min_score=0.2),
    search=SearchOptions(),
    backward=BackwardOptions(backward_px=0.5),
    reasons={
        "frequency.window_px": "24 px, about 12 that count, stays inside a slide of a few tens of pixels. Larger "
        "windows mix it with the stable slope around it.",
        "frequency.step_px": "one vector per pixel: the slide is small, and so is the cost.",
        "frequency.start_window_px": "the starting shift must come from the slide as well, not from the slope "
        "around it.",
        "frequency.min_score": "a small window scores less on the same ground; raise it first if the flanks look "
        "noisy.",
        "spatial.window_px": "7 px resolves narrow lobes and flanks; debris that was turned over has no match at "
        "any size.",
        "spatial.step_px": "one vector per pixel, so that head, flanks and toe are drawn by the data.",
        "spatial.reg": "keeps small windows from jumping; lower it to 0.1 where neighbouring blocks move differently.",
        "spatial.min_score": "0.2: below it the surface was turned over or grown over, and the smoothing only guesses.",
        "networks.step_px": "one vector per pixel: the slide is small, and so is the cost.",
        "networks.min_score": "0.2: below it the surface was turned over or grown over.",
        "networks.regularise": "log_tv: keeps the flanks sharp, which a slide that moves as a body has.",
        "search.search_px": "found by the coarse pass; set it by hand for a small, fast slide in a large stable scene.",
        "backward.backward_px": "on: vegetation, debris and shadows give false matches, and these rarely find their "
        "way back.",
    },
)

GLACIER = Preset(
    name="glacier",
    about="glacier flow over weeks to a year: smooth motion of several to tens of pixels, low texture, crevasses, "
    "snow and melt between the dates.",
    method="frequency",
    settings=_every(
        Frequency(window_px=64, start_window_px=128, step_px=8),
        Spatial(window_px=31, step_px=4, min_score=0.2),
        step_px=8,
        min_score=0.2,
    ),
    search=SearchOptions(search_px=20),
    backward=BackwardOptions(backward_px=1.0),
    reasons={
        "frequency.window_px": "ice has little texture, and its motion is smooth: 64 px gathers enough of it. 32 for "
        "narrow tongues or pixels of 30 m.",
        "frequency.start_window_px": "must hold the motion and enough common ice after it: several times the search.",
        "frequency.step_px": "an eighth of the window still overlaps generously; flow does not change faster.",
        "frequency.min_score": "crevassed and debris-covered ice passes, fresh snow and cloud do not.",
        "spatial.window_px": "31 px of ice hold a few crevasses or debris bands to lock on.",
        "spatial.step_px": "an eighth of the window; a dense map would only repeat itself.",
        "spatial.reg": "flow is smooth except at the shear margins; lower it if these look too wide.",
        "spatial.min_score": "0.2: drops fresh snow and cloud, keeps dirty ice.",
        "networks.step_px": "as for the other methods, so that results can be compared.",
        "networks.min_score": "0.2: fresh snow and cloud stay below it.",
        "search.search_px": "20 px is 200 m at 10 m pixels, fixed because a tongue is too small a part of the scene "
        "for the coarse pass to count on. Raise it for surges and long intervals, lower it for pairs of a few weeks.",
        "backward.backward_px": "on: melt and fresh snow make false matches likely in so wide a search.",
        "networks.regularise": "none: ice speeds up and slows down gradually, which log_tv would cut into steps.",
    },
    regularise=dict.fromkeys(NETWORKS, Off()),
)

DUNE = Preset(
    name="dune",
    about="migrating dunes over months to years: motion of a fraction of a pixel to a few pixels, repeating patterns, "
    "shading that follows the sun.",
    method="frequency",
    settings=_every(
        Frequency(window_px=32, step_px=4), Spatial(window_px=21, step_px=2, min_score=0.2), step_px=4, min_score=0.2
    ),
    search=SearchOptions(search_px=4),
    backward=BackwardOptions(backward_px=0.5),
    reasons={
        "frequency.window_px": "32 px see a crest and the slopes beside it; ripples below a pixel carry nothing.",
        "frequency.step_px": "an eighth of the window: several vectors per dune, cheap enough for whole sand seas.",
        "frequency.min_score": "smooth interdune flats score low and are better left empty.",
        "spatial.window_px": "21 px hold part of a crest nearly everywhere; smaller ones fall on smooth sand.",
        "spatial.step_px": "dunes move as bodies: every second pixel tells as much as every one.",
        "spatial.reg": "bridges the smooth flanks between crests.",
        "spatial.min_score": "0.2: smooth interdune flats have nothing to match and are better left empty.",
        "networks.step_px": "as for the other methods, so that results can be compared.",
        "networks.min_score": "0.2: drops sand that was blown over.",
        "search.search_px": "small on purpose: half the spacing of the dunes is the limit beyond which a crest is "
        "taken "
        "for its neighbour. Choose dates near enough that dunes move less, and seasons with the same sun.",
        "backward.backward_px": "on: repeating crests are the classic false match.",
        "networks.regularise": "none: at one vector in four pixels a dune has too few of them to be smoothed.",
    },
    regularise=dict.fromkeys(NETWORKS, Off()),
)

PRESETS: dict[str, Preset] = {p.name: p for p in (EARTHQUAKE, LANDSLIDE, GLACIER, DUNE)}
assert tuple(PRESETS) == get_args(PresetName)
