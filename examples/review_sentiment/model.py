"""Is a review positive, neutral or negative? A plain class, with nothing of foretell in it.

foretell serve examples/review_sentiment/model.py:ReviewSentiment
"""

from __future__ import annotations

from typing import TypedDict

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


class Sentiment(TypedDict):
    """One of each for every text. `score`: from -1, all negative, to 1, all positive."""

    label: list[str]
    score: list[float]


class ReviewSentiment:
    """Weighs the words of English texts by a lexicon."""

    def __init__(self) -> None:
        self.analyzer = SentimentIntensityAnalyzer()

    def predict(self, text: list[str]) -> Sentiment:
        scores = [self.analyzer.polarity_scores(one)["compound"] for one in text]
        return {"label": [label_of(score) for score in scores], "score": scores}


def label_of(score: float) -> str:
    """The bounds that the lexicon's authors recommend."""
    if score >= 0.05:
        return "positive"
    return "negative" if score <= -0.05 else "neutral"
