#!/usr/bin/env python3
"""What accompanies a release: its notes, the Debian changelog, the list of parts, their notices.

    scripts/release.py notes [VERSION]      the section of CHANGELOG.md, for people
    scripts/release.py debian [VERSION]     all sections, as Debian writes changelogs
    scripts/release.py sbom                 CycloneDX 1.5: every crate in the program
    scripts/release.py notices              the licence texts of those crates

VERSION is that of Cargo.toml unless named; `Unreleased` stands for it until it has a section. All
of it depends on the sources alone, so that the same commit always gives the same bytes; the date
is SOURCE_DATE_EPOCH, else that of the last commit. Parts are those of a program for the machine
this runs on.
"""
import email.utils
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import uuid
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "peerlift-cli"
MAINTAINER = "Peerlift developers <packages@peerlift.invalid>"  # whoever releases puts their own
UNRELEASED = "Unreleased"


def main():
    makers = {"notes": notes, "debian": debian, "sbom": sbom, "notices": notices}
    if len(sys.argv) < 2 or sys.argv[1] not in makers:
        sys.exit(__doc__.strip())
    sys.stdout.write(makers[sys.argv[1]](*sys.argv[2:]))


# -- words for people

def notes(version=None):
    """The changes of one version, without its heading."""
    version = version or workspace_version()
    sections = changelog()
    body = sections.get(version) or sections.get(UNRELEASED)
    if not body:
        sys.exit(f"CHANGELOG.md has neither {version} nor {UNRELEASED}")
    return f"# Peerlift {version}\n\n{body}\n"


def debian(version=None):
    """Every section as an entry (deb-changelog(5)), the latest first."""
    version = version or workspace_version()
    maintainer = os.environ.get("PEERLIFT_MAINTAINER", MAINTAINER)
    date = email.utils.format_datetime(moment())
    entries = []
    for name, body in changelog().items():
        number = version if name == UNRELEASED else name
        changes = "\n".join(map(debian_item, items(body))) or "  * No change to users."
        entries.append(f"peerlift ({number}) unstable; urgency=medium\n\n"
                       f"{changes}\n\n -- {maintainer}  {date}\n")
    return "\n".join(entries)


def changelog():
    """Section name to its text. Empty sections are left out."""
    text = (ROOT / "CHANGELOG.md").read_text()
    parts = re.split(r"^## \[?([^\s\]]+).*$", text, flags=re.MULTILINE)
    sections = zip(parts[1::2], parts[2::2], strict=True)
    return {name: body.strip() for name, body in sections if body.strip()}


def items(body):
    """The list items of a section, each in one line."""
    found = re.findall(r"^\* (.+\n?(?:  .+\n?)*)", body, re.MULTILINE)
    return [" ".join(item.split()) for item in found]


def debian_item(item):
    return textwrap.fill(item, 76, initial_indent="  * ", subsequent_indent="    ")


# -- parts

def sbom():
    """The bill of materials. What only builds the program has the scope `excluded`."""
    runtime, everything = crates("normal,no-proc-macro"), crates("normal,build")
    packages = {(p["name"], p["version"]): p for p in metadata()["packages"]}
    hashes = lockfile_hashes()
    program = packages[PROGRAM, workspace_version()]
    parts = [component(packages[key], hashes.get(key), key in runtime)
             for key in sorted(everything | runtime) if key != (PROGRAM, program["version"])]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": moment().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**component(program, None, True),
                          "type": "application", "name": "peerlift"},
        },
        "components": parts,
        "dependencies": dependencies({reference(packages[key]) for key in everything | runtime}),
    }
    del bom["metadata"]["component"]["scope"]
    name = json.dumps(bom, sort_keys=True)
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
    return json.dumps(bom, indent=1) + "\n"


def crates(edges):
    """Name and version of what cargo would build into the program along these edges."""
    tree = cargo("tree", "--locked", "-p", PROGRAM, "--target", target(), "-e", edges,
                 "--prefix", "none", "--no-dedupe")
    return {(name, version) for name, version in re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE)}


def component(package, digest, runtime):
    ours = package["source"] is None
    part = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "scope": "required" if runtime else "excluded",
        "purl": reference(package),
        "licenses": [{"expression": (package["license"] or "").replace("/", " OR ")}],
    }
    if package["description"]:
        part["description"] = " ".join(package["description"].split())
    if digest:
        part["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"] and not ours:
        part["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return part


def reference(package):
    """A package URL: the name under which vulnerability databases know a crate."""
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def dependencies(known):
    """Who needs whom, among the known."""
    graph = metadata()
    names = {p["id"]: reference(p) for p in graph["packages"]}
    rows = [(names[node["id"]], {names[d["pkg"]] for d in node["deps"] if is_built(d)})
            for node in graph["resolve"]["nodes"]]
    return [{"ref": ref, "dependsOn": sorted(needs & known)}
            for ref, needs in sorted(rows, key=lambda row: row[0]) if ref in known]


def is_built(dependency):
    """Whether it is needed for the program, and not only for tests."""
    return any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])


def notices():
    """The licence files of every foreign crate in the program, equal texts once."""
    runtime = crates("normal,no-proc-macro")
    texts = {}
    for package in sorted(metadata()["packages"], key=lambda p: (p["name"], p["version"])):
        if package["source"] is None or (package["name"], package["version"]) not in runtime:
            continue
        for text in licence_texts(Path(package["manifest_path"]).parent) or [""]:
            who = f"{package['name']} {package['version']} ({package['license']})"
            texts.setdefault(text, []).append(who)
    without = texts.pop("", [])
    parts = ["\n".join(who) + "\n\n" + text for text, who in texts.items()]
    if without:
        parts.append("These crates carry no licence file; the licence is named beside each:\n"
                     + "\n".join(without))
    line = "\n\n" + "=" * 80 + "\n\n"
    return "The peerlift program contains these libraries." + line + line.join(parts) + "\n"


def licence_texts(folder):
    names = re.compile(r"(?i)^(licen[sc]e|copying|notice|unlicense)")
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and names.match(path.name)]
    return [path.read_text(errors="replace").strip() for path in files]


# -- facts

def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


@cache
def metadata():
    return json.loads(cargo("metadata", "--locked", "--format-version", "1",
                            "--filter-platform", target()))


@cache
def target():
    """What the machine is, in Rust's words."""
    told = subprocess.run(["rustc", "-vV"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return re.search(r"^host: (\S+)", told, re.MULTILINE)[1]


def lockfile_hashes():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(p["name"], p["version"]): p["checksum"] for p in lock["package"] if "checksum" in p}


def workspace_version():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def moment():
    """The time that stands for this release."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds:
        seconds = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return datetime.fromtimestamp(int(seconds or 0), UTC)




if __name__ == "__main__":
    main()
