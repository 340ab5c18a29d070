"""A grid file as cells: the values of its lists are multiplied.

read_grid → combinations, each one set of a notebook's parameters
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lib.errors import ConfigError

#: What PyYAML raises for text that is not what it seems, besides errors of its own.
_NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)


class _Loader(yaml.SafeLoader):
    """Plain values; a key that comes twice would lose one of its values, and is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise ConfigError(f"{twice[0]!r} is there twice")
        return super().construct_mapping(node, deep)


# In YAML 1.1 a float has a dot, and 1e-2 is text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds; raises a `ConfigError` of one line where it cannot be read."""
    try:
        # A subclass of SafeLoader, so it makes plain values only.
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except _NOT_YAML as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from None


def read_grid(path: str | Path) -> list[dict[str, Any]]:
    """The mappings of a grid file: one, or the items of a list.

    Raises:
        ConfigError: a file that cannot be read or holds anything else; one line.
    """
    content = read_yaml(path)
    mappings = content if isinstance(content, list) else [content]
    if not mappings or not all(isinstance(one, dict) and one for one in mappings):
        raise ConfigError(f"{path}: a grid has lines `name: value` or `name: [first, second]`, or is a list of such")
    return mappings


def combinations(mapping: Mapping[str, Any], annotations: Mapping[str, str]) -> list[dict[str, Any]]:
    """All combinations of what a mapping says of the parameters of a notebook; names of others are left out.

    A parameter that is a list itself varies over a list of lists, as `[[a, b], [c]]`; a flat list is one value of it.

    Args:
        mapping: by parameter a value, or a list of values.
        annotations: of the notebook's parameters.

    Raises:
        ConfigError: a list without values.
    """
    from sklearn.model_selection import ParameterGrid

    axes = {}
    for name in (name for name in annotations if name in mapping):
        value = mapping[name]
        varies = isinstance(value, list)
        if varies and annotations[name] == "list":
            varies = any(isinstance(item, list) for item in value)
        if varies and not value:
            raise ConfigError(f"{name} has no values, so the grid has no cells")
        axes[name] = value if varies else [value]
    return list(ParameterGrid(axes))
