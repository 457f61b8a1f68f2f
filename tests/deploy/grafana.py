"""Reads the dashboards into Grafana's own types and back: nothing may be lost."""

import json
import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(given, read, place):
    if isinstance(given, dict) and isinstance(read, dict):
        return [it for key in given for it in lost(given[key], read.get(key), f"{place}.{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [it for i, (a, b) in enumerate(zip(given, read)) for it in lost(a, b, f"{place}[{i}]")]
    return [] if given == read else [f"{place}: {given} was read as {read}"]


register_default_plugins()
found = []
for file in sorted(pathlib.Path("deploy/grafana").glob("*.json")):
    given = json.loads(file.read_text())
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(given)))
    found += lost(given, read, file.name)
print("\n".join(found), file=sys.stderr)
sys.exit(bool(found))
