"""Helm itself, by its Go library, and the schemas of Kubernetes.

helm.py CHART VALUES...: lints the chart as `helm lint --strict` does, renders it with the files of values, holds each
manifest against the schemas, and prints the manifests as a JSON array. Of two files, the later one's keys at the top
replace the earlier one's. Ends with 1 and the reasons on standard error.
"""

import importlib.util
import json
import pathlib
import re
import sys

import fastjsonschema
import helm_python as helm

# The oldest that the chart allows, and the newest there are schemas of.
VERSIONS = ["1.30.0", "1.37.0"]
# Only the schemas of that package: importing it would need others.
SCHEMAS = pathlib.Path(importlib.util.find_spec("kubernetes_validate").origin).parent / "kubernetes-json-schema"


def schema_of(version, manifest):
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", manifest["apiVersion"])
    place = SCHEMAS / f"v{version}-local-strict"
    path = place / f"{manifest['kind'].lower()}-{group}.json"
    return place, path if path.exists() else None


def faults(version, manifest, known={}):
    place, path = schema_of(version, manifest)
    if path is None:
        return [] if manifest["apiVersion"].startswith("monitoring.coreos.com/") else ["no such kind"]
    if path not in known:
        read = lambda uri: json.loads((place / uri.split("/")[-1]).read_text())
        known[path] = fastjsonschema.compile(
            json.loads(path.read_text()), handlers={"https": read}, use_formats=False, detailed_exceptions=False
        )
    try:
        known[path](manifest)
        return []
    except fastjsonschema.JsonSchemaException as fault:
        return [fault.message]


def merged(files):
    values = {}
    for file in files:
        values |= helm.values_from_yaml(pathlib.Path(file).read_text())
    return values


def main(chart, files):
    values = merged(files)
    found = []
    for version in VERSIONS:
        lint = helm.lint(chart, values, strict=True, kube_version=f"v{version}")
        found += [f"lint: {it['path']}: {it['error']}" for it in lint["messages"] if it["severity"] > 1]
        found += [f"lint: {it}" for it in lint["errors"]]
    with helm.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        rendered = loaded.render(values, name="test", namespace="payments", is_install=True)
    manifests = []
    for path, text in sorted(rendered.items()):
        if path.endswith(".yaml"):
            manifests += [helm.values_from_yaml(it) for it in re.split(r"(?m)^---$", text) if re.search(r"(?m)^\w", it)]
    for manifest in manifests:
        for version in VERSIONS:
            name = f"{manifest['kind']} {manifest['metadata']['name']}, Kubernetes {version}"
            found += [f"{name}: {it}" for it in faults(version, manifest)]
    json.dump(manifests, sys.stdout)
    return found


if __name__ == "__main__":
    try:
        found = main(sys.argv[1], sys.argv[2:])
    except helm.HelmError as fault:
        found = [str(fault)]
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))
