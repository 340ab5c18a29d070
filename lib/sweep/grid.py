"""Read a grid file and combine the values of its lists.

read_grid → combinations, each one set of a notebook's parameters
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lib.errors import ConfigError

#: What PyYAML raises for malformed text: its own errors and built-in ones.
_NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)


class _Loader(yaml.SafeLoader):
    """Loads plain values; a duplicate key, which would lose one of its values, is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise ConfigError(f"{twice[0]!r} appears twice")
        return super().construct_mapping(node, deep)


# In YAML 1.1 a float needs a dot, and 1e-2 is text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file; raises a one-line `ConfigError` if it cannot be read."""
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
    """The mappings in a grid file, which holds a single one or a list of them.

    Raises:
        ConfigError: the file cannot be read or holds anything else; one line.
    """
    content = read_yaml(path)
    mappings = content if isinstance(content, list) else [content]
    if not mappings or not all(isinstance(one, dict) and one for one in mappings):
        raise ConfigError(f"{path}: a grid is lines `name: value` or `name: [first, second]`, or a list of such")
    return mappings


def combinations(mapping: Mapping[str, Any], annotations: Mapping[str, str]) -> list[dict[str, Any]]:
    """All combinations of a mapping's values for the parameters of a notebook; other names are ignored.

    A parameter that is itself a list varies over a list of lists, as `[[a, b], [c]]`; a flat list is a single value.

    Args:
        mapping: a value or a list of values per parameter.
        annotations: types of the notebook's parameters, by name.

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
