"""Checks that every crate in Cargo.lock has a licence that deny.toml allows (cargo-deny reads the same list)."""

import json
import re
import subprocess
import sys
import tomllib

with open("deny.toml", "rb") as file:
    rules = tomllib.load(file)["licenses"]
allowed = set(rules["allow"])
excepted = {entry["crate"]: set(entry["allow"]) for entry in rules.get("exceptions", [])}

metadata = json.loads(
    subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True).stdout
)


def satisfied(expression, names):
    """An SPDX expression as Python: `A OR B`, `A AND B`, parentheses, `A WITH exception`, the old `A/B`."""
    expression = expression.replace("/", " OR ")
    expression = re.sub(r"([\w.+-]+) WITH ([\w.+-]+)", r"\1_WITH_\2", expression)
    tokens = re.findall(r"\(|\)|[\w.+-]+", expression)
    words = {"AND": "and", "OR": "or", "(": "(", ")": ")"}
    names = {name.replace(" WITH ", "_WITH_") for name in names}
    return eval(" ".join(words.get(token, str(token in names)) for token in tokens))


wrong = []
for package in metadata["packages"]:
    licence = package.get("license")
    names = allowed | excepted.get(package["name"], set())
    if not licence or not satisfied(licence, names):
        wrong.append(f"  {package['name']} {package['version']}: {licence}")
print(f"{len(metadata['packages'])} crates, {len(wrong)} with a licence that deny.toml does not allow")
if wrong:
    print("\n".join(wrong))
    sys.exit(1)
