"""Domains as the command line names them: registered ones, ``module:NAME``, or a Python file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from levada.core.errors import ConfigError
from levada.domains.declaration import Domain
from levada.domains.registry import enabled, registered
from levadactl.domain_contract import Item, made_up
from levadactl.errors import LevadactlError


def domain_named(name: str) -> Domain:
    """Raises LevadactlError naming the domains there are."""
    known = registered()
    if name not in known:
        raise LevadactlError(f"domain {name!r}: must be one of {', '.join(sorted(known))}")
    return known[name]


def found(target: str) -> list[tuple[Domain, Sequence[Item]]]:
    """The domains that a target means, each with examples of its payloads.

    Args:
        target: the name of a registered domain, ``module:NAME``, or the path of a Python file.

    Raises LevadactlError.
    """
    from levadactl.domain_samples import SAMPLES

    if target.endswith(".py") or "/" in target:
        module = _loaded(Path(target))
    elif ":" in target:
        try:
            (domain,) = enabled(target).values()
        except ConfigError as err:
            raise LevadactlError(str(err)) from err
        return [(domain, _examples(sys.modules[target.partition(":")[0]], domain))]
    else:
        domain = domain_named(target)
        return [(domain, SAMPLES[target].good if target in SAMPLES else _made_up(domain))]
    domains = [value for value in vars(module).values() if isinstance(value, Domain)]
    if not domains:
        raise LevadactlError(f"{target}: declares no Domain")
    return [(domain, _examples(module, domain)) for domain in domains]


def the_one(target: str) -> Domain:
    """The one domain that a target declares. Raises LevadactlError when there are none or several."""
    declared = [domain for domain, _ in found(target)]
    if len(declared) != 1:
        names = ", ".join(domain.name for domain in declared) or "none"
        raise LevadactlError(f"--domain {target}: must declare one domain, not {len(declared)} ({names})")
    return declared[0]


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise LevadactlError(f"{path}: must be a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as err:
        raise LevadactlError(f"{path}: {type(err).__name__}: {err}") from err
    return module


def _examples(module: ModuleType, domain: Domain) -> Sequence[Item]:
    """``EXAMPLES`` of the module, or what the declaration alone allows to make up."""
    examples = getattr(module, "EXAMPLES", None)
    if isinstance(examples, dict):
        examples = examples.get(domain.name)
    return list(examples) if examples else _made_up(domain)


def _made_up(domain: Domain) -> list[Item]:
    if domain.derive is not None:
        raise LevadactlError(
            f"domain {domain.name} has a function: its module needs EXAMPLES, a list of payloads as dictionaries"
        )
    return made_up(domain)
