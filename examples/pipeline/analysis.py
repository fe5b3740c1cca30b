"""What is to be said about one text; all that an endpoint needs."""

from dataclasses import dataclass

from asyncmeta import All, AsyncDependencyDescriptor, AsyncServiceBase

from .languages import LanguageModel, Pretrained
from .sentiment import EnglishSentiment, Sentiment, SentimentModel
from .steps import Preparation, Step


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the models say about a text."""

    text: str  #: as it was after the last step
    language: str  #: ISO 639-1, as "en"
    confidence: float  #: 0 to 1
    model: str  #: which one judged the language
    sentiment: Sentiment | None  #: of English texts


class Analyser(AsyncServiceBase):
    """Prepares a text and asks the models. One for the program; it keeps nothing of the texts."""

    steps = AsyncDependencyDescriptor(All[Step])
    languages = AsyncDependencyDescriptor(LanguageModel)
    sentiments = AsyncDependencyDescriptor(SentimentModel)

    async def analyse(self, text: str) -> Analysis:
        """
        Say in which language *text* is, and, of an English one, how it sounds.

        Raises:
            Refused: A step would not let it through.
        """
        for step in await self.steps:
            text = await step.apply(text)
        model = await self.languages
        language, confidence = await model.language_of(text)
        sentiment = None
        if language == "en":  # a program that never meets one never loads that model, unless it was started
            sentiment = await (await self.sentiments).sentiment_of(text)
        return Analysis(text, language, confidence, model.name, sentiment)


class TextAnalysis(Pretrained, EnglishSentiment, Preparation, providers=[Analyser]):
    """All layers that an Analyser needs. An application with this base can ask for one."""
