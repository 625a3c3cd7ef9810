"""From text to plain values: YAML as compose reads its files, and stricter.

Not as PyYAML reads it by itself (YAML 1.1): there `22:22` is a number in base 60, `off` is false,
a date is no text, of two equal keys the last wins, and ten lines of aliases fill the memory.
No message quotes a value: it might be a secret that was not put in quotes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from webhook_launcher.core.errors import ConfigurationError, Problem

# With every alias written out. A configuration has some dozens of nodes per workload.
_MAX_NODES = 100_000
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_KEYS = frozenset({f"{_TAG}str", f"{_TAG}int"})
_PLAIN = _KEYS | {f"{_TAG}{name}" for name in ("bool", "float", "null", "map", "seq", "merge")}
# What the parser says, and what the user should do; the first that matches.
_CLEARER = (
    ("found undefined alias", "a value that starts with * must be put in quotes"),
    ("but found another document", "a second document (---); the file must be a single document"),
    ("found undefined tag handle", "a value that starts with ! must be put in quotes"),
    (r"found character '\t'", "a tab; YAML indents with spaces"),
)
# Text in quotes, except for names of tokens ('<block end>') and single characters.
_QUOTED = re.compile(r"'(?!<)[^']{3,}'|\"[^\"]{3,}\"")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2, as go-yaml (and so compose) resolves them."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0o?[0-7]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.nan",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def read_yaml(text: str, problems: list[Problem]) -> Mapping[str, Any]:
    """The document's top mapping. Keys that appear twice and the like are added to `problems`.

    Raises ConfigurationError, with line and column, for what is no YAML at all.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise _fault("", "the file must be a mapping (`workloads:` and so on)")
        problems.extend(_Survey(loader).problems(node))
        if problems:
            raise ConfigurationError(problems)
        found: Mapping[str, Any] = _text_keys(loader.construct_document(node))
        return found
    except yaml.MarkedYAMLError as error:
        raise _fault(_place(error.problem_mark), _clear(error.problem)) from None
    except yaml.YAMLError:
        raise _fault("", "is not YAML: it has characters that no text has") from None
    except RecursionError:
        raise _fault("", "is nested too deep") from None
    except (ValueError, OverflowError):
        raise _fault("", "has a number that is none") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Survey:
    """Looks at the nodes before anything is built from them."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._sizes: dict[int, int] = {}

    def problems(self, top: yaml.MappingNode) -> list[Problem]:
        """What is wrong; anything built from a document without problems is small and plain."""
        found: list[Problem] = []
        self._size(top, found)
        return found

    def _size(self, node: yaml.Node, found: list[Problem]) -> int:
        """How many nodes it is with its aliases written out."""
        known = self._sizes.get(id(node))
        if known is not None:
            if known == 0:
                raise _fault(
                    _place(node.start_mark), "an alias (*) stands inside its own anchor (&)"
                )
            return known
        self._sizes[id(node)] = 0  # being counted
        found.extend(self._faults(node))
        total = 1 + sum(self._size(child, found) for child in _children(node))
        if total > _MAX_NODES:
            raise _fault(_place(node.start_mark), "aliases (*) make the document too large")
        self._sizes[id(node)] = total
        return total

    def _faults(self, node: yaml.Node) -> Iterator[Problem]:
        if node.tag not in _PLAIN:
            yield Problem(
                _place(node.start_mark),
                "tags are not used here; a value that starts with ! must be put in quotes",
            )
        if isinstance(node, yaml.MappingNode):
            yield from self._key_faults(node)

    def _key_faults(self, node: yaml.MappingNode) -> Iterator[Problem]:
        seen = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEYS:
                yield Problem(_place(key.start_mark), "a key must be text; put it in quotes")
                continue
            text = str(self._loader.construct_object(key))
            if text in seen:
                yield Problem(_place(key.start_mark), f"the key {text!r} appears twice")
            seen.add(text)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _text_keys(value: Any) -> Any:
    """The same value, every key a text: `2026:` is a name like any other."""
    if isinstance(value, dict):
        return {str(key): _text_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text_keys(item) for item in value]
    return value


def _fault(place: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem(place, message)])


def _place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _clear(problem: str | None) -> str:
    for start, clearer in _CLEARER:
        if problem and problem.startswith(start):
            return clearer
    return _QUOTED.sub("…", problem or "is not YAML")
