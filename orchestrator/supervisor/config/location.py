"""Where the configuration of this machine is, unless somebody says so."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.supervisor.config.places import Folders, PathFault

VARIABLE: Final = "ORCHESTRATOR_CONFIG"
NAME: Final = "workers.yaml"
OLD_NAME: Final = "workers.json"
SCHEMA_NAME: Final = "workers.schema.json"
_SYSTEM: Final = Path("/etc/orchestrator")


def locate(told: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the path of the file: as told, as the variable says, else where it is by custom.

    It need not exist. An older system's `workers.json` in the same folder is taken when it is the
    only one: JSON is YAML.
    """
    if told is not None:
        return Path(os.path.normpath(Path.cwd() / told))
    if said := environ.get(VARIABLE, "").strip():
        return Path(os.path.normpath(Path.cwd() / said))
    folder = _folder(environ)
    alone = _is_there(folder / OLD_NAME) and not _is_there(folder / NAME)
    return folder / (OLD_NAME if alone else NAME)


def _is_there(path: Path) -> bool:
    """Tell whether there is such a file, as far as this user may know."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _folder(environ: Mapping[str, str]) -> Path:
    if os.geteuid() == 0 and _is_there(_SYSTEM):
        return _SYSTEM
    said = environ.get("XDG_CONFIG_HOME", "")
    if said.startswith("/"):
        return Path(said) / "orchestrator"
    try:
        return Path(Folders(Path.cwd(), environ).home()) / ".config/orchestrator"
    except PathFault as fault:
        hint = "or say where the configuration is, with --config or ORCHESTRATOR_CONFIG"
        raise ConfigInvalid(fault.message, hint=hint) from None
