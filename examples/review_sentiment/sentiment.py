"""The sentiment of reviews, in real time or in batch.

python sentiment.py "What a lovely film!"           one text
python sentiment.py                                 every line you type, at once
python sentiment.py --file reviews.txt -o out.csv   every line of a file, into .csv or .jsonl
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from model import ReviewSentiment

from foretell import InferenceError, Predictor

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?")
    parser.add_argument("--file", type=Path, help="a review on each line")
    parser.add_argument("-o", "--out", type=Path, help="a .csv or .jsonl file for the answers to --file")
    options = parser.parse_args()
    if (options.file is None) != (options.out is None) or (options.file and options.text):
        parser.error("--file and --out go together, without a text")
    if options.out and options.out.suffix not in (".csv", ".jsonl"):
        parser.error("--out ends in .csv or .jsonl")
    try:
        with Predictor(ReviewSentiment) as predictor:
            if options.file:
                in_batch(predictor, options.file, options.out)
            else:
                in_real_time(predictor, [options.text] if options.text else sys.stdin)
    except (InferenceError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"sentiment.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def in_real_time(predictor: Predictor, texts: Iterable[str]) -> None:
    """Answers each text as soon as it is there."""
    for text in texts:
        answer = predictor.predict(text.strip())
        print(f"{answer['label']:8}  {answer['score']:+.3f}", flush=True)


def in_batch(predictor: Predictor, source: Path, out: Path) -> None:
    """Reads, answers and writes as it goes, so the file may be larger than the memory.

    It is read twice, once for the model and once to stand beside the answers. `out` changes only when all is answered.
    """
    part, count = out.with_name(f"{out.name}.part"), 0
    try:
        with (
            source.open(encoding="utf-8") as asked,
            source.open(encoding="utf-8") as given,
            part.open("w", encoding="utf-8", newline="") as file,
        ):
            write = csv_writer(file) if out.suffix == ".csv" else jsonl_writer(file)
            for text, answer in zip(texts(given), predictor.predict_batch(texts(asked)), strict=True):
                write({"text": text, "label": answer["label"], "score": answer["score"]})
                count += 1
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{count} reviews: {out}", file=sys.stderr)


def texts(lines: Iterable[str]) -> Iterator[str]:
    return (line.strip() for line in lines if line.strip())


def csv_writer(file: TextIO) -> Callable[[Row], object]:
    writer = csv.DictWriter(file, ["text", "label", "score"])
    writer.writeheader()
    return writer.writerow


def jsonl_writer(file: TextIO) -> Callable[[Row], object]:
    return lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
