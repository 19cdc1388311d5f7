"""Whether a JSON value is as a schema says: as much of the language as our documents use."""

from collections.abc import Mapping
from typing import Any, Final

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
_ANNOTATIONS: Final = {"default", "title", "description", "format"}
_BOUNDS: Final = {"minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "pattern"}
_SHAPES: Final = {"$ref", "type", "anyOf", "properties", "required", "items", "enum", "const"}
KNOWN: Final = _ANNOTATIONS | _BOUNDS | _SHAPES | {"additionalProperties"}


def faults(value: Any, schema: Any, document: Any, at: str = "$") -> list[str]:
    """Return where a value is not as the schema says; a word that is not known here is a fault."""
    if schema is True or schema == {}:
        return []
    if unknown := set(schema) - KNOWN:
        return [f"{at}: nobody here knows {sorted(unknown)}"]
    if "$ref" in schema:
        return faults(value, _found(document, schema["$ref"]), document, at)
    if "anyOf" in schema:
        tried = [faults(value, one, document, at) for one in schema["anyOf"]]
        return (
            [] if any(not found for found in tried) else [found for one in tried for found in one]
        )
    told = schema.get("type")
    if told and (not isinstance(value, _TYPES[told]) or (told != "boolean" and value is True)):
        return [f"{at}: {value!r} is no {told}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, list):
        items = schema.get("items", True)
        return [
            found
            for number, one in enumerate(value)
            for found in faults(one, items, document, f"{at}[{number}]")
        ]
    return _of_object(value, schema, document, at) if isinstance(value, dict) else []


def _of_object(value: Any, schema: Any, document: Any, at: str) -> list[str]:
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", not known)
    missing = [
        f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value
    ]
    found = list(missing)
    for name, one in value.items():
        if name not in known and more is False:
            found.append(f"{at}: {name} is not described")
        else:
            found += faults(one, known.get(name, more), document, f"{at}.{name}")
    return found


def _found(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document
