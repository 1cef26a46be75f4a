"""What the practice model knows: its files, the figures in their texts, and how a question finds its entry.

A question and the phrasings of knowledge.toml become sets of word stems and of pairs of neighbours. What they
share counts, a rare word more than a frequent one, against what either has alone.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, time
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

from ..files import read_rows
from ..models import ALIASES, AS_OF, MODEL, available, find_model

FILE = Path(__file__).with_name("knowledge.toml")
_LITTLE, _SOME, _NEW, _ELSEWHERE, _PAIR = 0.2, 1.2, 3.5, 10.0, 0.5
"""The weight of a word that says little, is common, is new or of something else; a pair, to its rarity."""
_MISSING, _EXTRA, _DOUBT, _ANSWERED = 0.45, 0.35, 0.45, 0.25
"""The weight of what only the phrasing or the question has; what is left of a score where as many words are
strange as ours; the share of an entry's answer in it."""
_ENDINGS = r"(\w{3,}?)(?:ings?|ied|ies|edly|ed|es|s|ers?|est|ly|y|e|i)*"
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CAPITAL = re.compile(r"\bcapital(?: city)? (?:of|in|for) (?:the )?([a-z ]+)|\b([a-z]+)'s capital\b")
_SUM = re.compile(
    r"(?<![\w.-])(-?\d+(?:\.\d+)?) ?(\+|plus|-|minus|[*x×]|times) ?(-?\d+(?:\.\d+)?)(?![\w.]|,\d)"
)
_IS = re.compile(r"\b(what|who|how|where|when|why|that|it|there|here|he|she)'s\b")
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@cache
def table(name: str) -> dict[str, Any]:
    """The file `name` beside this one."""
    return tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))


def _bare(word: str) -> str:
    """`word` without its endings."""
    found = re.fullmatch(_ENDINGS, word)
    return re.sub(r"(?<=..)([^aeiou])\1$", r"\1", found[1] if found else word)


_WORDS, _SAME = table("words.toml"), {}
for _group in _WORDS["same"]["groups"].strip().splitlines():
    _first, *_ = _members = [_bare(word) for word in _group.split()]
    _SAME = {member: _SAME.get(_first, _first) for member in _members} | _SAME
_SLANG = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(_WORDS['slang'], key=len, reverse=True)))})\b")
_LIGHT = {*_WORDS["empty"].split(), *_WORDS["sorts"].split()}
_EVERYDAY = {_SAME.get(word, word) for word in map(_bare, _WORDS["everyday"].split())}
_COMMON = {_SAME.get(word, word) for word in map(_bare, _WORDS["common"].split())}
"""Stems: what means the same; words that say little, are of everyday life, are common."""


class Entry(BaseModel, frozen=True, extra="forbid"):
    """One term or question; the head of knowledge.toml says what each field is."""

    name: Text
    ask: tuple[Text, ...]
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

    def part(self, name: str) -> str:
        """The field `name`, figures in it; where it is empty that of the entry that this one belongs to."""
        return fill(getattr(self, name) or getattr(entries().get(self.of, self), name))


@cache
def entries() -> dict[str, Entry]:
    """The entries by name. Raises ValueError that names the file, the line and what is wrong with it."""
    rows = read_rows(FILE.read_text("utf-8"), "entry", Entry, FILE.name)
    return {entry.name: entry for entry in rows}


def plain(text: str) -> str:
    """The words of `text`, in small letters, slang spelled out, names such as RateLimitError in parts."""
    text = _CAMEL.sub(" ", text.replace("’", "'")).lower().replace("n't", " not").replace("_", " ")
    text = _IS.sub(r"\1 is", text).replace("'re", " are").replace("'m", " am")
    text = _SLANG.sub(lambda found: _WORDS["slang"][found[0]], text)
    return " ".join(re.findall(r"[^\W\d_]+|\d+(?:\.\d+)?|\$", re.sub(r"'(?:s|ll|ve|d)\b", "", text)))


@lru_cache(maxsize=10_000)
def stem(word: str) -> str:
    """`word` without endings, or what means the same; a word that says little stays as it is."""
    return word if word in _LIGHT else _SAME.get(_bare(word), _bare(word))


def loud(text: str) -> list[str]:
    """The stems of `text` that may name a subject."""
    return [found for found in map(stem, plain(text).split()) if found not in _LIGHT]


def leaning(text: str) -> tuple[int, int]:
    """How many words of `text` are of the subject alone, and how many of everyday life."""
    stems = set(loud(text))
    return len(_index().ours & stems), len(_EVERYDAY & stems)


def general(question: str) -> tuple[str, str]:
    """What is known of capitals, sums and the facts of general.toml, and the same in three words; or ""."""
    asked, file = question.lower().replace("’", "'")[:500], table("general.toml")
    if found := _CAPITAL.search(asked):
        for name, capital in file["capitals"].items():
            if f"{found[1] or found[2]} ".startswith(f"{name.lower().removeprefix('the ')} "):
                known = f"It is one of {len(file['capitals'])} capitals that I know."
                return f"The capital of {name} is {capital}. {known}", capital
    if found := _SUM.search(asked):
        a, sign, b = float(found[1]), found[2], float(found[3])
        value = a + b if sign in ("+", "plus") else a - b if sign in ("-", "minus") else a * b
        return f"{found[0]} = {value:,.12g}.", f"{value:,.12g}"
    for fact in file["fact"]:
        if any(re.search(pattern, asked) for pattern in fact["ask"]):
            return fact["say"], fact["word"]
    return "", ""


@lru_cache(maxsize=500)
def match(question: str, about: str = "") -> dict[str, float]:
    """The names of the entries nearest to `question`, best first, and how sure that is, from 0 to 1.

    `about` is what was spoken of before: its words are counted in, half.
    """
    index = _index()
    asked = {f: index.weight.get(f, 0) / 2 for f in _features(map(stem, plain(about).split()))}
    features = _features(map(_known, plain(question).split()))
    asked |= {f: index.weight.get(f, 0 if " " in f else _NEW) for f in features}
    cost = asked | dict.fromkeys(_EVERYDAY & asked.keys(), _ELSEWHERE)
    total = sum(cost.values())
    strange = sum(3 if f in _EVERYDAY else 1 for f in asked.keys() - index.weight.keys() if f.isalpha())
    wanted, best = set(asked), defaultdict(float)
    telling = wanted - _LIGHT or wanted
    for name, phrasing, size in index.phrasings:
        if telling.isdisjoint(phrasing):
            continue  # small words alone make no entry a likely one
        shared = phrasing & wanted
        common, known = sum(asked[f] for f in shared), len(index.ours & shared)
        missing, extra = max(0, size - common), total - sum(cost[f] for f in shared)
        score = common / (common + _MISSING * missing + _EXTRA * extra)
        named = telling <= phrasing <= wanted  # in everyday words alone, too: "what is an agent"
        doubtful = not named and (not known or strange > known - (known == 1))
        best[name] = max(best[name], (_DOUBT if doubtful else 1) * score * (1 - _ANSWERED))
    for name in best:
        best[name] += _ANSWERED * sum(asked[f] for f in wanted & index.answers[name]) / total
    # A set has another order in each process, and so a sum other last digits: they decide nothing.
    ranked = sorted((-round(score, 9), name) for name, score in best.items())
    return {name: -score for score, name in ranked[:8]}


class _Index:
    """The phrasings as sets of features, the words of each answer, and how much each feature is worth."""

    def __init__(self) -> None:
        self.answers = {name: set() for name in entries()}
        texts = [(e.name, plain(text).split()) for e in entries().values() for text in (*e.ask, e.name)]
        sets = [(name, _features(map(stem, words))) for name, words in texts]
        for name, features in sets:
            self.answers[name] |= features
        seen = Counter(chain(*self.answers.values()))
        rare = {f: math.log(1 + len(self.answers) / n) * (_PAIR if " " in f else 1) for f, n in seen.items()}
        known = dict.fromkeys(_COMMON - _EVERYDAY, _SOME) | dict.fromkeys(_LIGHT, _LITTLE)
        self.weight = rare | known
        self.ours = {f for f in rare if " " not in f} - _EVERYDAY - known.keys()
        self.vocabulary = sorted({word for _, words in texts for word in words if len(word) > 3})
        self.phrasings = [(name, f, sum(self.weight[each] for each in f)) for name, f in sets]
        for name, entry in entries().items():
            self.answers[name].update(loud(f"{entry.brief} {entry.say}"))
            self.answers[name] -= known.keys()


_index = cache(_Index)


@lru_cache(maxsize=10_000)
def _known(word: str) -> str:
    """The stem of `word`, or of the word of the file that it is a misspelling of."""
    found = stem(word)
    if found in _index().weight or len(word) < 4 or found in _EVERYDAY:
        return found
    near = [w for w in _index().vocabulary if w[0] == word[0] and abs(len(w) - len(word)) < 2]
    return stem(next(iter(get_close_matches(word, near, 1, 0.81)), word))


def _features(stems: Iterable[str]) -> set[str]:
    """The stems and each pair of neighbours among those that say something."""
    stems = [*stems]
    speaking = [stem for stem in stems if stem not in _LIGHT]
    return {*stems, *(f"{a} {b}" for a, b in pairwise(speaking))}


def fill(text: str, /, **words: str) -> str:
    """`text` with each name in braces replaced by that of `words`, or by the figure."""

    def value(found: re.Match[str]) -> str:
        return words[found[1]] if found[1] in words else figures().get(*found.group(1, 0))

    return re.sub(r"\{(\w+)\}", value, text)


@cache
def figures() -> dict[str, str]:
    """Name → text: prices in USD per million tokens on the day `models.AS_OF`, limits in tokens, days."""
    found = {"as_of": f"{AS_OF:%Y-%m-%d}", "model": MODEL}
    for line, id in ALIASES.items():
        model, usd = find_model(id), _rates(id)
        usd["call"] = (800 * usd["in"] + 200 * usd["out"]) / 1_000_000
        found |= {line: id, f"{line}_name": model.name, f"{line}_window": f"{model.context_window:,}"}
        found |= {f"{line}_max": f"{model.max_output:,}"}
        found |= {f"{line}_cache_min": f"{model.min_cacheable_tokens:,}"}
        found |= {f"{line}_{kind}": _usd(amount) for kind, amount in usd.items()}
    return found | {
        "prices": ", ".join(f"{k.title()} {found[f'{k}_in']} and {found[f'{k}_out']}" for k in ALIASES),
        "retiring": " and ".join(f"{m.name} on {m.retires}" for m in available() if m.retires) or "none",
    }


def _rates(id: str) -> dict[str, float]:
    """USD per million tokens of each kind, for a short prompt."""
    from genai_prices import Usage, calc_price

    noon = datetime.combine(AS_OF, time(12), tzinfo=UTC)
    price = calc_price(Usage(), id, provider_id="anthropic", genai_request_timestamp=noon).model_price
    tiers = {"in": price.input_mtok, "out": price.output_mtok}
    tiers |= {"write": price.cache_write_mtok, "read": price.cache_read_mtok}
    return {kind: float(getattr(tier, "base", tier)) for kind, tier in tiers.items()}


def _usd(amount: float) -> str:
    """With as many decimals as it takes, and two at least."""
    return re.sub(r"(\.\d\d\d*?)0+$", r"\1", f"${amount:.6f}")
