"""Classifies an image in real time, or a folder of images in batch.

python classify.py                       an image that the network has not seen
python classify.py IMAGE --top 3         labels and scores of one image
python classify.py FOLDER -o out.jsonl   every image in the folder, one line of JSON for each
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from model import SAMPLES, DigitClassifier

from foretell import InferenceError

ENDINGS = {".png", ".jpg", ".jpeg"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", metavar="IMAGE|FOLDER")
    parser.add_argument("--top", type=int, default=3, help="how many labels; default 3")
    parser.add_argument("-o", "--out", type=Path, help="file for the answers of a folder; default: print them")
    options = parser.parse_args()
    if options.top < 1:
        parser.error("--top takes 1 or more")
    if options.source and not options.source.exists():
        parser.error(f"{options.source}: there is no such file or folder")
    if options.out and not (options.source and options.source.is_dir()):
        parser.error("--out is for the answers of a FOLDER; that of one image is printed")
    try:
        with DigitClassifier(top=options.top) as classifier:
            source = options.source or min(SAMPLES.iterdir())
            if source.is_dir():
                classify_folder(classifier, source, options.out)
            else:
                classify_image(classifier, source)
    except (InferenceError, OSError) as error:
        sys.exit(f"classify.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def classify_image(classifier: DigitClassifier, file: Path) -> None:
    """Real time: one image, one answer."""
    started = time.perf_counter()
    answer = classifier.predict(file)
    lasted_ms = (time.perf_counter() - started) * 1000
    best = [f"{label} {score:.3f}" for label, score in zip(answer["labels"], answer["scores"], strict=True)]
    print(f"{file}: {', '.join(best)}   ({lasted_ms:.1f} ms)")


def classify_folder(classifier: DigitClassifier, folder: Path, out: Path | None) -> None:
    """Batch: the next images are decoded while the network works on these."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    if not files:
        sys.exit(f"classify.py: {folder}: there is no image in this folder")
    started = time.perf_counter()
    answers = classifier.predict_batch(files, batch_size=16, num_workers=2)
    lasted_s = time.perf_counter() - started
    each = zip(files, answers["labels"].tolist(), answers["scores"].tolist(), strict=True)
    lines = [json.dumps({"file": str(file), "labels": labels, "scores": scores}) for file, labels, scores in each]
    if out is None:
        print("\n".join(lines))
    else:
        out.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(files)} images in {lasted_s * 1000:.0f} ms", file=sys.stderr)


if __name__ == "__main__":
    main()
