"""What the practice model knows of its subject, and how a question finds its entry.

A question and the phrasings of knowledge.toml become sets of word stems and of pairs of neighbours. What they
share counts, a rare word more than a frequent one, against what either has alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from .rows import Row, Text, read, table

FILE = Path(__file__).with_name("knowledge.toml")
_MISSING, _EXTRA = 0.45, 0.35
"""How much a word counts that only the phrasing has, and one that only the question has."""
_DOUBT, _ANSWERED = 0.45, 0.25
"""What is left of a score where as many words are strange as ours; the share of an answer in it."""
_EMPTY, _SORT, _COMMON, _UNKNOWN, _EVERYDAY = 0.1, 0.5, 1.2, 3.5, 10.0
"""The weight of a word that says nothing, asks for a sort, is common, is new, speaks of something else."""
_PAIR, _ALIKE = 0.5, 0.81
"""How much a pair's rarity counts, and how much of its letters a misspelt word shares with the right one."""
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


def words_of(text: str) -> list[str]:
    """The words of `text`, in small letters, slang spelled out, names such as RateLimitError in parts."""
    text = _CAMEL.sub(" ", text.replace("’", "'")).lower().replace("n't", " not").replace("_", " ")
    text = _IS.sub(r"\1 is", text).replace("'re", " are").replace("'m", " am")
    text = re.sub(_lexicon()["slang"], lambda found: table("words.toml")["slang"][found[0]], text)
    return re.findall(r"[^\W\d_]+|\d+(?:\.\d+)?|\$", re.sub(r"'(?:s|ll|ve|d)\b", "", text))


@lru_cache(maxsize=10_000)
def stem(word: str) -> str:
    """`word` without endings, or what means the same; a word that says little stays as it is."""
    return word if word in _lexicon()["light"] else _lexicon()["same"].get(_bare(word), _bare(word))


def loud(text: str) -> list[str]:
    """The stems of `text` that may name a subject."""
    return [found for found in map(stem, words_of(text)) if found not in _lexicon()["light"]]


def speaks_of_it(text: str) -> int:
    """How many words of the subject `text` has, those that are common besides left out."""
    return len(_index().ours.intersection(loud(text)))


def everyday(text: str) -> bool:
    """Does `text` have a word that speaks of something else?"""
    return not _lexicon()["everyday"].isdisjoint(loud(text))


@lru_cache(maxsize=500)
def match(question: str, about: str = "") -> dict[str, float]:
    """The names of the entries nearest to `question`, best first, and how sure that is, from 0 to 1.

    `about` is what was spoken of before: its words are counted in, half.
    """
    index, everyday = _index(), _lexicon()["everyday"]
    features = _features(index.known(word) for word in words_of(question))
    asked = {f: index.weight.get(f, 0 if " " in f else _UNKNOWN) for f in features}
    for feature in _features(map(stem, words_of(about))):
        asked.setdefault(feature, index.weight.get(feature, 0) / 2)
    cost = asked | dict.fromkeys(everyday & asked.keys(), _EVERYDAY)
    total = sum(cost.values())
    strange = sum(3 if f in everyday else 1 for f in asked.keys() - index.weight.keys() if f.isalpha())
    shared, best = defaultdict(list), defaultdict(float)
    for feature in asked:
        for phrasing in index.holders.get(feature, ()):
            shared[phrasing].append(feature)
    for phrasing, features in shared.items():
        name, size = index.phrasings[phrasing]
        common = sum(asked[f] for f in features)
        missing, extra = max(0, size - common), total - sum(cost[f] for f in features)
        score = common / (common + _MISSING * missing + _EXTRA * extra)
        known = len(index.ours.intersection(features))
        if not known or strange > known - (known == 1):
            score *= _DOUBT
        best[name] = max(best[name], score * (1 - _ANSWERED))
    for feature in asked:
        for name in index.answers[feature] & best.keys():
            best[name] += _ANSWERED * asked[feature] / total
    return dict(sorted(best.items(), key=lambda item: (-item[1], item[0]))[:8])


class _Index:
    """Which phrasings hold a feature, and how much each is worth."""

    def __init__(self) -> None:
        lexicon, seen = _lexicon(), Counter()
        self.phrasings, self.holders, self.answers = [], defaultdict(list), defaultdict(set)
        self.vocabulary = defaultdict(Counter)
        for entry in entries().values():
            texts = [words_of(text) for text in (*entry.ask, entry.name)]
            sets = [_features(map(stem, words)) for words in texts]
            self.phrasings += [(entry.name, features) for features in sets]
            own = set().union(*sets)
            seen.update(own)
            for word in own.union(loud(f"{entry.brief} {entry.say}")) - lexicon["light"].keys():
                if word not in lexicon["common"]:
                    self.answers[word].add(entry.name)
            for word in (word for words in texts for word in words if len(word) > 3):
                self.vocabulary[word[0]][word] += 1
        rare = {f: math.log(1 + len(entries()) / n) * (_PAIR if " " in f else 1) for f, n in seen.items()}
        common = {word: min(_COMMON, rare.get(word, _COMMON)) for word in lexicon["common"]}
        self.weight = rare | common | lexicon["light"]
        for number, (name, features) in enumerate(self.phrasings):
            self.phrasings[number] = name, sum(self.weight[f] for f in features)
            for feature in features:
                self.holders[feature].append(number)
        self.ours = (
            {f for f in rare if " " not in f} - lexicon["everyday"] - common.keys() - lexicon["light"].keys()
        )

    def known(self, word: str) -> str:
        """The stem of `word`, or of the word of the file that it is a misspelling of."""
        found = stem(word)
        if found in self.weight or len(word) < 4 or found in _lexicon()["everyday"]:
            return found
        near = [w for w in self.vocabulary[word[0]] if abs(len(w) - len(word)) < 2]
        near = near if len(word) > 4 else [w for w in near if stem(w) not in _lexicon()["light"]]
        return stem(next(iter(get_close_matches(word, near, 1, _ALIKE)), word))


@cache
def _index() -> _Index:
    return _Index()


@cache
def _lexicon() -> dict[str, Any]:
    """words.toml: what counts little, what is read as something else, what means the same."""
    words = table("words.toml")
    same: dict[str, str] = {}
    for group in words["same"]["groups"].strip().splitlines():
        first, *_ = members = [_bare(word) for word in group.split()]
        same |= {member: same.get(first, first) for member in members if member not in same}
    light = dict.fromkeys(words["empty"].split(), _EMPTY) | dict.fromkeys(words["sorts"].split(), _SORT)
    slang = "|".join(map(re.escape, sorted(words["slang"], key=len, reverse=True)))
    everyday, common = (
        {same.get(_bare(word), _bare(word)) for word in words[kind].split()}
        for kind in ("everyday", "common")
    )
    return {
        "light": light,
        "same": same,
        "slang": re.compile(rf"\b(?:{slang})\b"),
        "everyday": everyday,
        "common": common - everyday,
    }


def _bare(word: str) -> str:
    """`word` without its endings."""
    for _ in range(3):
        shorter = _ENDINGS.sub("", word)
        if len(shorter) < 3 or shorter == word:
            break
        word = shorter
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou" else word


def _features(stems: Iterable[str]) -> set[str]:
    """The stems and each pair of neighbours among those that say something."""
    stems = [*stems]
    speaking = [stem for stem in stems if stem not in _lexicon()["light"]]
    return {*stems, *(f"{a} {b}" for a, b in pairwise(speaking))}
