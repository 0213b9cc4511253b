"""How much of what is marked is found, and how much besides.

A text is `{"text", "spans": [{"entity", "start", "end"}], "entities"}`, places in bytes; findings are triples of entity, start
and end. *Exact*: only the same entity with the same place counts. *Near*: the same entity at a place that overlaps, for where
two parties disagree about edges (whether a user's name belongs to a password). *Covered*: of the bytes that are marked,
how many are in findings of that entity, which is what remains hidden when findings are masked.
"""

from collections import defaultdict

FOLDED = {"JWT": "SECRET", "PRIVATE_KEY": "SECRET", "PASSWORD": "SECRET", "URL_PASSWORD": "SECRET"}
"""Credentials count as one entity: the corpora do not tell their kinds apart."""


class Tally:
    def __init__(self):
        self.right = self.wrong = self.missed = 0
        self.near = self.far = self.bytes = self.covered = 0

    @property
    def marked(self):
        return self.right + self.missed

    @property
    def precision(self):
        return ratio(self.right, self.right + self.wrong)

    @property
    def recall(self):
        return ratio(self.right, self.marked)

    @property
    def f1(self):
        return ratio(2 * self.right, 2 * self.right + self.wrong + self.missed)

    @property
    def near_recall(self):
        return ratio(self.near, self.marked)

    @property
    def near_precision(self):
        return ratio(self.right + self.wrong - self.far, self.right + self.wrong)

    @property
    def near_f1(self):
        both = self.near_precision + self.near_recall
        return 2 * self.near_precision * self.near_recall / both if both else 0.0

    @property
    def coverage(self):
        return ratio(self.covered, self.bytes)


def ratio(part, whole):
    return part / whole if whole else 1.0


def score(texts, found):
    """A tally for each entity that a text says is marked."""
    tallies = defaultdict(Tally)
    for text, hits in zip(texts, found, strict=True):
        for entity in text["entities"]:
            marked = {(span["start"], span["end"]) for span in text["spans"] if span["entity"] == entity}
            seen = {(start, end) for kind, start, end in hits if FOLDED.get(kind, kind) == entity}
            if marked or seen:
                count(tallies[entity], marked, seen)
    return tallies


def count(tally, marked, seen):
    tally.right += len(marked & seen)
    tally.wrong += len(seen - marked)
    tally.missed += len(marked - seen)
    tally.near += sum(any(overlap(one, other) for other in seen) for one in marked)
    tally.far += sum(not any(overlap(one, other) for other in marked) for one in seen)
    for start, end in marked:
        tally.bytes += end - start
        tally.covered += len({at for one in seen for at in range(max(start, one[0]), min(end, one[1]))})


def overlap(one, other):
    return one[0] < other[1] and other[0] < one[1]
