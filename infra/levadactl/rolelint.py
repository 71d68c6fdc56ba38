"""Whether IAM knows what the functions' roles say: ``python -m levadactl.rolelint [TEMPLATE]``, part of ``make lint``.

cfn-lint knows every service's actions and the resources that each applies to, but looks at neither in a template with
SAM's transform or at resources that are not written out. So it gets a template of another kind: every permission of
``permissions.statements``, one by one, under names as a deployed stack has them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from levadactl.errors import StateError
from levadactl.permissions import statements

CATALOG = "lake"
"""With a catalog, since only then are its permissions there."""
NO_SUCH_ACTION = "W3037"
MISMATCH = "I3510"
"""The rules whose messages are said shorter here: one lists all actions there are, the other one format of several."""
Place = tuple[str, str]
"""(function, ``<role>.<Sid>``)."""
Pair = tuple[Place, str, str]
"""(place, action, resource)."""


def problems(template: Mapping[str, Any]) -> list[str]:
    """One line per fault, with function, role and statement.

    A fault is: a wildcard in an action, a resource that is everything, an action that no service has, an action that
    applies to none of its statement's resources, a resource that none of its statement's actions applies to. Raises
    StateError when cfn-lint does not run.
    """
    pairs = [
        ((function, where), grant.action, grant.resource)
        for function, where, granted in statements(template, catalog=CATALOG)
        for grant in granted
    ]
    plain = [pair for pair in dict.fromkeys(pairs) if "*" not in pair[1] and pair[2] != "*"]
    found = [*_wildcards(pairs), *_unknown(plain)]
    return list(dict.fromkeys(f"{function}, {where}: {text}" for (function, where), text in found))


def _wildcards(pairs: Iterable[Pair]) -> Iterator[tuple[Place, str]]:
    for place, action, resource in pairs:
        if "*" in action:
            yield place, f"{action} has a wildcard"
        if resource == "*":
            yield place, f"{action} on every resource there is"


def _unknown(pairs: list[Pair]) -> Iterator[tuple[Place, str]]:
    misses = set()
    for pair, rule, message in _cfn_lint(pairs):
        if rule == MISMATCH:
            misses.add(pair)
        else:
            yield pair[0], f"{pair[1]}: {'there is no such action' if rule == NO_SUCH_ACTION else message[:200]}"
    for place, action, resource in sorted(misses):
        if all(pair in misses for pair in pairs if pair[:2] == (place, action)):
            yield place, f"{action} does not apply to {resource}"
        elif all(pair in misses for pair in pairs if (pair[0], pair[2]) == (place, resource)):
            yield place, f"{resource}: {action} does not apply to it, nor does another action of the statement"


def _cfn_lint(pairs: list[Pair]) -> Iterator[tuple[Pair, str, str]]:
    """(pair, rule, message) of everything that cfn-lint says."""
    resources = {f"P{n}": _policy(action, resource) for n, (_, action, resource) in enumerate(pairs)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "permissions.json")
        path.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}))
        command = [sys.executable, "-m", "cfnlint.runner.cli", "--include-checks", "I", "--format", "json", "--"]
        run = subprocess.run([*command, str(path)], cwd=folder, capture_output=True, text=True, check=False)
    try:
        matches = json.loads(run.stdout)
    except ValueError as err:
        raise StateError(f"cfn-lint ended with {run.returncode}: {(run.stderr or run.stdout)[-500:]!r}") from err
    for match in matches:
        pair = pairs[int(match["Location"]["Path"][1].removeprefix("P"))]
        yield pair, match["Rule"]["Id"], match["Message"]


def _policy(action: str, resource: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": [action], "Resource": [resource]}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {
        "Type": "AWS::IAM::Policy",
        "Properties": {"PolicyName": "one", "Roles": ["one"], "PolicyDocument": document},
    }


def main(path: Path) -> int:
    from levadactl.embedded.templates import read_template

    found = problems(read_template(path))
    for line in found:
        print(line)
    return bool(found)


if __name__ == "__main__":
    from levadactl.embedded.state import project_root

    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else project_root() / "template.yaml"))
