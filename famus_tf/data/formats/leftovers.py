"""Files and folders that systems and programs leave behind beside a user's images."""

from __future__ import annotations

import os

# Folders of macOS, of network storage, of Windows, of Linux and of editors; those that begin with a dot are all hidden.
_FOLDERS = frozenset(
    {
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot"),
        *("$recycle.bin", "recycler", "system volume information"),
        *("lost+found", "__pycache__"),
    }
)
_FILES = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
        *("picasa.ini", "zbthumbnail.info", "pspbrwse.jbf"),
    }
)
# Backups and locks of editors, and downloads that are not finished.
_ENDINGS = ("~", ".part", ".partial", ".crdownload", ".download", ".tmp", ".bak", ".swp")
_START = "~$"
# What `famus_tf` writes into run directories, scaled copies, and where it inspects.
_SIGNS_OF_A_RUN = ("flags.cfg", "prepared.json", "inspection.json")
_LOCK = "lock"  # of a run that has just begun, in which there is nothing else yet


def folder(name: str) -> str:
    """What kind of leftover a folder is by its name, or "" where it is none."""
    return f"{name}/" if name.startswith(".") or name.lower() in _FOLDERS else ""


def file(name: str) -> str:
    """What kind of leftover a file is by its name, such as "._*" or "Thumbs.db", or "" where it is none."""
    if name.startswith("."):
        return "._*" if name.startswith("._") else ".*"
    lower = name.lower()
    if lower in _FILES:
        return name
    if lower.startswith(_START):
        return f"{_START}*"
    if not lower.endswith(_ENDINGS):
        return ""
    return next(f"*{ending}" for ending in _ENDINGS if lower.endswith(ending))


def is_of_a_run(path: str) -> bool:
    """Whether the folder is a run directory or a scaled copy, whose pictures are nobody's data."""
    return any(os.path.isfile(os.path.join(path, name)) for name in _SIGNS_OF_A_RUN) or _is_about_to_run(path)


def _is_about_to_run(path: str) -> bool:
    try:
        with open(os.path.join(path, _LOCK), "rb") as file:
            return file.read(200).startswith(b'{"host"')
    except OSError:
        return False
