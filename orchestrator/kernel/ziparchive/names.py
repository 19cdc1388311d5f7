"""Which names an archive may use, and which of them clash.

Pure text; nothing is ever rewritten into something harmless, because then two entries could become
one, and because a name that somebody did not mean is a fault they want to hear of.
"""

import unicodedata

from orchestrator.kernel.ziparchive.limits import ZipLimits
from orchestrator.kernel.ziparchive.problem import unsafe

RELATIVE = "use only names below the folder that you zip, such as src/main.c"


def check_name(name: str, limits: ZipLimits) -> None:
    """Refuse a name that is not a plain relative path. A folder's name ends with a slash."""
    path = name.removesuffix("/")
    fault = _fault(path)
    if fault is not None:
        raise unsafe(fault, entry=name, hint=RELATIVE)
    if len(path.encode()) > limits.name_bytes:
        raise unsafe(f"has a name longer than {limits.name_bytes} bytes", entry=name)
    for part in path.split("/"):
        fault = _part_fault(part, limits)
        if fault is not None:
            raise unsafe(fault, entry=name, hint=RELATIVE)


def _fault(path: str) -> str | None:
    if not path:
        return "has an empty name"
    if path.startswith("/"):
        return "has an absolute path"
    if "\\" in path:
        return "has a backslash in its name"
    if path[1:2] == ":" and path[0].isascii() and path[0].isalpha():
        return "names a drive"
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in path):
        return "has a control character in its name"
    if not unicodedata.is_normalized("NFC", path):
        return "has a name that is not in Unicode's composed form (NFC)"
    return None


def _part_fault(part: str, limits: ZipLimits) -> str | None:
    if not part:
        return "has an empty part in its path"
    if part in {".", ".."}:
        return f"has {part} in its path" + (", which leads out of the folder" * (part == ".."))
    if part.endswith((".", " ")):
        return "has a part that ends with a dot or a space"
    if len(part.encode()) > limits.part_bytes:
        return f"has a part longer than {limits.part_bytes} bytes"
    return None


def check_clashes(names: list[str], limits: ZipLimits) -> None:
    """Refuse names of which two would be one file somewhere, or a file and a folder at once.

    Names that differ only in case are one file on other systems, so they are one here.
    """
    listed: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        path = name.removesuffix("/")
        key = path.casefold()
        if key in listed:
            twice = "is there twice" if listed[key] == path else "differs only in case from another"
            raise unsafe(twice, entry=name, hint="keep one of the two")
        listed[key] = path
        _add_folders(folders, path if name.endswith("/") else _parent(path), limits)
    for name in names:
        if not name.endswith("/") and name.casefold() in folders:
            raise unsafe("is a file and a folder at once", entry=name, hint="rename one of the two")


def _add_folders(folders: dict[str, str], path: str, limits: ZipLimits) -> None:
    """Note a folder and those above it, up to the first that is known: above that all are.

    Few long names imply millions of folders, so these have the limit of entries as well.
    """
    while path and folders.get(key := path.casefold()) != path:
        if key in folders:
            raise unsafe("is a folder that differs only in case from another", entry=path)
        folders[key] = path
        if len(folders) > limits.entries:
            raise unsafe(
                f"has more than {limits.entries} folders, with those that its names imply",
                hint="leave out what the job does not need, or pack it into an inner archive",
            )
        path = _parent(path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
