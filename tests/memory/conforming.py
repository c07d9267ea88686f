"""Documents held against the schemas that are published."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import attrs
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from proxyreload.schemas.published import schemas

Schema = Mapping[str, Any]


@cache
def schema(name: str) -> Schema:
    """Return a published one."""
    content: Schema = json.loads(schemas()[name])
    return content


def wrong(name: str, document: object) -> list[str]:
    """Return what is wrong with ``run.json``, or with another one that has a schema; nothing if it is as published."""
    return sorted(map(_told, _leaves(Draft202012Validator(schema(name)).iter_errors(document))))


def _leaves(errors: Iterator[ValidationError]) -> Iterator[ValidationError]:
    """Yield of what is none of several what is wrong with each."""
    for error in errors:
        if error.context:
            yield from _leaves(iter(error.context))
        else:
            yield error


def _told(error: ValidationError) -> str:
    return f"{error.json_path}: {error.message[:300]}"


def parts(below: object) -> Iterator[Schema]:
    """Yield every part of a schema that describes something."""
    if isinstance(below, list):
        for each in below:
            yield from parts(each)
    elif isinstance(below, dict):
        yield below
        for keyword, each in below.items():
            if keyword in {"properties", "$defs"}:
                for part in each.values():
                    yield from parts(part)
            elif keyword not in {"enum", "const", "examples"}:
                yield from parts(each)


def named_keys(name: str) -> set[str]:
    """Return every key that a schema names."""
    return {key for part in parts(schema(name)) for key in part.get("properties", ())}


@attrs.frozen
class Met:
    """A keyword of a schema, and a value that was held against it."""

    part: Schema  #: which has the keyword
    value: Any


def met(name: str, document: object, keyword: str) -> list[Met]:
    """Return where a keyword was met, from top to bottom."""
    found: list[Met] = []
    usual = Draft202012Validator.VALIDATORS[keyword]

    def noting(validator: Validator, told: object, value: object, part: Schema) -> Iterator[ValidationError]:
        found.append(Met(part, value))
        yield from usual(validator, told, value, part)

    list(extend(Draft202012Validator, {keyword: noting})(schema(name)).iter_errors(document))
    return found


def unseen_keys(name: str, documents: Iterable[object]) -> set[str]:
    """Return the keys of a schema of which no document has anything, each behind the title of what it belongs to."""
    seen = {
        (id(each.part), key)
        for document in documents
        for each in met(name, document, "properties")
        if isinstance(each.value, dict)
        for key in each.part["properties"]
        if each.value.get(key) is not None
    }
    return {
        f"{part.get('title', '')}.{key}"
        for part in parts(schema(name))
        for key in part.get("properties", ())
        if (id(part), key) not in seen and "type" in part
    }
