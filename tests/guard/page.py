"""`docs/guard.md`, made of what a run found; and where a bound is not met, a line that says so."""

import datetime
import os
import platform

from scoring import score

STRUCTURED = ("EMAIL", "PHONE", "IBAN", "CREDIT_CARD", "IP_ADDRESS", "NATIONAL_ID", "PASSPORT", "DATE_OF_BIRTH")
F1, SECRETS, DESCRIPTIONS, FACTOR = 0.97, 0.95, 0.01, 20
"""The bounds: F1 of each structured entity; precision and recall of secrets; share of benign descriptions; times the faster peer."""
SPEED = {"clean": 200, "dense": 100}
"""And MB/s, in the median."""


def write(run, halves, found, peers):
    """The page, and the bounds that are not met."""
    failed = []
    parts = [head(run)]
    parts.append(structured(halves, found, peers, failed))
    parts.append(secrets(halves, found, peers, failed))
    parts.append(orders(halves, found))
    parts.append(benign(halves, found, peers, failed))
    parts.append(identifiers(run, failed))
    if not run.given.no_speed:
        parts.append(speed(run, failed))
    parts.append(left_out(run, halves))
    verdict = "All bounds are met." if not failed else "**Not met:**\n\n" + "\n".join(f"- {line}" for line in failed)
    parts.insert(1, f"Bounds, on the held-out half: F1 of every structured entity ≥ {F1}; secrets: recall and precision ≥ {SECRETS}; fewer than {DESCRIPTIONS:.0%} of\nbenign descriptions flagged; {SPEED['clean']} MB/s of clean and {SPEED['dense']} MB/s of dense text, {FACTOR} × the speed of the faster peer. {verdict}\n")
    return "\n".join(parts), failed


def head(run):
    host = f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores"
    return f"""# The guard, measured

Made by `make guard-eval` (`tests/guard/run.py`) on {datetime.date.today()}, {host}, seed {run.given.seed}. Nothing on this page is written by hand.

Every set has two halves. The recognisers are developed against one; the other is looked at by this run alone, and decides. A hash of the template, rule or
attack says which half a text is in, so that no text of the held-out half is like one of the other; values are drawn anew for each seed.
**P**recision and **R**ecall are *exact*: only a finding of the same entity at the same bytes counts. *Near* is F1 where an overlap is
enough, which is kinder to whoever draws edges elsewhere. The peers see the same texts in the same run: Microsoft Presidio
with its stock recognisers for English, and `cpex-pii-filter`, as they come from PyPI (`tests/guard/requirements-peers.txt`).
`-`: the peer has no such entity.
"""


def table(header, rows):
    return "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|"] + [f"| {' | '.join(map(str, row))} |" for row in rows]) + "\n"


def structured(halves, found, peers, failed):
    about = {
        "own": "### Our templates\n\nValues are made by Faker and `phonenumbers`, or drawn until `python-stdnum` takes them: mails, tables, logs, JSON, configuration.\n",
        "presidio-values": "### presidio-research's templates, with valid values\n\nTheir sentences, our draws: telephone numbers that a plan knows, cards and accounts that pass their checks.\n",
        "presidio-research": "### presidio-research's sentences, as published\n\n`synth_dataset_v2.json` as it is. Some of its numbers are in no plan, and the sets are small; no bound.\n",
    }
    out = ["## Structured entities\n"]
    for name, text in about.items():
        if not halves["held"][name]:
            continue
        dev, held = (score(halves[half][name], found[half][name]) for half in ("dev", "held"))
        others = {peer: (score(halves["held"][name], theirs[name]), entities(theirs)) for peer, theirs in peers.items()}
        rows = []
        for entity in STRUCTURED:
            if entity not in held:
                continue
            one = held[entity]
            row = [entity, one.marked, f"{dev[entity].f1:.3f}", f"{one.precision:.3f}", f"{one.recall:.3f}", f"**{one.f1:.3f}**", f"{one.near_f1:.3f}"]
            for tallies, known in others.values():
                row.append(f"{tallies[entity].f1:.3f} ({tallies[entity].near_f1:.3f})" if entity in known else "-")
            rows.append(row)
            if one.f1 < F1 and name != "presidio-research":
                failed.append(f"{entity} in `{name}`: F1 {one.f1:.3f}, bound {F1}")
        header = ["entity", "marked", "dev F1", "P", "R", "**F1**", "near"] + [f"{peer} F1 (near)" for peer in others]
        out += [text, table(header, rows)]
    return "\n".join(out)


def entities(theirs):
    return {hit[0] for texts in theirs.values() for hits in texts for hit in hits}


def secrets(halves, found, peers, failed):
    if not halves["held"]["secrets"]:
        return ""
    out = ["## Secrets\n", "gitleaks' rules run with their own samples, drawn for this seed: configuration, code and command lines that hold a key, and what\nthe rules take for none. A secret is found when a finding overlaps it; *covered* says how many of its bytes are in\nfindings. Where edges lie is a matter of view (is the user's name a part of the password?), so *exact* is lower.\n"]
    rows = []
    for half in ("dev", "held"):
        rules = len({text["of"] for text in halves[half]["secrets"]})
        one = score(halves[half]["secrets"], found[half]["secrets"])["SECRET"]
        rows.append([half, rules, one.marked, f"{one.near_precision:.3f}", f"**{one.near_recall:.3f}**", f"{one.coverage:.3f}", f"{one.f1:.3f}", *none(halves[half]["no-secrets"], found[half]["no-secrets"])])
        if half == "held":
            for what, value in (("recall", one.near_recall), ("precision", one.near_precision)):
                if value < SECRETS:
                    failed.append(f"secrets: {what} {value:.3f}, bound {SECRETS}")
    for peer, theirs in peers.items():
        if "SECRET" in entities(theirs):
            one = score(halves["held"]["secrets"], theirs["secrets"])["SECRET"]
            rows.append([f"held, {peer}", "", one.marked, f"{one.near_precision:.3f}", f"{one.near_recall:.3f}", f"{one.coverage:.3f}", f"{one.f1:.3f}", *none(halves["held"]["no-secrets"], theirs["no-secrets"])])
    out.append(table(["half", "rules", "marked", "precision", "**recall**", "covered", "exact F1", "flagged of what is none"], rows))
    out.append("What is none is hard on purpose: each was taken for a secret by somebody once. Some hold what another rule calls a secret.\n")
    return "\n".join(out)


CREDENTIALS = {"SECRET", "JWT", "PRIVATE_KEY", "PASSWORD", "URL_PASSWORD"}


def none(texts, found):
    flagged = sum(any(hit[0] in CREDENTIALS for hit in hits) for hits in found)
    return [f"{flagged} of {len(texts)} ({flagged / max(1, len(texts)):.1%})"]


def orders(halves, found):
    """How many of the attacks are seen, and of what is none, how many are taken for one."""
    rows = []
    for name, about in (("bipia", "BIPIA, attacks"), ("agentdojo", "AgentDojo, every attack with every goal")):
        groups = sorted({text["of"] for text in halves["held"][name]})
        if groups:
            rows.append([f"**{about}**", *(seen(halves[half][name], found[half][name]) for half in ("dev", "held"))])
            rows += [[group.replace("|", "/").replace("\n", " "), "", seen(halves["held"][name], found["held"][name], group)] for group in groups]
    for name, about in (("mails", "BIPIA, mails without attacks"), ("agent-texts", "AgentDojo, what its tools give"), ("ordinary", "ordinary sentences with the words of orders"), ("descriptions", "descriptions of published tools")):
        if halves["held"][name]:
            rows.append([f"*none:* {about}", *(seen(halves[half][name], found[half][name]) for half in ("dev", "held"))])
    text = "## Orders to a model\n\nTexts with an `INJECTION`. Many attacks are ordinary requests with nothing about them that tells (\"What are the\nbenefits of renewable energy?\"); no wording finds those, and what does not depend on wording is in [oversight](concept/oversight.md).\n"
    return text + "\n" + table(["texts", "dev", "held"], rows)


def seen(texts, found, group=None):
    which = [hits for text, hits in zip(texts, found, strict=True) if group is None or text["of"] == group]
    count = sum(any(hit[0] == "INJECTION" for hit in hits) for hits in which)
    return f"{count} of {len(which)} ({count / max(1, len(which)):.0%})"


def benign(halves, found, peers, failed):
    if not halves["held"]["descriptions"]:
        return ""
    rows = []
    for name, about in (("descriptions", "descriptions"), ("definitions", "whole definitions, as a list gives them")):
        both = sum(len(halves[half][name]) for half in halves)
        flagged = sum(bool(hits) for half in halves for hits in found[half][name])
        held = sum(bool(hits) for hits in found["held"][name])
        others = [sum(bool(hits) for hits in theirs[name]) for theirs in peers.values()]
        size = len(halves["held"][name])
        rows.append([about, f"{flagged} of {both} ({flagged / both:.2%})", f"**{held} of {size} ({held / size:.2%})**", *(f"{count} ({count / size:.1%})" for count in others)])
        if held / size >= DESCRIPTIONS:
            failed.append(f"{about}: {held} of {size} flagged")
    header = ["tools of published servers", "both halves", "**held-out**", *(f"held-out, {peer}" for peer in peers)]
    return "## False alarms\n\nDefinitions of LiveMCPBench's servers, taken as benign: flagged is what has a finding of any entity. The peers' are those of the entities that they share with ours.\n\n" + table(header, rows)


def identifiers(run, failed):
    count = 120
    rows = []
    for (country, module), counts in run.identifiers(count).items():
        theirs, ours = counts[True, False], counts[False, True]
        rows.append([country, f"`{module}`", counts[True, True], counts[False, False], theirs, ours])
        if theirs or ours:
            failed.append(f"{country} `{module}`: python-stdnum alone takes {theirs}, ours alone {ours}")
    text = f"## Identifiers\n\nNumbers of persons, next to `python-stdnum`: {count} that it takes and as many that it refuses, each behind its own name. Half of\nthe refused are taken ones with one character changed.\n"
    return text + "\n" + table(["country", "module", "both take", "both refuse", "only it takes", "only ours takes"], rows)


def speed(run, failed):
    ours, theirs = run.speed()
    rows = []
    for (kind, size), (count, median, fastest) in ours.items():
        peers = theirs.get((kind, size), {})
        factor = median / max(peers.values()) if peers else 0.0
        rows.append([kind, size, int(count), f"{median:.0f}", f"{fastest:.0f}", *(f"{peers[peer]:.2f}" for peer in ("presidio", "cpex-pii-filter")), f"**{factor:.0f} ×**"])
        least = SPEED[kind.partition("-")[0]]
        if median < least:
            failed.append(f"speed, {kind} {size}: {median:.0f} MB/s, bound {least}")
        if factor < FACTOR:
            failed.append(f"speed, {kind} {size}: {factor:.0f} × the faster peer, bound {FACTOR}")
    text = (
        "## Speed\n\nJSON documents, one core, all recognisers on, MB/s; the peers take the same documents as text. The factor is our median over the\n"
        "faster peer's fastest. In *clean* and *dense* documents one record in four names a place with letters beyond ASCII, as results of\n"
        "tools do where people and places have names; *-ascii* is the same without them. `cpex-pii-filter` is as fast as ours as long as a text is\n"
        "ASCII, which no filter can be twenty times, and a hundred times slower once there is one letter that is not. Presidio is given the first\n"
        "64,000 characters of longer documents.\n"
    )
    return text + "\n" + table(["document", "size", "findings", "median", "fastest", "presidio", "cpex-pii-filter", "**factor**"], rows)


def left_out(run, halves):
    names = {
        "presidio-research": "presidio-research (`presidio-research/synth_dataset_v2.json`)", "secrets": "gitleaks' rules (`gitleaks/`)", "bipia": "BIPIA (`bipia/`)",
        "descriptions": "LiveMCPBench (`livemcpbench/tools.json`)",
    }
    missing = [about for name, about in names.items() if not halves["held"][name]]
    if run.given.no_speed:
        missing.append("speed (`--no-speed`)")
    if not missing:
        return ""
    return "## Left out\n\nNot there when this was made (`CORPORA=DIR`), or not asked for:\n\n" + "\n".join(f"- {one}" for one in missing) + "\n"
