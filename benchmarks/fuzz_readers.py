"""Do the readers bear damaged and hostile files? No crash, no hang, no huge allocation, no error but our own.

    python benchmarks/fuzz_readers.py [--only tiff archive ...] [--count 300] [--seed 0] [--keep FOLDER]

Every reader gets a good file, then `--count` damaged ones: cut off, with changed bits, bytes and numbers, with parts
exchanged or repeated; TIFFs also with lying sizes, counts, offsets and types in their directories, directories that
name themselves, and blocks that unpack to a thousand times their size. Reading happens in a process of its own, with
warnings as errors, `--memory` MiB more than it has before, and `--seconds` for each file. The table counts how
it ended; whatever is no clean end is listed with its number, by which `--only KIND --number N --keep FOLDER` makes the
file again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TAGS = {
    254: "subfile", 256: "width", 257: "height", 258: "bits", 259: "compression", 262: "photometric",
    273: "strip offsets", 277: "samples", 278: "rows per strip", 279: "strip bytes", 284: "planes", 317: "predictor",
    320: "palette", 322: "tile width", 323: "tile height", 324: "tile offsets", 325: "tile bytes", 330: "sub-IFDs",
    338: "alpha", 339: "sample format", 33550: "pixel size", 33922: "tie point", 34264: "transform", 34735: "geo keys",
    34737: "geo texts", 42112: "GDAL metadata", 42113: "nodata",
}  # fmt: skip


def mutated(content: bytes, kind: str, dice: random.Random) -> bytes:
    """A damaged copy, by one to four changes."""
    changes = [_cut, _bits, _bytes, _number, _exchange, _repeat]
    if kind in ("tiff", "field"):
        changes = [*changes, *[_tiff_entry] * 8, _tiff_loop, _tiff_count]
    if kind in TEXTS:
        changes = [_cut, _bits, _exchange, _repeat, *[_word] * 6]
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        content = dice.choice(changes)(content, dice)
    return content


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def _bits(content: bytes, dice: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(dice.choice((1, 4, 32))):
        if found:
            # headers are where damage tells
            found[_place(len(found), dice)] ^= 1 << dice.randrange(8)
    return bytes(found)


def _bytes(content: bytes, dice: random.Random) -> bytes:
    place, length = _place(len(content), dice), dice.choice((1, 4, 16, 256))
    filling = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))
    return content[:place] + filling + content[place + length :]


def _number(content: bytes, dice: random.Random) -> bytes:
    place, form = _place(len(content), dice) & ~1, dice.choice(("<H", "<I", ">I", "<Q"))
    value = struct.pack(form, dice.choice(NUMBERS) & ((1 << 8 * struct.calcsize(form)) - 1))
    return content[:place] + value + content[place + len(value) :]


def _exchange(content: bytes, dice: random.Random) -> bytes:
    a, b, c = sorted(dice.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _repeat(content: bytes, dice: random.Random) -> bytes:
    a, b = sorted(dice.randrange(len(content) + 1) for _ in range(2))
    return content[:b] + content[a:b] * dice.choice((1, 3)) + content[b:]


def _place(length: int, dice: random.Random) -> int:
    return dice.randrange(max(1, min(length, dice.choice((64, 600, length)))))


WORDS = (
    b"null", b"-1", b"1e999", b"NaN", b"9" * 5000, b'""', b"[]", b"{}", b"true", b"[" * 5000, b"{\"a\":" * 3000,
    b"!!python/object/apply:os.system [echo]", b"&a [*a, *a]", b"\x00", b"\xff\xfe", b"\\ud800", b"../../etc/passwd",
    b"2020-99-99", b"0x", b"1:99", b"<<: *x", b"? [1]", b"\x1b[2J",
)  # fmt: skip


def _word(content: bytes, dice: random.Random) -> bytes:
    """Another word in place of one."""
    starts = [k for k, sign in enumerate(content) if sign in b' :,[{"\n' and k + 1 < len(content)]
    if not starts:
        return dice.choice(WORDS)
    start = dice.choice(starts) + 1
    end = next((k for k in range(start, len(content)) if content[k] in b",]}\n:"), len(content))
    return content[:start] + dice.choice(WORDS) + content[end:]


def _entries(content: bytes) -> list[int]:
    """Places of the entries of the first directory of a classic little-endian TIFF."""
    if content[:4] != b"II*\0" or len(content) < 8:
        return []
    place = struct.unpack_from("<I", content, 4)[0]
    if place + 2 > len(content):
        return []
    count = struct.unpack_from("<H", content, place)[0]
    return [k for k in range(place + 2, place + 2 + 12 * min(count, 100), 12) if k + 12 <= len(content)]


def _tiff_entry(content: bytes, dice: random.Random) -> bytes:
    """A lying tag: another value, type, count or name."""
    places = _entries(content)
    if not places:
        return content
    found, place = bytearray(content), dice.choice(places)
    what = dice.choice(("value", "value", "value", "type", "count", "tag"))
    if what == "value":
        wide = struct.unpack_from("<H", content, place + 2)[0] != 3
        struct.pack_into("<I", found, place + 8, dice.choice(NUMBERS) if wide else dice.choice(NUMBERS) & 0xFFFF)
        if dice.random() < 0.5:
            struct.pack_into("<H", found, place + 2, 4)  # a size of 32 bits where there were 16
    elif what == "type":
        struct.pack_into("<H", found, place + 2, dice.randrange(20))
    elif what == "count":
        struct.pack_into("<I", found, place + 4, dice.choice(NUMBERS))
    else:
        struct.pack_into("<H", found, place, dice.choice(list(TAGS)))
    return bytes(found)


def _tiff_loop(content: bytes, dice: random.Random) -> bytes:
    """A directory whose successor is itself, or lies anywhere."""
    places = _entries(content)
    if not places or places[-1] + 16 > len(content):
        return content
    found = bytearray(content)
    first = struct.unpack_from("<I", content, 4)[0]
    struct.pack_into("<I", found, places[-1] + 12, dice.choice((first, 4, dice.randrange(len(content)))))
    return bytes(found)


def _tiff_count(content: bytes, dice: random.Random) -> bytes:
    """A directory of another number of entries."""
    if content[:4] != b"II*\0" or len(content) < 8 or struct.unpack_from("<I", content, 4)[0] + 2 > len(content):
        return content
    found = bytearray(content)
    struct.pack_into("<H", found, struct.unpack_from("<I", content, 4)[0], dice.choice((0, 1, 3, 200, 0xFFFF)))
    return bytes(found)


def tiff(tags: dict[int, tuple[str, list[int]]], data: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory, tag by tag as (`H` or `I`, values); 0 stands for the place of `data`."""
    start = 8
    directory, extra = b"", b""
    extra_at = start + 2 + 12 * len(tags) + 4
    data_at = extra_at + sum(
        struct.calcsize(f"<{len(v)}{t}") for t, v in tags.values() if len(v) * (2, 4)[t == "I"] > 4
    )
    for tag, (kind, values) in sorted(tags.items()):
        values = [data_at if tag in (273, 324) and value == 0 else value for value in values]
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            place, extra = struct.pack("<I", extra_at + len(extra)), extra + packed
        else:
            place = packed.ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(values)) + place
    return b"II*\0" + struct.pack("<IH", start, len(tags)) + directory + bytes(4) + extra + data


def zeros(mib: int) -> bytes:
    """So many MiB of zeros, deflated: the same block again and again, which takes no time to make."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = ((mib * 2**20 % 65521) << 16) | 1
    return b"\x78\x9c" + block * mib + b"\x03\x00" + struct.pack(">I", checksum)


@lru_cache(maxsize=1)
def made_tiffs() -> tuple[bytes, ...]:
    """TIFFs that lie by design."""
    return tuple(_made_tiffs())


def _made_tiffs() -> Iterator[bytes]:
    def image(width: int, height: int, rows: int, data: bytes, **more: Any) -> bytes:
        tags = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [8]), 259: ("H", [more.pop("packed", 1)])}
        tags |= {262: ("H", [1]), 273: ("I", [0]), 277: ("H", [1]), 278: ("I", [rows]), 279: ("I", [len(data)])}
        return tiff(tags | more.pop("tags", {}), data)

    largest = 2**31 - 1
    yield image(largest, largest, 1, bytes(64))
    yield image(2**32 - 1, 2**32 - 1, 1, bytes(64))
    yield image(16, 16, largest, bytes(256))
    yield image(largest, 1, 1, bytes(64), packed=8)
    yield image(100_000, 100_000, 100_000, zeros(1), packed=8)  # one strip of 10 GB
    yield image(2**14, 2**14, 2**14, zeros(256), packed=8)  # one of 256 MiB from a quarter of one
    yield image(2**15, 2**15, 2**15, zeros(1024), packed=8)  # as large as a block may be
    yield image(16, 16, 16, bytes(256), tags={258: ("H", [65535])})
    yield image(16, 16, 16, bytes(256), tags={277: ("H", [65535])})
    yield image(16, 16, 16, bytes(256), tags={279: ("I", [2**32 - 1])})
    yield image(16, 16, 16, bytes(256), tags={273: ("I", [2**32 - 2])})
    tiled = {322: ("I", [65536]), 323: ("I", [65536]), 324: ("I", [0]), 325: ("I", [64])}
    yield image(65536, 65536, 16, bytes(64), packed=8, tags=tiled)
    yield image(2**30, 2**30, 16, bytes(64), packed=8, tags=tiled)
    yield image(2**24, 2**24, 16, bytes(64), tags=tiled | {322: ("I", [256]), 323: ("I", [256])})


TOLERATED = ("Error: Key ",)
"""What libgeotiff prints on its own, whatever GDAL is told."""
TEXTS = ("trace", "arrows", "mask", "recipe", "training", "about", "records", "bounds", "probav references")


class Reader(NamedTuple):
    """What is fuzzed."""

    make: Callable[[Path], Path]
    """Write a good file into a folder; its name."""
    read: Callable[[Path], object]
    damage: str = ""
    """Damage a file of this name inside, where what is made is a folder or of several files; `*` for any."""


def readers() -> dict[str, Reader]:
    """Every reader whose libraries are there."""
    import fuzz_subjects

    return {name: Reader(*parts) for name, parts in fuzz_subjects.SUBJECTS.items() if fuzz_subjects.available(name)}


class Job(NamedTuple):
    """One damaged file."""

    kind: str
    number: int


def damage(job: Job, made: Path, seed: int) -> None:
    """Damage what was made, by the number alone; number 0 leaves it as it is."""
    dice = random.Random(f"{seed} {job.kind} {job.number}")
    if job.number == 0:
        return
    if job.kind == "tiff" and job.number <= len(designed := made_tiffs()):
        made.write_bytes(designed[job.number - 1])
        return
    pattern = readers()[job.kind].damage
    if pattern:
        folder = made if made.is_dir() else made.parent
        made = dice.choice(sorted(path for path in folder.rglob(pattern) if path.is_file()))
        if dice.random() < 0.05:
            made.unlink()
            return
    made.write_bytes(mutated(made.read_bytes(), job.kind, dice))


def work(memory_mib: int, seed: int) -> None:
    """Read the jobs that come by line, one after another, and say how each ended."""
    import resource

    warnings.simplefilter("error")
    known = readers()
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    good: dict[str, Path] = {}
    answer = os.fdopen(os.dup(1), "w")
    loud = place / "said"
    said = os.open(loud, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    for line in sys.stdin:
        job = Job(*json.loads(line))
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        if job.kind not in good:
            folder = place / "good" / job.kind
            folder.mkdir(parents=True)
            good[job.kind] = known[job.kind].make(folder)
            known[job.kind].read(good[job.kind])  # its libraries are loaded now
            shutil.rmtree(folder)
            folder.mkdir()
            good[job.kind] = known[job.kind].make(folder)
        here = place / "now"
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(place / "good" / job.kind, here)
        made = here / good[job.kind].relative_to(place / "good" / job.kind)
        damage(job, made, seed)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + (memory_mib << 20), hard))
        os.ftruncate(said, 0)
        os.lseek(said, 0, os.SEEK_SET)
        answer.write(json.dumps([*job, *_outcome(known[job.kind].read, made), loud.read_text(errors="replace")[-300:]]))
        answer.write("\n")
        answer.flush()
    shutil.rmtree(place)


def _outcome(read: Callable[[Path], object], path: Path) -> tuple[str, str]:
    from terrashift.errors import TerrashiftError

    try:
        read(path)
    except TerrashiftError as error:
        return "refused", str(error)[:300]
    except Exception as error:
        import traceback

        last = traceback.extract_tb(error.__traceback__)
        place = next((f"{Path(f.filename).name}:{f.lineno}" for f in reversed(last) if "terrashift" in f.filename), "")
        return "escaped", f"{type(error).__name__} at {place}: {str(error)[:200]}"
    return "read", ""


class Worker:
    """A process that reads files, started again where one killed it."""

    def __init__(self, memory_mib: int, seed: int) -> None:
        words = [sys.executable, __file__, "--work", "--memory", str(memory_mib), "--seed", str(seed)]
        self.words, self.process = words, None

    def ask(self, job: Job, seconds: float) -> tuple[str, str]:
        """How it ended: read, refused, escaped, loud (something was printed), hung or died; and what was said."""
        fresh = self.process is None
        if self.process is None:
            self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], seconds + (60 if fresh else 10))
        began = time.monotonic()
        line = self.process.stdout.readline() if ready else b""
        if not line:
            if ready:
                return "died", f"exit status {self._bury(self.process)}"
            self.stop()
            return "hung", f"{time.monotonic() - began + seconds:.0f} s"
        _, _, ended, text, said = json.loads(line)
        said = "\n".join(line for line in said.splitlines() if line and not line.startswith(TOLERATED))
        return ("loud", said) if said and ended != "escaped" else (ended, text)

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self._bury(self.process)

    def _bury(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for its end, and close what led to it; its exit status."""
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self.process = None
        return code


class Found(NamedTuple):
    """How the damaged files of one reader ended."""

    kind: str
    counts: Counter[str]
    faults: list[str]


def fuzz(kind: str, numbers: range, worker: Worker, seconds: float) -> Found:
    """Read the damaged files of one kind."""
    counts: Counter[str] = Counter()
    faults = []
    for number in numbers:
        ended, text = worker.ask(Job(kind, number), seconds)
        counts[ended] += 1
        if ended not in ("read", "refused") or (number == 0 and ended != "read"):
            faults.append(f"{kind} {number}: {ended}: {text}")
    return Found(kind, counts, faults)


def main() -> int:
    """Read the command line, fuzz, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="kinds of files", default=None)
    parser.add_argument("--count", type=int, default=300, help="damaged files of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0, help="for one file")
    parser.add_argument("--memory", type=int, default=2048, help="MiB beyond what the process has before")
    parser.add_argument("--keep", type=Path, help="folder for the file --number of the kind --only")
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.memory, asked.seed)
        return 0
    if asked.keep:
        asked.keep.mkdir(parents=True)
        made = readers()[asked.only[0]].make(asked.keep)
        damage(Job(asked.only[0], asked.number), made, asked.seed)
        print(made)
        return 0
    worker = Worker(asked.memory, asked.seed)
    faults: list[str] = []
    print("| reader | read all the same | refused | not clean |\n| --- | --- | --- | --- |")
    for kind in asked.only or readers():
        found = fuzz(kind, range(asked.first, asked.first + asked.count + 1), worker, asked.seconds)
        others = sum(found.counts.values()) - found.counts["read"] - found.counts["refused"]
        print(f"| {kind} | {found.counts['read']} | {found.counts['refused']} | {others} |", flush=True)
        faults += found.faults
    worker.stop()
    print("\n" + "\n".join(faults) if faults else "\nevery file was read, or refused by an error of ours")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
