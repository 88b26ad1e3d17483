"""The training loop, straight down: draw pairs on the device, estimate, punish, step; now and then save and look."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import InputError, OptionError
from ..io.packed_scenes import SceneArchive
from ..io.untrusted import expect_object, parse_json
from ..models.catalogue import SILENT, make
from ..models.counting import count_weights
from ..simulate.archive import Archive
from ..simulate.burst import BurstStream
from ..simulate.stream import Stream
from .alignment import AlignmentScore, AlignmentValidation
from .calibrate import calibrate, coverage, errors_of
from .card import Facts, card
from .checkpoint import Average, begin, load, save
from .kelvins import KelvinsScore, KelvinsValidation
from .pupils import Lesson, answer, learn, sharpen
from .recipe import TrainRecipe, recipe_of
from .scenes import SceneStream, load_scenes
from .sharpening import SharpScore, SharpValidation, sharp_errors
from .validate import Score, Validation
from .workers import ALONE, Workers

LOOK_EVERY = 50
REGISTERS = "linear-deformable"
"""The network that learns without truth."""
CALIBRATION_SEED = 20_000_203
FREE = ("steps", "imagery", "scenes", "validation", "save_seconds", "validate_every", "validation_pairs",
        "validation_px", "calibration_pairs", "calibration_px", "calibrate_on", "start_from")  # fmt: skip
"""What may change between the parts of a run."""


class Progress(NamedTuple):
    """What is told every now and then."""

    step: int
    steps: int
    loss: float
    error_px: float
    """Mean endpoint error of the last pass."""
    still_px: float
    """That of an estimate without motion, each pair's mean removed."""
    seconds: float
    """Since this run began, earlier ones counted in."""


Told = Progress | list[Score] | list[AlignmentScore] | list[SharpScore] | list[KelvinsScore]
"""What a run says of itself as it goes."""
Ground = Archive | SceneArchive
Source = Stream | BurstStream | SceneStream


def train(
    recipe: TrainRecipe,
    folder: Path,
    device: str = "cpu",
    tell: Callable[[Told], None] = lambda _: None,
    until: float = math.inf,
    workers: Workers = ALONE,
) -> Path:
    """Train, or go on with, the run in `folder`; returns the file of its averaged weights.

    Writes `checkpoint.pt` (to go on from), `NAME.safetensors` (the averaged weights), `log.jsonl`, and at the end the
    card of the weights, `NAME.md`. The same recipe gives the same run on a device, however often it is interrupted.

    Args:
        recipe: settings; kept in the checkpoint, which another recipe may not go on from.
        folder: where all goes.
        device: `cpu`, `cuda`, ...
        tell: called with progress and scores.
        until: time (as of `time.monotonic`) at which to save and stop, after a step at least.
        workers: the processes that share the run; each batch is cut into as many parts.

    Raises:
        InputError: archives that cannot be read or share a place, or a checkpoint of another recipe.
        OptionError: a batch that cannot be shared evenly.
    """
    if recipe.batch % workers.count:
        raise OptionError(f"batches of {recipe.batch} pairs for {workers.count} devices: take a multiple.")
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(recipe, folder, device, workers)
    imagery, held_out = _archives(recipe)
    stream, growing = _streams(recipe, imagery, device)
    judged = held_out if workers.first else None
    validation = judged and _validation(recipe, judged, device)
    saved = time.monotonic()
    looks: list[Lesson] = []
    late = False
    while run.step < recipe.steps and not late:
        source = growing[run.step * len(growing) // recipe.grow] if run.step < recipe.grow else stream
        looks.append(run.learn(source))
        if run.step % LOOK_EVERY == 0:
            loss, error, still = (float(torch.stack(part).mean()) for part in zip(*looks, strict=True))
            looks.clear()
            run.note(Progress(run.step, recipe.steps, loss, error, still, run.seconds), tell)
        if validation and run.step % recipe.validate_every == 0:
            run.note(validation(run.estimate), tell)
        if time.monotonic() - saved > recipe.save_seconds:
            run.save()
            saved = time.monotonic()
        late = workers.any(time.monotonic() >= until)  # looked at last: every call gets somewhere
    complete = run.step >= recipe.steps
    run.save(held_out if complete else None)
    if complete and workers.first:
        facts = run.facts(list(finished(folder)))
        (folder / f"{recipe.name}.md").write_text(card(recipe, imagery, held_out, facts))
    return run.weights


class _Run:
    """The moving parts of a run: network, optimiser, average, step."""

    def __init__(self, recipe: TrainRecipe, folder: Path, device: str, workers: Workers) -> None:
        self.recipe, self.folder, self.device, self.workers = recipe, folder, device, workers
        self.weights = folder / f"{recipe.name}.safetensors"
        self.checkpoint = folder / "checkpoint.pt"
        torch.manual_seed(recipe.seed)
        self.net = make(recipe.network, recipe.model)
        if recipe.start_from:
            begin(self.net, Path(recipe.start_from))
        self.net = _placed(self.net, device)
        self.average = Average(self.net, recipe.average)
        self.optimiser = _optimiser(recipe, self.net)
        self.step, self.earlier, self.began = 0, 0.0, time.monotonic()
        self.calibration: dict[str, Any] = {}
        if self.checkpoint.exists():
            self._resume()

    @property
    def seconds(self) -> float:
        """Spent on this run so far."""
        return self.earlier + time.monotonic() - self.began

    def learn(self, stream: Source) -> Lesson:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * _pace(self.recipe, self.step)
        count = self.recipe.batch
        draw = stream.pairs if isinstance(stream, Stream) else stream.bursts
        batch = draw(self.workers.share(range(self.step * count, (self.step + 1) * count)))
        self.net.train()
        with self._cast():
            lesson = learn(self.net, batch, self.recipe.loss)
        self.optimiser.zero_grad()
        lesson.loss.backward()
        self.workers.agree(self.net)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        if torch.isfinite(norm):  # one broken batch must not spoil days of work
            self.optimiser.step()
        self.step += 1
        self.average.update(self.net, self.step)
        return Lesson(*(part.detach() for part in lesson))

    @torch.no_grad()
    def estimate(self, *images: Tensor) -> Any:
        """What the averaged weights find: `pupils.answer` to two images, or `pupils.sharpen` of a burst."""
        own = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.average.weights)
        self.net.eval()
        with self._cast():
            found = (sharpen if self.recipe.sharpens else answer)(self.net, *images)
        self.net.load_state_dict(own)
        return found

    def note(self, what: Told, tell: Callable[[Told], None]) -> None:
        """Tell, and write a line of the log."""
        if not self.workers.first:
            return
        line: Any = (
            {"step": self.step, "scores": [s._asdict() for s in what]} if isinstance(what, list) else what._asdict()
        )
        with open(self.folder / "log.jsonl", "a") as log:
            log.write(json.dumps(line) + "\n")
        tell(what)

    def save(self, held_out: Ground | None = None) -> None:
        """Write checkpoint and weights, the latter with a calibrated sigma where there is imagery for it."""
        if not self.workers.first:
            return
        state = {
            "recipe": json.dumps(asdict(self.recipe)),
            "step": self.step,
            "seconds": self.seconds,
            "net": self.net.state_dict(),
            "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
        }
        save(self.checkpoint, state)
        part = self.weights.with_suffix(".part")
        halves = {
            name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
            for name, value in self.average.weights.items()
        }
        facts = {
            "network": self.recipe.network,
            "options": json.dumps(asdict(self.recipe.model)),
            "step": str(self.step),
        }
        if held_out and self.recipe.network not in SILENT:
            self.calibration = self._calibrate(held_out)
        save_file(halves, part, facts | {key: json.dumps(value) for key, value in self.calibration.items()})
        part.chmod(0o644)
        part.replace(self.weights)

    def facts(self, log: list[dict[str, Any]]) -> Facts:
        """For the card."""
        looks = [line["scores"] for line in log if "scores" in line]
        device = torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else "a CPU"
        return Facts(
            weights=count_weights(self.net),
            bytes=self.weights.stat().st_size,
            hours=self.seconds / 3600,
            device=device,
            scores=looks[-1] if looks else [],
            calibration=self.calibration.get("calibration", {}),
            coverage=self.calibration.get("coverage", []),
        )

    def _calibrate(self, held_out: Ground) -> dict[str, Any]:
        recipe = self.recipe
        count, side = recipe.calibration_pairs, recipe.calibration_px
        if isinstance(held_out, SceneArchive):
            errors = KelvinsValidation(held_out, recipe.probav, count, self.device).errors(self.estimate)
        elif recipe.sharpens:
            bursts = SharpValidation(held_out, count, side, self.device, recipe.bursts, CALIBRATION_SEED)
            errors = sharp_errors(bursts, self.estimate)
        else:
            pairs = Validation(held_out, count, side, self.device, CALIBRATION_SEED)
            errors = errors_of(pairs, self.estimate, recipe.calibrate_on)
        found = calibrate(errors)
        return {"calibration": found._asdict(), "coverage": [line._asdict() for line in coverage(errors, found)]}

    def _resume(self) -> None:
        state = load(self.checkpoint, self.device)
        try:
            same = _same_run(dict(expect_object(parse_json(state["recipe"]))), asdict(self.recipe))
            if same:
                self.net.load_state_dict(state["net"])
                self.average.restore(state["average"])
                self.optimiser.load_state_dict(state["optimiser"])
                self.step, self.earlier = int(state["step"]), float(state["seconds"])
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"{self.checkpoint} is damaged ({error}): remove it to start anew.") from error
        if not same:
            raise InputError(
                f"{self.checkpoint} belongs to another recipe: use another folder, or remove it to start anew."
            )

    def _cast(self) -> torch.autocast:
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.recipe.bfloat16)


def _placed(net: nn.Module, device: str) -> nn.Module:
    """The network on a device, laid out for its convolutions; those in three dimensions know another layout only."""
    if any(parameter.ndim == 5 for parameter in net.parameters()):
        return net.to(device)
    return net.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _optimiser(recipe: TrainRecipe, net: nn.Module) -> torch.optim.Optimizer:
    if recipe.optimiser == "adam":
        return torch.optim.Adam(net.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, recipe.learning_rate)


def _same_run(stored: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether a checkpoint's recipe is the one asked for, but for what may change on the way."""
    try:
        # a setting that is younger than the checkpoint had its default
        stored = json.loads(json.dumps(asdict(recipe_of(stored))))
    except OptionError:
        return False
    return all(stored.get(key) == value for key, value in json.loads(json.dumps(asked)).items() if key not in FREE)


def _pace(recipe: TrainRecipe, step: int) -> float:
    """Learning rate relative to the highest: up, level or down in stairs, and down along a cosine."""
    rise = min(1.0, (step + 1) / max(1, recipe.warm_up))
    stairs = recipe.drop ** (step // recipe.drop_every) if recipe.drop_every else 1.0
    if not recipe.cool_down:
        return rise * stairs
    left = (recipe.steps - step) / max(1.0, recipe.cool_down * recipe.steps)
    return rise * stairs * (0.5 - 0.5 * math.cos(math.pi * min(1.0, left)))


def _archives(recipe: TrainRecipe) -> tuple[Ground, Ground | None]:
    """What is learnt from and what is validated on, if anything.

    Raises:
        InputError: one cannot be read, or both hold a place: what was learnt by heart would pass for skill.
    """
    if recipe.real:
        halves = load_scenes(recipe.imagery, recipe.probav)
        judged = halves.held_out if recipe.validation_pairs and halves.held_out.scenes else None
        return halves.learned, judged
    imagery = Archive.load(recipe.imagery)
    if recipe.scenes:
        imagery = imagery.joined(Archive.load(recipe.scenes))
    if not recipe.validation or not recipe.validation_pairs:
        return imagery, None
    validation = Archive.load(recipe.validation)
    both = sorted({view.place for view in imagery.views} & {view.place for view in validation.views})
    if both:
        raise InputError(
            f"{recipe.imagery} and {recipe.validation} both hold {', '.join(both)}: pack each place into one of them "
            "only, or call places that merely share their name by different ones."
        )
    return imagery, validation


def _validation(
    recipe: TrainRecipe, held_out: Ground, device: str
) -> Validation | AlignmentValidation | SharpValidation | KelvinsValidation:
    """What the network is judged on as it learns."""
    if isinstance(held_out, SceneArchive):
        return KelvinsValidation(held_out, recipe.probav, recipe.validation_pairs, device)
    if recipe.sharpens:
        return SharpValidation(held_out, recipe.validation_pairs, recipe.validation_px, device, recipe.bursts)
    judge = AlignmentValidation if recipe.network == REGISTERS else Validation
    return judge(held_out, recipe.validation_pairs, recipe.validation_px, device)


def _streams(recipe: TrainRecipe, imagery: Ground, device: str) -> tuple[Source, Sequence[Source]]:
    """The stream of the recipe, and those of smaller motions that go before it."""
    if isinstance(imagery, SceneArchive):
        scenes = SceneStream(imagery, recipe.probav, recipe.seed, device)
        return scenes, [scenes]
    if recipe.sharpens:
        bursts = BurstStream(imagery, recipe.bursts, recipe.seed, device)
        return bursts, [bursts]
    options = recipe.stream
    whole = Stream(imagery, options, recipe.seed, device)
    largest = options.fields.largest_px
    stages = [whole.smaller(1 + (largest - 1) * k / 5) for k in range(5)] if options.kind == "rupture" else [whole]
    return whole, stages


def finished(folder: Path) -> Iterator[dict[str, Any]]:
    """The log of a run, line by line; none before its first look."""
    if not (folder / "log.jsonl").exists():
        return
    with open(folder / "log.jsonl") as log:
        yield from map(json.loads, log)
