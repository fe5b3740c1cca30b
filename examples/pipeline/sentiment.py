"""How does an English text sound?"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from asyncmeta import AsyncServiceBase, inject_dependency

CLEAR = 0.05  #: a score nearer to 0 says nothing; the value that VADER's authors give


@dataclass(frozen=True, slots=True)
class Sentiment:
    """What the model says."""

    mood: str  #: "positive", "negative" or "neutral"
    score: float  #: -1, as bad as can be, to 1


class SentimentModel(Protocol):
    """What the pipeline asks for."""

    async def sentiment_of(self, text: str) -> Sentiment:
        """Judge an English *text*; tasks may ask at the same time."""
        ...


class Vader:
    """The word list and the rules that the package vaderSentiment ships."""

    def __init__(self, scores: Callable[[str], dict[str, float]]) -> None:
        self._scores = scores

    async def sentiment_of(self, text: str) -> Sentiment:
        score = (await asyncio.to_thread(self._scores, text))["compound"]
        mood = "positive" if score >= CLEAR else "negative" if score <= -CLEAR else "neutral"
        return Sentiment(mood, score)


class EnglishSentiment(AsyncServiceBase):
    """The layer with the model for English."""

    @inject_dependency(SentimentModel, in_thread=True)
    @staticmethod
    def load_lexicon() -> Vader:
        """Read the word list; beside the language model, if both are wanted."""
        from vaderSentiment import vaderSentiment  # type: ignore[import-untyped, import-not-found, unused-ignore]

        return Vader(vaderSentiment.SentimentIntensityAnalyzer().polarity_scores)
