"""The JSON Schema of `workers.yaml`, from which editors complete keys and see mistakes."""

from typing import Any, Final

from orchestrator.supervisor.config.model import File

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TITLE: Final = "workers.yaml of orchestrator run"


def schema() -> dict[str, object]:
    """Return the schema."""
    made = _tidy(File.model_json_schema())
    return {"$schema": DIALECT, **made, "title": _TITLE}


def _tidy(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return it without the titles that repeat names, and with every sentence on one line."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    tidy = {
        name: _tidy(each)
        for name, each in value.items()
        if not (name == "title" and isinstance(each, str))
    }
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].split())
    if not _is_as_written(tidy):
        tidy.pop("default", None)
    return tidy


def _is_as_written(key: dict[str, Any]) -> bool:
    """Tell whether a default can be written so: a duration of 600.0 is `10m` in a file."""
    default = key.get("default")
    if isinstance(default, dict) or default is None:
        return False
    return key.get("type") != "string" or isinstance(default, str)
