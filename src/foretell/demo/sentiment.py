"""Is a review positive, neutral or negative? A model in plain Python over a lexicon of words: nothing is trained.

Method: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypedDict

SENTIMENTS = ("positive", "neutral", "negative")
_CLEAR = 0.05
"""The authors call a text neutral while its compound score is nearer to zero than this."""


class Sentiments(TypedDict):
    """One value for each text; `scores` holds the shares of `SENTIMENTS`, `compound` lies between -1 and 1."""

    label: list[str]
    scores: list[list[float]]
    compound: list[float]


class ReviewSentiment:
    """Takes texts, in English; any emoji counts as its description."""

    labels: ClassVar[Mapping[str, tuple[str, ...]]] = {"scores": SENTIMENTS}

    def load(self) -> None:
        """Reads the lexicon, once."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyzer = SentimentIntensityAnalyzer()

    def predict(self, text: list[str]) -> Sentiments:
        found = [self._analyzer.polarity_scores(one) for one in text]
        return {
            "label": [_label(each["compound"]) for each in found],
            "scores": [[each["pos"], each["neu"], each["neg"]] for each in found],
            "compound": [each["compound"] for each in found],
        }


def _label(compound: float) -> str:
    if abs(compound) < _CLEAR:
        return "neutral"
    return "positive" if compound > 0 else "negative"
