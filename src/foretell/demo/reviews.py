"""Reviews of films and products, and the Python model that reads them."""

from __future__ import annotations

import csv
from importlib.resources import files

from foretell.demo.folder import DemoFolder
from foretell.demo.task import Task

_ENOUGH_CALLS = 600


def make_reviews(folder: DemoFolder, most_rows: int | None) -> Task:
    """Writes the model's source and the reviews as files; there is nothing to train."""
    package = files("foretell.demo")
    lines = (package / "reviews.csv").read_text("utf-8").splitlines()
    reviews = list(csv.DictReader(lines))[:most_rows]
    source = folder.new("reviews.py")
    source.write_text((package / "sentiment.py").read_text("utf-8"), "utf-8")
    model = f"{source}:ReviewSentiment"
    texts = [review["text"] for review in reviews]
    sample = folder.new("inputs", "reviews.txt")
    sample.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return Task(
        name="reviews",
        model=model,
        served_as=f"reviews={model}",
        rows=texts,
        expected=[sentiment_of(int(review["rating"])) for review in reviews],
        held_out=range(len(texts)),
        one="review",
        sample=sample,
        rounds=1 if most_rows else -(-_ENOUGH_CALLS // len(texts)),
    )


def sentiment_of(stars: int) -> str:
    """The sentiment that goes with one to five stars."""
    if stars == 3:
        return "neutral"
    return "positive" if stars > 3 else "negative"
