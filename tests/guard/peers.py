"""The peers on the same texts: Microsoft Presidio and ContextForge's PII filter, each as it comes from PyPI.

    peers.py find FILE        findings for each line, as JSON lines in our entities
    peers.py speed FILE…      MB/s of each peer on each document

Presidio runs with its stock recognisers for English and a blank language model: names are not compared, and a model would
only make it slower. The other's offsets are bytes; both are given as bytes here.
"""

import json
import sys
import time

# Their names in ours; what has none is not held for or against them.
PRESIDIO = {
    "EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "IBAN_CODE": "IBAN", "CREDIT_CARD": "CREDIT_CARD", "IP_ADDRESS": "IP_ADDRESS",
    "US_SSN": "NATIONAL_ID", "UK_NHS": "NATIONAL_ID", "UK_NINO": "NATIONAL_ID", "US_ITIN": "NATIONAL_ID", "US_PASSPORT": "PASSPORT",
}
CPEX = {
    "email": "EMAIL", "phone": "PHONE", "iban": "IBAN", "credit_card": "CREDIT_CARD", "ip_address": "IP_ADDRESS", "ssn": "NATIONAL_ID",
    "bsn": "NATIONAL_ID", "passport": "PASSPORT", "date_of_birth": "DATE_OF_BIRTH", "aws_key": "SECRET", "api_key": "SECRET",
}


def presidio():
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        def __init__(self):
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}
            self.nlp["en"].max_length = 1 << 24

        def is_loaded(self):
            return True

        def load(self):
            pass

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    analyzer = AnalyzerEngine(nlp_engine=Blank(), registry=registry, supported_languages=["en"])

    def find(text):
        for found in analyzer.analyze(text, language="en", score_threshold=0.4):
            if found.entity_type in PRESIDIO:
                start, end = (len(text[:at].encode()) for at in (found.start, found.end))
                yield PRESIDIO[found.entity_type], start, end

    return find


def cpex():
    from cpex_pii_filter.pii_filter_rust import PIIDetectorRust

    detector = PIIDetectorRust({})

    def find(text):
        for kind, found in detector.detect(text).items():
            entity = CPEX.get(str(kind).lower())
            for one in found if entity else ():
                yield entity, one["start"], one["end"]

    return find


PEERS = {"presidio": presidio, "cpex-pii-filter": cpex}


def find(file):
    for name, make in PEERS.items():
        finder = make()
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                for entity, start, end in finder(json.loads(line)["text"]):
                    print(json.dumps({"peer": name, "line": number, "entity": entity, "start": start, "end": end}))


# The slower one takes minutes for a megabyte: of a longer document it is given this much.
MOST = {"presidio": 64_000}


def speed(files):
    for name, make in PEERS.items():
        finder = make()
        for file in files:
            with open(file, encoding="utf-8") as document:
                text = document.read()[: MOST.get(name)]
            times = []
            for _ in range(3):
                started = time.process_time()
                list(finder(text))
                times.append(time.process_time() - started)
            print(json.dumps({"peer": name, "document": file, "mb_s": len(text.encode()) / max(min(times), 1e-9) / 1e6}))


if __name__ == "__main__":
    {"find": lambda: find(sys.argv[2]), "speed": lambda: speed(sys.argv[2:])}[sys.argv[1]]()
