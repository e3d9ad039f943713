"""Prints tests/data/model/pep440.tsv: what the Python package `packaging` says about versions and specifiers.

    python tests/interop/pep440_table.py > tests/data/model/pep440.tsv

Needs packaging 26.3. The inputs are drawn with a fixed seed, so that the file only changes with the package.
Columns are separated by tabs:
    version  TEXT  NORMALISED | -          whether it parses
    order    A  <,=,>  B
    contains SET  VERSION  yes | no | -     pre-releases count; `-`: the set does not parse
    choose   SET  VERSION VERSION …  CHOSEN | none
"""

import random

import packaging
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

WRITTEN = """1.0 1 1.0.0 1.1 1.0.dev1 1.0a1 1.0a2.dev3 1.0b1 1.0rc1 1.0c2 1.0-preview3 1.0.pre1 1.0alpha 1.0-beta_2 1.0.post1 1.0-1
1.0-r4 1.0rev5 1.0.post 1.0.dev 1.0a1.post2 1.0a1.post2.dev3 1.0.post1.dev2 1!1.0 1!0.1 v1.0 V2.0 01.02 1.0+local 1.0+local.7
1.0+7 1.0+abc.10 1.0+abc.9 1.0+ABC 1.0+a-b 1.0+a_b 1.0+1.a 1.0+a.1.2 1.0+01 1.0+0 2.0.dev1 1.1rc1 0.0.1 0.0.2 0.1.0 0.1.0.post1 1.0RC1 1.0.Dev4
1.0-a 1.0_a_1 1.0.a.1 2024.1.1 1.2.3.4.5.6""".split()
REFUSED = ["", "v", "a", "1.", ".1", "1..0", "1.0-", "1.0+", "1.0+a..b", "1.0+.a", "1.0+a.", "1.0 a", "1.0.x", "-1", "!1.0", "1!",
           "1.0a1a2", "1.0.post1.post2", "1.0.dev1.post1", "1.0dev1a1", "1.0--1", "1.0+a+b", "vv1", "1,0", "1.0é", "１.0", "1.0+é",
           "1.0+a b", "1.0.-1", "1.0._a", "1-1-1"]
ODD = [" 1.0 ", "1.0\n", "1.0.post-1", "1.0.post_1", "1.0-post.1", "1.0post1", "1.0a.1", "1.0a-1", "1.0.rc_1", "1.0-1.dev1", "1.0.0-dev"]
SETS = ["", ">=0.0.2,<0.1.0", ">=0.0.2", "~=0.0.1", "==1.0.0", "==0.1.*", "!=1.0.0", ">=1.1.0rc0", "<0.1", ">=3", ">=0.0.2 && <0.1.0",
        "==1", "==1.*", "!=1.*", "==1.0.*", "~=1.0", "~=1.0.0", "~=1.0a1", "~=1.0.post1", "~=1", "~=1!1.0", "===1.0", "===1.0.0", "===1",
        "==1.0+local", "!=1.0+local", ">=1.0+local", ">1.0+a", "<=1.0", "<1.0", ">1.0", ">1", "<1", "<1.0rc1", "<1.0.post1", ">1.0.post1",
        ">1.0.dev1", ">1.0a1", "<1.0.dev1", "==1.0a1.*", "==1.0.post1.*", "==1.0.dev1.*", "==1.0+a.*", ">=1.*", "~=1.0.*", "1.0", "=1.0", "=>1.0",
        ">=", ",", ">=1.0,", ",>=1.0", ">=1.0,,<2", " >= 1.0 , < 2 ", "==1!1.*", "==0!1.0", "!=1.0.post1", "<=1.0a1", ">=1.0.post1",
        "==v1.0", ">1.0.post0", "!=1.0.dev1", "<=1.0.post1", ">=1.0,!=1.0.0,<2", "<2.0.dev1", ">2.0.dev1", "== 1.0 .*", "==1.0.0.0.*"]


def random_version(rng: random.Random) -> str:
    text = rng.choice(["", "", "", "1!", "v"]) + ".".join(str(rng.choice([0, 0, 1, 1, 2, 10])) for _ in range(rng.randint(1, 4)))
    if rng.random() < 0.3:
        text += rng.choice(["", ".", "-", "_"]) + rng.choice(["a", "b", "rc", "c", "alpha", "beta", "pre", "preview"]) + rng.choice(["", "0", "1", "2"])
    if rng.random() < 0.3:
        text += rng.choice([".post", "-", "post", ".rev", "-r"]) + rng.choice(["0", "1", "2"])
    if rng.random() < 0.3:
        text += rng.choice([".dev", "dev", "-dev"]) + rng.choice(["", "0", "1", "2"])
    if rng.random() < 0.2:
        text += "+" + rng.choice(["a", "1", "a.1", "a.2", "1.a", "b", "a.b.c", "10", "2"])
    return text


def random_set(rng: random.Random) -> str:
    return ",".join(rng.choice(["==", "!=", "<=", ">=", "<", ">", "~="]) + random_version(rng) + rng.choice(["", "", "", ".*"])
                    for _ in range(rng.randint(1, 2)))


def parse(text: str):
    try:
        return Version(text)
    except InvalidVersion:
        return None


def parse_set(text: str):
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


def contains_row(spec: str, version: str) -> str:
    parsed = parse_set(spec)
    return "-" if parsed is None else ("yes" if parsed.contains(Version(version), prereleases=True) else "no")


def choose_row(spec: str, versions: list) -> str:
    fitting = list(parse_set(spec).filter([Version(text) for text in versions]))
    return str(max(fitting)) if fitting else "none"


def main() -> None:
    rng = random.Random(440)
    assert packaging.__version__ == "26.3", packaging.__version__
    drawn = [random_version(rng) for _ in range(250)]
    for text in WRITTEN + REFUSED + ODD + drawn:
        shown = text.replace("\n", "\\n")
        print("version", shown, parse(text) or "-", sep="\t")
    good = [text for text in WRITTEN + drawn if parse(text)]
    for _ in range(600):
        a, b = rng.choice(good), rng.choice(good)
        left, right = Version(a), Version(b)
        print("order", a, "<" if left < right else ">" if left > right else "=", b, sep="\t")
    sets = SETS + [random_set(rng) for _ in range(100)]
    for spec in sets:
        for version in [text for text in WRITTEN if text[0] != "V"][::7] + rng.sample(good, 6):
            print("contains", spec, version, contains_row(spec, version), sep="\t")
    tags = ["0.0.1", "0.0.2", "0.1.0", "1.0.0", "1.1.0rc1", "2.0.0.dev1", "0.1.0.post1"]
    for spec in [s for s in sets if parse_set(s) is not None]:
        for versions in [tags] + [rng.sample(good, 6) for _ in range(3)]:
            print("choose", spec, " ".join(versions), choose_row(spec, versions), sep="\t")


if __name__ == "__main__":
    main()
