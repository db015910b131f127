"""Files that were damaged at random, and what the command may make of them."""
import os
import random
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import support

ENV = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
       "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def mutate(data, rng):
    """One of: some bytes changed, a piece cut out, a piece doubled, the end cut off."""
    data = bytearray(data)
    kind = rng.randrange(5)
    if kind <= 1:
        # The structure lies at the ends and between the weights; aim at small offsets as well.
        span = len(data) if kind else min(len(data), 400)
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(span)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        return bytes(data)
    at, size = rng.randrange(len(data)), rng.randrange(1, 64)
    if kind == 2:
        return bytes(data[:at] + data[at + size:])
    if kind == 3:
        return bytes(data[:at] + data[at:at + size] + data[at:])
    return bytes(data[:at])


def mutate_words(data, rng):
    """Some words of 4 bytes, as offsets, lengths and numbers are, become another, or one of another
    place."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at, other = (4 * rng.randrange(len(data) // 4) for _ in range(2))
        word = struct.unpack_from("<I", data, at)[0]
        word = rng.choice((0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, word + 1, word - 1,
                           word + 4, word - 4, len(data), len(data) - at,
                           struct.unpack_from("<I", data, other)[0]))
        struct.pack_into("<I", data, at, word & 0xFFFFFFFF)
    return bytes(data)


def run_mutant(path, out, args, timeout=120):
    """What is wrong with how the sanitized command takes a damaged file; None if nothing is: it
    works, or refuses in one line that names a file, and leaves none behind."""
    try:
        done = support.narrow(*args, command=support.NARROW_ASAN, env=ENV, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"{args[0]} hangs"
    lines, left = done.stderr.splitlines(), os.path.exists(out)
    if left:
        os.remove(out)
    if done.returncode == 0:
        return None
    named = len(lines) == 1 and (str(path) in lines[0] or str(out) in lines[0])
    named = named and lines[0].isprintable()
    if done.returncode == 2 and named and not left:
        return None
    return f"{args[0]} gives {done.returncode}\n" + "\n".join(lines[:30])


def check_mutants(seeds, times, folder, suffix, commands, mutators=(mutate,)):
    """Damages the seeds in turn; each command is the ending of its output and a function of (path,
    output) that gives its arguments."""
    rng = random.Random(7)
    jobs = [(i, mutators[i % len(mutators)](seeds[i % len(seeds)], rng)) for i in range(times)]

    def work(job):
        index, data = job
        end, args = commands[index % len(commands)]
        path, out = (os.path.join(folder, f"{index}{tail}") for tail in (suffix, ".out" + end))
        with open(path, "wb") as f:
            f.write(data)
        told = run_mutant(path, out, args(path, out))
        keep = os.environ.get("NARROW_KEEP_MUTANTS")
        if told and keep:
            os.replace(path, os.path.join(keep, os.path.basename(path)))
        else:
            os.remove(path)
        return told and f"mutant {index}: {told}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [told for told in pool.map(work, jobs) if told]
    assert not bad, f"{len(bad)} of {times}:\n" + "\n".join(bad[:5])
