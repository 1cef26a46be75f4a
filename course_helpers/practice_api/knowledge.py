"""What the practice model knows of its subject, and how a question finds its entry.

A question and the phrasings of knowledge.toml become sets of word stems and of pairs of neighbours. What they
share counts, a rare word more than a frequent one, against what either has alone.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

from .rows import Row, Text, read

FILE = Path(__file__).with_name("knowledge.toml")
WORDS = Path(__file__).with_name("words.toml")
_MISSING, _EXTRA = 0.45, 0.35
"""How much a word counts that only the phrasing has, and one that only the question has."""
_ANSWERED = 0.25
"""How much it counts that an entry's answer, not its phrasing, has the words of the question."""
_ALIKE = 0.8
"""How much of its letters a misspelt word shares with the right one."""
_RARE, _DOUBT = 4.8, 0.45
"""Where no word of the subject is shared, or no rare one and as many are unknown, a score counts less."""
_UNKNOWN, _EVERYDAY = 3.5, 10.0
"""The weight of a word that no entry has, and of one that speaks of something else."""
_EMPTY, _SORT, _COMMON, _PAIR = 0.1, 0.5, 1.2, 0.5
"""The weight of words that say nothing, that say what sort of question it is, and that are common; and how
much a pair's rarity counts."""
_ENDINGS = re.compile(r"(?:ings?|ied|ies|edly|ed|es|s|ers?|est|ly|y|e|i)$")
_IS = re.compile(r"\b(what|who|how|where|when|why|that|it|there|here|he|she)'s\b")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Entry(Row):
    """One term or question; the head of knowledge.toml says what each field is."""

    name: Text
    ask: list[Text]
    say: Text
    brief: Text
    lesson: int
    word: Text = ""
    simple: Text = ""
    why: Text = ""
    example: Text = ""
    python: Text = ""
    price: Text = ""
    of: str = ""

    def __hash__(self) -> int:
        return hash(self.name)

    def part(self, name: str) -> str:
        """The field `name`, or where it is empty that of the entry that this one belongs to."""
        return getattr(self, name) or (self.of and getattr(entries()[self.of], name))


@cache
def entries() -> dict[str, Entry]:
    """The entries by name. Raises ValueError that names the file, the entry and what is wrong with it."""
    found = {entry.name: entry for entry in read(FILE, "entry", Entry)}
    for entry in found.values():
        if entry.of and (entry.of not in found or found[entry.of].of):
            raise ValueError(f"{FILE.name}, {entry.name}: of names no entry of its own, {entry.of!r}.")
    return found


@dataclass(frozen=True)
class Lexicon:
    """words.toml: what counts little, what is read as something else, what means the same."""

    light: dict[str, float]
    slang: dict[str, str]
    slang_in: re.Pattern[str]
    same: dict[str, str]
    everyday: frozenset[str]
    common: frozenset[str]


@cache
def _lexicon() -> Lexicon:
    words = tomllib.loads(WORDS.read_text("utf-8"))
    same = {}
    for group in words["same"]["groups"].strip().splitlines():
        first, *_ = members = [_bare(word) for word in group.split()]
        same |= {member: same.get(first, first) for member in members if member not in same}
    light = dict.fromkeys(words["empty"].split(), _EMPTY) | dict.fromkeys(words["sorts"].split(), _SORT)
    slang = sorted(words["slang"], key=len, reverse=True)
    everyday, common = (
        frozenset(same.get(_bare(word), _bare(word)) for word in words[kind].split())
        for kind in ("everyday", "common")
    )
    slang_in = re.compile(r"\b(?:" + "|".join(map(re.escape, slang)) + r")\b")
    return Lexicon(light, words["slang"], slang_in, same, everyday, common - everyday)


@lru_cache(maxsize=10_000)
def _bare(word: str) -> str:
    """`word` without its endings."""
    for _ in range(3):
        shorter = _ENDINGS.sub("", word)
        if len(shorter) < 3 or shorter == word:
            break
        word = shorter
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou" else word


def words_of(text: str) -> list[str]:
    """The words of `text`, in small letters, slang spelled out, names such as RateLimitError in parts."""
    text = _CAMEL.sub(" ", text.replace("’", "'")).lower().replace("n't", " not").replace("_", " ")
    text = _IS.sub(r"\1 is", text).replace("'re", " are").replace("'m", " am")
    text = _lexicon().slang_in.sub(lambda found: _lexicon().slang[found[0]], text)
    return re.findall(r"[^\W\d_]+|\d+(?:\.\d+)?|\$", re.sub(r"'(?:s|ll|ve|d)\b", "", text))


def stem(word: str) -> str:
    """`word` without endings, or what means the same; a word that says little stays as it is."""
    lexicon = _lexicon()
    return word if word in lexicon.light else lexicon.same.get(_bare(word), _bare(word))


def _features(stems: list[str]) -> set[str]:
    """The stems and each pair of neighbours among those that say something."""
    loud = [stem for stem in stems if stem not in _lexicon().light]
    return {*stems, *(f"{a} {b}" for a, b in pairwise(loud))}


def loud(text: str) -> list[str]:
    """The stems of `text` that may name a subject."""
    return [found for found in map(stem, words_of(text)) if found not in _lexicon().light]


def speaks_of_it(text: str) -> int:
    """How many words of the subject `text` has, those that are common besides left out."""
    return len(_ours().intersection(loud(text)))


def is_foreign(text: str) -> bool:
    """Does `text` have a word that neither the subject nor common talk has, not even misspelt?"""
    stems = [_index().known(word) for word in words_of(text)]
    return any(stem not in _index().weight for stem in stems)


@cache
def _ours() -> frozenset[str]:
    """The stems of the subject."""
    lexicon = _lexicon()
    return frozenset(_index().weight) - lexicon.common - lexicon.everyday - lexicon.light.keys()


def everyday(text: str) -> bool:
    """Does `text` have a word that speaks of something else?"""
    return not _lexicon().everyday.isdisjoint(loud(text))


class Index:
    """Which phrasings hold a feature, and how much each is worth."""

    def __init__(self) -> None:
        self.names, self.sizes, self.holders, self.answers = [], [], defaultdict(list), defaultdict(set)
        seen, self.vocabulary, self.spellings = Counter(), Counter(), defaultdict(set)
        for entry in entries().values():
            texts = [words_of(text) for text in (*entry.ask, entry.name)]
            sets = [_features([stem(word) for word in words]) for words in texts]
            for features in sets:
                for feature in features:
                    self.holders[feature].append(len(self.names))
                self.names.append(entry.name)
                self.sizes.append(features)
            seen.update(set().union(*sets))
            answer = {stem(word) for word in words_of(f"{entry.brief} {entry.say}")}
            for word in answer.union(*sets) - _lexicon().light.keys() - _lexicon().common:
                self.answers[word].add(entry.name)
            self.vocabulary.update(
                word for words in texts for word in words if len(word) > 3 and word.isalpha()
            )
        total = len(entries())
        rare = {f: math.log(1 + total / n) * (_PAIR if " " in f else 1) for f, n in seen.items()}
        common = {word: min(_COMMON, rare.get(word, _COMMON)) for word in _lexicon().common}
        self.weight = rare | common | _lexicon().light
        self.sizes = [sum(self.weight[f] for f in features) for features in self.sizes]
        for word in self.vocabulary:
            for form in _deletions(word):
                self.spellings[form].add(word)

    def known(self, word: str) -> str:
        """The stem of `word`, or of the word of the file that it is a misspelling of."""
        found = stem(word)
        if found in self.weight or len(word) < 4 or found in _lexicon().everyday or not word.isalpha():
            return found
        near = {w for form in _deletions(word) for w in self.spellings.get(form, ()) if w[0] == word[0]}
        near = near if len(word) > 4 else {w for w in near if stem(w) not in _lexicon().light}
        likeness = {w: (SequenceMatcher(None, word, w).ratio(), self.vocabulary[w], w) for w in near}
        near = [w for w in near if likeness[w][0] > _ALIKE or sorted(w) == sorted(word)]
        best = max(near, key=likeness.get, default=word)
        return stem(best)


def _deletions(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


@cache
def _index() -> Index:
    return Index()


@lru_cache(maxsize=500)
def match(question: str, about: str = "") -> dict[str, float]:
    """The names of the entries nearest to `question`, best first, and how sure that is, from 0 to 1.

    `about` is what was spoken of before: its words are counted in, half.
    """
    index, everyday = _index(), _lexicon().everyday
    stems = [index.known(word) for word in words_of(question)]
    asked = {f: index.weight.get(f, 0 if " " in f else _UNKNOWN) for f in _features(stems)}
    for feature in _features([stem(word) for word in words_of(about)]):
        asked.setdefault(feature, index.weight.get(feature, 0) / 2)
    cost = asked | {f: _EVERYDAY for f in asked if f in everyday}
    total = sum(cost.values())
    strange = sum((f not in index.weight) * (3 if f in everyday else 1) for f in asked if f.isalpha())
    shared, spared, best = defaultdict(float), defaultdict(float), {}
    ours = defaultdict(list)
    for feature, weight in asked.items():
        for phrasing in index.holders.get(feature, ()):
            shared[phrasing] += weight
            spared[phrasing] += cost[feature]
            if " " not in feature and feature in _ours():
                ours[phrasing].append(weight)
    for phrasing, common in shared.items():
        missing, extra = max(0, index.sizes[phrasing] - common), total - spared[phrasing]
        score = common / (common + _MISSING * missing + _EXTRA * extra)
        known = len(ours[phrasing])
        if not known or (strange > known - (known == 1) and max(ours[phrasing]) < _RARE):
            score *= _DOUBT
        name = index.names[phrasing]
        best[name] = max(best.get(name, 0), score * (1 - _ANSWERED))
    for feature in asked:
        for name in index.answers.get(feature, ()):
            if name in best:
                best[name] += _ANSWERED * asked[feature] / total
    return dict(sorted(best.items(), key=lambda item: (-item[1], item[0]))[:8])
