"""The command line: one verb per job. Nothing slow is imported until a verb runs."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from .console import fail, out
from .errors import InputError, OptionError, TerrashiftError

VERBS = {
    "check": "look at two images before any work: do they line up, is there enough to match?",
    "search": "find pairs of satellite scenes before and after an event in a catalogue",
    "fetch": "fetch the pixels of such a pair, only where they are needed",
    "measure": "measure ground displacement between two images",
    "batch": "measure many pairs from a table, on one machine or a cluster",
    "register": "bring an image onto the pixels of another, or a group of images onto each other",
    "superres": "make one sharper image of several images of a place",
    "score": "judge super-resolution methods: PROBA-V scenes, or bursts made from your imagery",
    "report": "one interactive page about a displacement field, in one file",
    "plot": "a map of a displacement field for a publication, as PNG, PDF or SVG",
    "convert": "read and write the displacement fields of other programs",
    "trace": "find the trace of a fault in a displacement field",
    "profile": "stack profiles of displacement across a fault",
    "offset": "measure the offset of a fault along its trace, with errors and widths",
    "strain": "compute strain from a displacement field, not across the fault",
    "detrend": "take a ramp out of a displacement field, and leave the fault's offset in",
    "destripe": "take a satellite's stripes out of a displacement field",
    "recipe": "print a commented recipe to start from",
    "evaluate": "judge methods on the same cases, in one table",
    "train": "train a network on simulated earthquakes",
    "simulate": "make pairs of images with exactly known displacement, from your images or none",
    "pack": "pack imagery into one small archive, for simulate and train",
    "demo": "generate an earthquake, measure it and compare with the truth",
}
ROOMS = {
    "check": "measure",
    "search": "fetch",
    "recipe": "measure",
    "demo": "measure",
    "pack": "simulate",
    "report": "show",
    "plot": "show",
    "score": "superres",
    "trace": "analyse",
    "profile": "analyse",
    "offset": "analyse",
    "strain": "analyse",
    "detrend": "clean",
    "destripe": "clean",
}
"""The module of `verbs` that a verb is in, where it is not called like it."""
USAGE = """\
usage: terrashift VERB ... [--debug]

Measure ground displacement between two optical satellite images.

verbs:
{verbs}

  terrashift VERB --help    every option of a verb
  terrashift --version

example:
  terrashift measure before.tif after.tif -o displacement.tif

exit codes: 0 done, 1 failed or incomplete, 2 unusable input or options, 130 interrupted
"""
BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except SystemExit as end:  # how the option parser ends after its help or its own message
        return end.code if isinstance(end.code, int) else BAD_INPUT if end.code else 0
    except (TerrashiftError, KeyboardInterrupt) as error:
        if debug:
            raise
        fail(str(error) or "interrupted")
        if isinstance(error, KeyboardInterrupt):
            return INTERRUPTED
        return BAD_INPUT if isinstance(error, InputError | OptionError) else FAILED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        return FAILED


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, VERBS))
        out(USAGE.format(verbs="\n".join(f"  {verb:{width}}  {text}" for verb, text in VERBS.items())).rstrip())
        return 0 if words else BAD_INPUT
    verb, rest = words[0], words[1:]
    if verb in ("-V", "--version"):
        from importlib.metadata import version

        out(f"terrashift {version('terrashift')}")
        return 0
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, 1, 0.4)
        hint = f"Did you mean `terrashift {close[0]}`?" if close else f"Verbs: {', '.join(VERBS)}."
        raise OptionError(f"there is no verb {verb!r}. {hint}")
    module = import_module(f".verbs.{ROOMS.get(verb, verb)}", __package__)
    return getattr(module, verb)(rest)


if __name__ == "__main__":
    sys.exit(main())
