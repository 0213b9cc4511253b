"""Identifiers of states, compared number by number with `python-stdnum`.

For each, numbers are drawn until there are enough that `python-stdnum` takes and enough that it refuses; half of the refused
are taken ones with one digit or letter changed. Each stands behind the name that people call it by. Both parties
have to say the same of it: ours says yes by a finding of that country at that place.

What ours cannot know is not asked (`EXCUSED`). Not compared, for it has no module for them: the Hungarian TAJ and tax numbers, Luxembourg's matricule, Malta's identity card,
the German insurance number, the British NINO, and what is read by machines in passports.
"""

import importlib
import random
import string

from corpus import date, digits, letter, with_mod_97

CARD = "CFGHJKLMNPRTVWXYZ"


def months(*moved):
    """A date whose month was moved, year first."""
    return f"{random.randint(0, 99):02}{random.randint(1, 12) + random.choice(moved):02}{random.randint(1, 28):02}"


def pesel():
    return months(0, 20) + digits(5)


# Country, module, a draw that the module takes or not, what people call it. A module may have several rows.
KINDS = [
    ("AT", "at.vnr", lambda: letter("123456789") + digits(3) + date("{d}{m}{y}"), "Versicherungsnummer"),
    ("AT", "at.tin", lambda: digits(9), "Abgabenkontonummer"),
    ("BE", "be.nn", lambda: with_mod_97(date("{y}{m}{d}") + digits(3)), "rijksregisternummer"),
    ("BE", "be.bis", lambda: with_mod_97(months(20, 40) + digits(3)), "INSZ"),
    ("BG", "bg.egn", lambda: months(0, 20, 40) + digits(4), "EGN"),
    ("BG", "bg.pnf", lambda: digits(10), "ЛНЧ"),
    ("HR", "hr.oib", lambda: digits(11), "OIB"),
    ("CY", "cy.vat", lambda: letter("013459") + digits(7) + letter(), "TIC"),
    ("CZ", "cz.rc", lambda: months(0, 50, 20, 70) + digits(4), "rodné číslo"),
    ("DE", "de.idnr", lambda: repeated(), "Steuer-ID"),
    ("DK", "dk.cpr", lambda: date("{d}{m}{y}") + digits(4), "CPR-nummer"),
    ("EE", "ee.ik", lambda: letter("3456") + months(0) + digits(4), "isikukood"),
    ("ES", "es.dni", lambda: digits(8) + letter(), "DNI"),
    ("ES", "es.nie", lambda: letter("XYZ") + digits(7) + letter(), "NIE"),
    ("FI", "fi.hetu", lambda: date("{d}{m}{y}") + letter("-A") + digits(3) + letter("0123456789ABCDEFHJKLMNPRSTUVWXY"), "henkilötunnus"),
    ("FR", "fr.nir", lambda: with_mod_97(letter("12") + f"{random.randint(0, 99):02}{random.randint(1, 12):02}" + letter("1234567") + digits(7)), "numéro de sécurité sociale"),
    ("FR", "fr.nif", lambda: spi(), "numéro fiscal"),
    ("GB", "gb.nhs", lambda: digits(10), "NHS number"),
    ("GB", "gb.utr", lambda: digits(10), "UTR"),
    ("GR", "gr.amka", lambda: date("{d}{m}{y}") + digits(5), "AMKA"),
    ("GR", "gr.vat", lambda: digits(9), "AFM"),
    ("IE", "ie.pps", lambda: digits(7) + letter() + random.choice(["", letter("ABHWTX")]), "PPS number"),
    ("IT", "it.codicefiscale", lambda: codice(), "codice fiscale"),
    ("LT", "lt.asmens", lambda: letter("3456") + months(0) + digits(4), "asmens kodas"),
    ("LV", "lv.pvn", lambda: date("{d}{m}{y}") + letter("01") + digits(4), "personas kods"),
    ("LV", "lv.pvn", lambda: "32" + digits(9), "personas kods"),
    ("NL", "nl.bsn", lambda: digits(9), "BSN"),
    ("PL", "pl.pesel", pesel, "PESEL"),
    ("PL", "pl.nip", lambda: digits(10), "NIP"),
    ("PT", "pt.nif", lambda: letter("123456789") + digits(8), "NIF"),
    ("PT", "pt.cc", lambda: digits(9) + letter() + letter() + digits(1), "cartão de cidadão"),
    ("RO", "ro.cnp", lambda: letter("1256") + months(0) + f"{random.randint(1, 52):02}" + digits(4), "CNP"),
    ("SE", "se.personnummer", lambda: months(0) + "-" + digits(4), "personnummer"),
    ("SI", "si.emso", lambda: date("{d}{m}{yyy}") + "50" + digits(4), "EMŠO"),
    ("SI", "si.ddv", lambda: digits(8), "davčna številka"),
    ("SK", "sk.rc", lambda: months(0, 50) + digits(4), "rodné číslo"),
    ("US", "us.ssn", lambda: digits(3) + "-" + digits(2) + "-" + digits(4), "SSN"),
    ("US", "us.itin", lambda: "9" + digits(2) + "-" + digits(2) + "-" + digits(4), "ITIN"),
    ("CH", "ch.ssn", lambda: "756" + digits(10), "AHV number"),
    ("NO", "no.fodselsnummer", lambda: date("{d}{m}{y}") + digits(5), "fødselsnummer"),
    ("IS", "is_.kennitala", lambda: date("{d}{m}{y}") + digits(3) + letter("90"), "kennitala"),
]

TWINS = {"SK": "CZ", "LT": "EE"}
"""Two countries with one rule: the other's name is told."""

EXCUSED = {
    "at.tin": lambda module, value: module.calc_check_digit(value) == value[-1],
    "dk.cpr": lambda module, value: module.get_birth_date(value),
    "ie.pps": lambda module, value: value[8:] in tuple("CDEFGI"),
    "us.ssn": lambda module, value: value[0] == "9" and "50" <= value[4:6] <= "65",
    "us.itin": lambda module, value: value[0] == "9" and "50" <= value[4:6] <= "65",
}
"""Refused for what ours does not know: the list of tax offices, today's date, how second letters were
used so far; and the groups of ITINs that the IRS has used since 2013."""

DRAWS = 400_000


def told_as(country, detail):
    """Whether a finding with this detail is one of this country."""
    return detail in (country, TWINS.get(country))


def repeated():
    """Ten digits of which one is there twice, and a check digit."""
    kinds = random.sample(string.digits, 9)
    kinds.insert(random.randint(1, 9), random.choice(kinds))
    return "".join(kinds) + digits(1)


def spi():
    base = letter("0123") + digits(9)
    return base + f"{int(base) % 511:03}"


def codice():
    capitals = "".join(letter("BCDFGLMNPRST") for _ in range(6))
    day = random.randint(1, 28) + random.choice([0, 40])
    return capitals + digits(2) + letter("ABCDEHLMPRST") + f"{day:02}" + letter("FHL") + digits(3) + letter()


def says_yes(question, *about):
    try:
        return bool(question(*about))
    except Exception:  # noqa: BLE001, whatever it is that the module does not like
        return False


def takes(module, value):
    return says_yes(importlib.import_module("stdnum." + module).validate, value)


def may_be_refused(country, module, value):
    """Whether no module of this country takes it, and not for a reason that is excused."""
    others = {known for owner, known, *_ in KINDS if owner == country}
    if any(takes(other, value) for other in others):
        return False
    excused = EXCUSED.get(module)
    return not (excused and says_yes(excused, importlib.import_module("stdnum." + module), value))


def changed(value):
    """One digit or letter of it is another."""
    at = random.choice([at for at, sign in enumerate(value) if sign.isalnum()])
    among = string.digits if value[at].isdigit() else string.ascii_uppercase
    return value[:at] + random.choice(among.replace(value[at], "")) + value[at + 1 :]


def cases(count, seed):
    """For each kind: `(country, module, text, start, end, taken)` of `count` taken and as many refused numbers."""
    random.seed(seed)
    for country, module, draw, name in KINDS:
        taken, refused = [], []
        for _ in range(DRAWS):
            value = draw()
            if takes(module, value):
                taken.append(value)
            elif len(refused) < count and may_be_refused(country, module, value):
                refused.append(value)
            if len(taken) >= count:
                break
        assert len(taken) >= count, f"{module}: {len(taken)} of {DRAWS} draws are taken"
        near = [value for value in map(changed, taken) if may_be_refused(country, module, value)]
        others = near[: count // 2] + refused[: count - count // 2]
        for value in taken[:count] + others:
            text = f"My {name} is {value}, thank you."
            start = len(f"My {name} is ".encode())
            yield country, module, text, start, start + len(value), value in taken[:count]
