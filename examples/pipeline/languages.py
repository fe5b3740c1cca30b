"""Which language is it? One layer for each model that can say so."""

import asyncio
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from asyncmeta import AsyncServiceBase, inject_dependency

UNKNOWN = "und"  #: ISO 639's word for a language that was not determined


class Guess(NamedTuple):
    """What a model says."""

    language: str  #: ISO 639-1, as "en"; or UNKNOWN
    confidence: float  #: 0 to 1


class LanguageModel(Protocol):
    """What the pipeline asks for; which model it gets is said by the application's layers."""

    name: str

    async def language_of(self, text: str) -> Guess:
        """Judge *text*; tasks may ask at the same time."""
        ...


class PretrainedModel:
    """The model that the package py3langid ships: 139 languages, no network."""

    name = "py3langid"

    def __init__(self, classify: Callable[[str], tuple[str, float]]) -> None:
        self._classify = classify

    async def language_of(self, text: str) -> Guess:
        # In a thread: it computes, and the loop has others to serve. It only reads its tables, so many may.
        return Guess(*await asyncio.to_thread(self._classify, text))


class Pretrained(AsyncServiceBase):
    """The layer with the model that was trained by others."""

    @inject_dependency(LanguageModel, in_thread=True)
    @staticmethod
    def load_model() -> PretrainedModel:
        """Unpack the model, which takes most of a second; the loop goes on meanwhile."""
        # Imported here, in the thread: it brings numpy with it, and who takes another model needs neither.
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped, import-not-found, unused-ignore]

        return PretrainedModel(LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify)


class CommonWordsModel:
    """Counts the commonest words of a few languages: says why, is quick, and knows little."""

    name = "common words"

    def __init__(self, words: dict[str, str]) -> None:
        self._words = {language: frozenset(listed.split()) for language, listed in words.items()}

    async def language_of(self, text: str) -> Guess:
        found = re.findall(r"\w+", text.lower())
        hits = {language: sum(word in common for word in found) for language, common in self._words.items()}
        best = max(hits, key=hits.__getitem__)
        total = sum(hits.values())
        if not total or list(hits.values()).count(hits[best]) > 1:
            return Guess(UNKNOWN, 0.0)
        return Guess(best, hits[best] / total)


class CommonWords(AsyncServiceBase):
    """The layer with the model that anybody can read."""

    @inject_dependency(LanguageModel)
    @staticmethod
    def make_model() -> CommonWordsModel:
        return CommonWordsModel(
            {
                "de": "aber auf das dem den der die ein eine es hat ich im ist mit nicht noch sich sie und von war wir zu",
                "en": "a and at for have i in is it my not of on our that the they this to was we were with you",
                "es": "al con del el en es esta la las los me mi no para pero por que se su un una y",
                "fr": "au avec ce dans de des du elle en est et il je la le les mais nous pas pour que qui sur un une",
                "it": "al alla che con del della di e gli ha i il la le mi molto nel non per più sono un una",
                "nl": "dat de een en er het hij ik in is maar met naar niet op te van voor we wij zijn",
            }
        )
