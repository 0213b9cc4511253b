"""Marked texts: templates of our own, filled with values that other people's packages make and check.

Names, cards and accounts come from Faker, numbers of persons are drawn until `python-stdnum` accepts them, telephone
numbers until `phonenumbers` does. So nothing is right only because generator and engine share a mistake. The templates
are in two halves: `dev`, which the engine is written against, and `held`, which nobody looks at while changing it.
"""

import importlib
import json
import random
import re
import string

import phonenumbers
from faker import Faker
from stdnum import iban as iban_numbers

LOCALES = ["en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "en_GB", "nl_NL", "pl_PL", "pt_PT", "sv_SE"]
MARKED = ("EMAIL", "PHONE", "IBAN", "CREDIT_CARD", "IP_ADDRESS", "NATIONAL_ID", "PASSPORT", "DATE_OF_BIRTH", "SECRET")
STRUCTURED = MARKED[:-1]

TEMPLATES = {
    "dev": [
        "Please update the record of {name}: {EMAIL}, phone {PHONE}.",
        "My {idname} is {NATIONAL_ID}, can you check order {order}?",
        '{"id": {n}, "customer": {"email": "{EMAIL}", "phone": "{PHONE}", "dob": "{DATE_OF_BIRTH}"}, "order_id": "{order}"}',
        "Transfer to {IBAN} before {date}. Reference {order}.",
        "Paid with card {CREDIT_CARD}, invoice {order}.",
        "Login from {IP_ADDRESS} at {date}T10:22:01Z user={EMAIL} trace={uuid}",
        "Passport number {PASSPORT}, born {DATE_OF_BIRTH}.",
        '{"passport_number":"{PASSPORT}","date_of_birth":"{DATE_OF_BIRTH}","tax_id":"{NATIONAL_ID}"}',
        "Version {version} was released {date}, build {order}, commit {sha}.",
        "name,email,phone,iban\n{name},{EMAIL},{PHONE},{IBAN}",
        '{"rows":[{"iban":"{IBAN}","card_number":"{CREDIT_CARD}"},{"ip":"{IP_ADDRESS}","sku":"{order}"}]}',
        "The account {IBAN} belongs to {name}, contact number {PHONE}.",
        "Tracking {order} ships {date}; quantity {n}; epoch {epoch}",
        "Deploy with {SECRET} against {host}",
        "export API_TOKEN={SECRET}\nexport REGION=eu-central-1",
        "Hello, {name} here. You can reach me on {PHONE} during the week or by mail: {EMAIL}",
        "# Ticket {n}\n\n- reporter: {EMAIL}\n- {idname}: {NATIONAL_ID}\n- opened: {date}\n",
        '[{"contact":{"mobile":"{PHONE}","e_mail":"{EMAIL}"},"bank":{"iban":"{IBAN}"}},{"total":{n},"version":"{version}"}]',
        "Refund of {n} EUR went to {IBAN} on {date} (case {order}).",
        "The customer's credit card is {CREDIT_CARD} and expires 11/29.",
        "{date} 08:12:44 WARN gateway peer {IP_ADDRESS} sent {n} bytes, request {uuid}",
        "Traveller: {name}\nDate of birth: {DATE_OF_BIRTH}\nPassport: {PASSPORT}\n",
        '{"person":{"birth_date":"{DATE_OF_BIRTH}","national_id":"{NATIONAL_ID}","passport":"{PASSPORT}"},"etag":"{sha}"}',
        "| mail | ip |\n|---|---|\n| {EMAIL} | {IP_ADDRESS} |",
        "Shipment {order} left on {date}, {n} parcels, checksum {sha}.",
        '{"payment":{"card":"{CREDIT_CARD}","holder":"{name}"},"invoice":"{order}","created_at":{epoch}}',
        "Could you confirm that {NATIONAL_ID} is my {idname}? My birthday is {DATE_OF_BIRTH}.",
        '{"env":{"ACCESS_KEY":"{SECRET}","LOG_LEVEL":"info"},"image":"registry/{word}:{version}"}',
        "curl -H 'Authorization: Bearer {SECRET}' https://{host}/v1/items/{uuid}",
        "Fax: {PHONE}; web: https://{host}/a/{order}?page={n}",
        "The session of {date} with {name} covered {word} and {word}; see pages {n} to {n}.",
    ],
    "held": [
        "Dear {name},\nyour new card {CREDIT_CARD} is on its way. Questions? Write to {EMAIL}.",
        "<customer id=\"{n}\"><mail>{EMAIL}</mail><telephone>{PHONE}</telephone></customer>",
        "id;{idname};e-mail\n{n};{NATIONAL_ID};{EMAIL}",
        "{idname} {NATIONAL_ID} (checked on {date})",
        '{"applicant":{"mobilePhone":"{PHONE}","dateOfBirth":"{DATE_OF_BIRTH}"},"loan":{"account":"{IBAN}","term":{n}}}',
        "We could not collect from account {IBAN}. Please check invoice {order} of {date}.",
        "ERROR {date}: connection from [{IP_ADDRESS}] refused after {n} ms",
        "allow {IP_ADDRESS};\ndeny all;\n# build {version}",
        "Visa holder, passport no. {PASSPORT}, date of birth {DATE_OF_BIRTH}, flight {word} {n}",
        "- Passport number: {PASSPORT}\n- Born: {DATE_OF_BIRTH}\n- Phone: {PHONE}\n",
        "Call {name} back at {PHONE}, she is in until five.",
        "cc: {EMAIL}; bcc: {EMAIL}; subject: order {order}",
        "payment_method: card\ncard_number: '{CREDIT_CARD}'\namount: {n}.00",
        "{uuid} {sha} {epoch} {version} {order}",
        "SELECT * FROM people WHERE email = '{EMAIL}' AND phone = '{PHONE}' LIMIT {n}",
        "docker run -e TOKEN={SECRET} registry.example.com/{word}:{version}",
        '{"headers":{"X-Api-Key":"{SECRET}"},"url":"https://{host}/v2/{uuid}","timeout":{n}}',
        "I committed {SECRET} by mistake, please revoke it.",
        "api_key: {SECRET}\nproject: {word}\nretries: {n}",
        "The parcel {order} weighs {n} grams; it left on {date} with {word}.",
    ],
}


def digits(count):
    return "".join(random.choice(string.digits) for _ in range(count))


def letter(among=string.ascii_uppercase):
    return random.choice(among)


def date(form):
    year, month, day = random.randint(1940, 2007), random.randint(1, 12), random.randint(1, 28)
    return form.format(Y=year, y=f"{year % 100:02}", m=f"{month:02}", d=f"{day:02}", yyy=f"{year % 1000:03}")


def with_mod_97(base):
    return base + f"{97 - int(base) % 97:02}"


# Country, module of python-stdnum, a draw that the module accepts or not, and what people call it.
NATIONAL = [
    ("BE", "be.nn", lambda: with_mod_97(date("{y}{m}{d}") + digits(3)), "rijksregisternummer"),
    ("BG", "bg.egn", lambda: date("{y}{m}{d}") + digits(4), "EGN"),
    ("HR", "hr.oib", lambda: digits(11), "OIB"),
    ("CZ", "cz.rc", lambda: date("{y}{m}{d}") + digits(4), "rodné číslo"),
    ("DE", "de.idnr", lambda: digits(11), "Steuer-ID"),
    ("DK", "dk.cpr", lambda: date("{d}{m}{y}") + digits(4), "CPR"),
    ("EE", "ee.ik", lambda: letter("3456") + date("{y}{m}{d}") + digits(4), "isikukood"),
    ("ES", "es.dni", lambda: digits(8) + letter(), "DNI"),
    ("ES", "es.nie", lambda: letter("XYZ") + digits(7) + letter(), "NIE"),
    ("FI", "fi.hetu", lambda: date("{d}{m}{y}") + letter("-A") + digits(3) + letter("0123456789ABCDEFHJKLMNPRSTUVWXY"), "henkilötunnus"),
    ("FR", "fr.nir", lambda: with_mod_97(letter("12") + date("{y}{m}") + "75" + digits(6)), "numéro de sécurité sociale"),
    ("GR", "gr.amka", lambda: date("{d}{m}{y}") + digits(5), "AMKA"),
    ("IE", "ie.pps", lambda: digits(7) + letter(), "PPS number"),
    ("IT", "it.codicefiscale", lambda: "".join(letter("BCDFGLMNPRST") for _ in range(6)) + digits(2) + letter("ABCDEHLMPRST") + f"{random.randint(1, 28):02}" + letter("FHL") + digits(3) + letter(), "codice fiscale"),
    ("LT", "lt.asmens", lambda: letter("3456") + date("{y}{m}{d}") + digits(4), "asmens kodas"),
    ("NL", "nl.bsn", lambda: digits(9), "BSN"),
    ("NO", "no.fodselsnummer", lambda: date("{d}{m}{y}") + digits(5), "fødselsnummer"),
    ("PL", "pl.pesel", lambda: date("{y}{m}{d}") + digits(5), "PESEL"),
    ("PT", "pt.nif", lambda: letter("12") + digits(8), "NIF"),
    ("RO", "ro.cnp", lambda: letter("1256") + date("{y}{m}{d}") + f"{random.randint(1, 46):02}" + digits(4), "CNP"),
    ("SE", "se.personnummer", lambda: date("{y}{m}{d}") + "-" + digits(4), "personnummer"),
    ("SI", "si.emso", lambda: date("{d}{m}{yyy}") + "50" + digits(4), "EMŠO"),
    ("GB", "gb.nhs", lambda: digits(10), "NHS number"),
    ("US", "us.ssn", lambda: digits(3) + "-" + digits(2) + "-" + digits(4), "SSN"),
    ("CH", "ch.ssn", lambda: "756" + digits(10), "AHV number"),
    ("IS", "is_.kennitala", lambda: date("{d}{m}{y}") + digits(3) + letter("90"), "kennitala"),
]

# Forms as their issuers document them.
SECRETS = {
    "dev": [
        ("ghp_", string.ascii_letters + string.digits, 36),
        ("glpat-", string.ascii_letters + string.digits, 20),
        ("AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        ("sk_live_", string.ascii_letters + string.digits, 24),
        ("npm_", string.ascii_letters + string.digits, 36),
        ("xoxb-", string.digits, 12),
        ("AIza", string.ascii_letters + string.digits, 35),
        ("hf_", string.ascii_letters, 34),
        ("dop_v1_", "0123456789abcdef", 64),
        ("shpat_", "0123456789abcdef", 32),
        ("sk-ant-api03-", string.ascii_letters + string.digits, 95),
        ("lin_api_", string.ascii_letters + string.digits, 40),
    ],
    "held": [
        ("ghs_", string.ascii_letters + string.digits, 36),
        ("github_pat_", string.ascii_letters + string.digits, 82),
        ("ASIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        ("rk_live_", string.ascii_letters + string.digits, 24),
        ("pypi-AgEIcHlwaS5vcmc", string.ascii_letters + string.digits + "-_", 120),
        ("GOCSPX-", string.ascii_letters + string.digits, 28),
        ("NRAK-", string.ascii_uppercase + string.digits, 27),
        ("gsk_", string.ascii_letters + string.digits, 52),
        ("dckr_pat_", string.ascii_letters + string.digits + "-_", 27),
        ("sk-proj-", string.ascii_letters + string.digits, 48),
        ("shpss_", "0123456789abcdef", 32),
        ("hvs.", string.ascii_letters + string.digits, 24),
    ],
}


def draw(module):
    """A number that the module of python-stdnum takes."""
    draw = next(draw for _, known, draw, _ in NATIONAL if known == module)
    check = importlib.import_module("stdnum." + module).validate
    while True:
        value = draw()
        try:
            check(value)
        except Exception:  # noqa: BLE001, whatever it is that the module does not like
            continue
        return value


def national():
    _, module, _, name = random.choice(NATIONAL)
    return draw(module), name


def phone():
    region = random.choice(["US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "SE", "IN", "AT", "BE"])
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    while True:
        example = phonenumbers.example_number_for_type(region, random.choice(kinds))
        national_number = str(example.national_number)
        drawn = national_number[:3] + digits(len(national_number) - 3)
        number = phonenumbers.PhoneNumber(country_code=example.country_code, national_number=int(drawn))
        if phonenumbers.is_valid_number(number):
            forms = phonenumbers.PhoneNumberFormat
            return phonenumbers.format_number(number, random.choice([forms.INTERNATIONAL, forms.E164, forms.NATIONAL]))


def passport():
    return random.choice([digits(9), letter() + digits(8), letter() + letter() + digits(7), letter("CFGHJK") + digits(2) + letter("XYZ") + digits(5)])


def secret(half):
    prefix, characters, count = random.choice(SECRETS[half])
    tail = "".join(random.choice(characters) for _ in range(count))
    if prefix == "xoxb-":
        tail += "-" + digits(12) + "-" + "".join(random.choice(string.ascii_letters + string.digits) for _ in range(24))
    return prefix + tail


class Values:
    """Draws a value for a slot of a template; one text has one of each, but for those that are drawn anew."""

    def __init__(self, fakers, half):
        self.half = half
        self.fake = random.choice(list(fakers.values()))
        self.fakers = fakers
        self.national = national()

    def of(self, slot):
        made = {
            "EMAIL": self.fake.email,
            "PHONE": phone,
            "IBAN": self.iban,
            "CREDIT_CARD": self.fakers["en_US"].credit_card_number,
            "IP_ADDRESS": lambda: random.choice([self.fake.ipv4_public, self.fake.ipv6])(),
            "NATIONAL_ID": lambda: self.national[0],
            "idname": lambda: self.national[1],
            "PASSPORT": passport,
            "DATE_OF_BIRTH": lambda: date(random.choice(["{Y}-{m}-{d}", "{d}.{m}.{Y}", "{m}/{d}/{Y}"])),
            "SECRET": lambda: secret(self.half),
            "name": self.fake.name,
            "word": self.fakers["en_US"].word,
            "host": self.fakers["en_US"].domain_name,
            "uuid": self.fake.uuid4,
            "sha": self.fake.sha1,
            "n": lambda: str(random.randint(1, 9999)),
            "order": lambda: digits(random.choice([8, 9, 10, 11, 12])),
            "epoch": lambda: str(random.randint(1_600_000_000, 1_790_000_000)),
            "date": lambda: f"20{random.randint(10, 26)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}",
            "version": lambda: ".".join(str(random.randint(0, 30)) for _ in range(3)),
        }
        return made[slot]()

    def iban(self):
        locale = random.choice([locale for locale in LOCALES if locale != "en_US"])
        value = self.fakers[locale].iban()
        return iban_numbers.format(value) if random.random() < 0.5 else value


def fakers(seed):
    Faker.seed(seed)
    return {locale: Faker(locale) for locale in LOCALES}


def fill(kind, made):
    """A value for a slot of presidio-research's templates."""
    fake = made["en_US"] if random.random() < 0.5 else random.choice(list(made.values()))
    draws = {
        "EMAIL_ADDRESS": fake.email,
        "PHONE_NUMBER": phone,
        "IBAN_CODE": Values(made, "dev").iban,
        "CREDIT_CARD": made["en_US"].credit_card_number,
        "US_SSN": lambda: draw("us.ssn"),
        "IP_ADDRESS": lambda: random.choice([fake.ipv4_public, fake.ipv6])(),
        "PERSON": fake.name,
        "STREET_ADDRESS": fake.address,
        "ORGANIZATION": fake.company,
        "GPE": fake.country,
        "DATE_TIME": lambda: fake.date_time().strftime(random.choice(["%Y-%m-%d", "%d/%m/%Y", "%B %d, %Y", "%Y"])),
        "TITLE": fake.job,
        "AGE": lambda: str(random.randint(1, 99)),
        "NRP": made["en_US"].country,
        "ZIP_CODE": made["en_US"].postcode,
        "DOMAIN_NAME": fake.domain_name,
        "US_DRIVER_LICENSE": lambda: letter() + digits(7),
    }
    return draws[kind]()


def texts(half, count, seed):
    """`count` marked texts of a half, as `portcullis guard report` reads them."""
    random.seed(seed)
    made = fakers(seed)
    for _ in range(count):
        values, out, spans = Values(made, half), b"", []
        for part in re.split(r"(\{[A-Za-z_]+\})", random.choice(TEMPLATES[half])):
            slot = part[1:-1] if part.startswith("{") and part.endswith("}") else None
            value = (values.of(slot) if slot else part).encode()
            if slot in MARKED:
                spans.append({"entity": slot, "start": len(out), "end": len(out) + len(value)})
            out += value
        yield {"text": out.decode(), "spans": spans, "entities": list(MARKED)}


def write(path, half, count, seed):
    with open(path, "w", encoding="utf-8") as file:
        for text in texts(half, count, seed):
            file.write(json.dumps(text, ensure_ascii=False) + "\n")
