"""Feeds one target with atheris, which looks for input that reaches code no input before has reached."""

import argparse
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import atheris

#: A single input may take so long, on a busy machine, and all so much memory.
_LONGEST_S = 60
_MEMORY_MB = 1024


def main() -> None:
    """Feed the target that is named; does not return."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("folder", type=Path, help="for what it begins with, and what it finds")
    for limit in ("seconds", "runs", "seed"):
        parser.add_argument(f"--{limit}", type=int, default=0)
    asked = parser.parse_args()
    with atheris.instrument_imports(include=["proxyreload"]):
        target = import_module("tests.fuzz.targets").TARGETS[asked.target]
    folder = asked.folder
    corpus = folder / "corpus"
    corpus.mkdir()
    for seed in target.seeds():
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    options = {
        "max_total_time": asked.seconds,
        "runs": asked.runs or -1,
        "seed": asked.seed,
        "max_len": target.longest,
        "timeout": _LONGEST_S,
        "rss_limit_mb": _MEMORY_MB,
        "dict": words,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    atheris.Setup(
        [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)],
        target.take,
        internal_libfuzzer=True,
    )
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
