"""Near-duplicates by other packages, run by the Python of an environment of their own; imports nothing of the studio.

    python near_duplicates.py gaoya|rensa|datasketch|semhash TEXTS OUT ENCODER

TEXTS is a JSON list. OUT gets ``pairs`` (later, earlier) that the side takes for alike at 0.8, ``wall`` and ``cpu`` in seconds
from the texts in memory to the pairs, ``peak`` in bytes and ``version``. MinHash works on shingles of five words with the bands
of the studio (21 of 6 hashes), so that each has the same chance. ENCODER is a folder, for semhash.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

Pairs = list[tuple[int, int]]
THRESHOLD, SIZE, BANDS, WIDTH = 0.8, 5, 21, 6
_WORD = re.compile(r"\w+")


def shingles(text: str) -> list[str]:
    """Five words in a row each; a shorter text is one shingle."""
    words = _WORD.findall(text.lower())
    return [" ".join(words[start : start + SIZE]) for start in range(max(1, len(words) - SIZE + 1))]


def _earlier(found: Iterator[tuple[int, list[int]]]) -> Pairs:
    """Each pair once, the later one first."""
    return [(index, other) for index, others in found for other in sorted(set(others)) if other < index]


def gaoya(texts: list[str], _: str) -> Pairs:
    """As its README: an index of strings, inserted and asked in bulk, in all threads."""
    import gaoya

    index = gaoya.minhash.MinHashStringIndex(32, THRESHOLD, BANDS, WIDTH, None, "word", True, (SIZE, SIZE), "smallvec")
    index.par_bulk_insert_docs(list(range(len(texts))), texts)
    return _earlier(enumerate(index.par_bulk_query(texts)))


def rensa(texts: list[str], _: str) -> Pairs:
    """RMinHash and its LSH."""
    from rensa import RMinHash, RMinHashLSH

    sketches = RMinHash.from_token_sets((shingles(text) for text in texts), BANDS * WIDTH, 42)
    index = RMinHashLSH(THRESHOLD, BANDS * WIDTH, BANDS)
    index.insert_many(sketches)
    answers = enumerate(index.query_all(sketches))
    # Its index gives candidates; its README compares the sketches of these.
    return [(one, other) for one, other in _earlier(answers) if sketches[one].jaccard(sketches[other]) >= THRESHOLD]


def datasketch(texts: list[str], _: str) -> Pairs:
    """MinHash and MinHashLSH."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=BANDS * WIDTH, params=(BANDS, WIDTH))
    pairs: Pairs = []
    sketches = []
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=BANDS * WIDTH)
        sketch.update_batch([shingle.encode() for shingle in set(shingles(text))])
        pairs += [(number, other) for other in sorted(index.query(sketch)) if sketch.jaccard(sketches[other]) >= THRESHOLD]
        index.insert(number, sketch)
        sketches.append(sketch)
    return pairs


def semhash(texts: list[str], folder: str) -> Pairs:
    """Static vectors of model2vec, made of an encoder's own token vectors, for its weights are on a hub only."""
    import numpy as np
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from semhash import SemHash
    from tokenizers import Tokenizer

    weights = load_file(Path(folder) / "model.safetensors")
    vectors = next(value for name, value in weights.items() if name.endswith("word_embeddings.weight"))
    model = StaticModel(vectors.astype(np.float32), Tokenizer.from_file(str(Path(folder) / "tokenizer.json")), normalize=True)
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(text, number)
    found = SemHash.from_records(records=texts, model=model).self_deduplicate(threshold=0.9)
    pairs = {tuple(sorted((first[gone.record], first[gone.duplicate_of]), reverse=True)) for gone in found.filtered}
    return [(one, other) for one, other in sorted(pairs) if one != other]


SIDES: dict[str, Callable[[list[str], str], Pairs]] = {
    "gaoya": gaoya, "rensa": rensa, "datasketch": datasketch, "semhash": semhash,
}  # fmt: skip


def peak_of_this() -> int:
    """Largest resident memory of this process in bytes; what getrusage gives begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


def main(side: str, texts_file: str, out: str, encoder: str = "") -> None:
    """Measure one side."""
    texts = json.loads(Path(texts_file).read_text(encoding="utf-8"))
    before, began = os.times(), time.perf_counter()
    pairs = SIDES[side](texts, encoder)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.user + after.system - before.user - before.system
    told = {"pairs": pairs, "wall": wall, "cpu": cpu, "peak": peak_of_this(), "version": metadata.version(side)}
    Path(out).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
