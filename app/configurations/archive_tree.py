"""Where the entries of an archive may lie: inside, each once, and no link leads out.

Links are judged as they come, without following any.  Nothing is ever put below a link, so the directory a
link lies in is the one its path says.  Its target may climb from there no further than the root, and names
a directory before each later ``..`` (one that no later entry may turn into a link); what follows the last
``..`` only descends.  So every link stays inside by itself, and a chain of links that stay inside does too,
in whatever order they came.
"""

from __future__ import annotations

from app.configurations.tar_stream import quoted
from app.errors import Invalid

#: Longest path, in bytes: a system's 4096 must hold the directory it is unpacked in as well.
LONGEST_PATH = 1024
LONGEST_NAME = 255
#: Deeper than any configuration, and so that walking down a hundred thousand times takes seconds.
DEEPEST = 100

Path = tuple[str, ...]

_FILE = "file"
_LINK = "link"
#: A directory is what it holds.
_Node = dict[str, "_Node | str"]


def path_of(name: str, *, within: str | None = None) -> Path:
    """The parts of an entry's *name*.  Raises `Invalid` if it leads out, or if no file can be so named."""
    about = f"The archive's entry {quoted(within or name)}"
    text = _checked(name, about, "name" if within is None else "target")
    if text.startswith("/"):
        raise Invalid(f"{about} has an absolute path. Pack the files relative to their directory.")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Invalid(f'{about} has ".." in its path. Pack the files relative to their directory.')
    if len(parts) > DEEPEST:
        raise Invalid(f"{about} lies more than {DEEPEST} directories deep.")
    if any(len(part.encode()) > LONGEST_NAME for part in parts):
        raise Invalid(f"{about} has a name longer than {LONGEST_NAME} bytes.")
    return parts


class Tree:
    """The entries so far; *most* bounds them, with the directories they imply."""

    def __init__(self, most: int) -> None:
        self._root: _Node = {}
        self._most = most
        self._count = 0
        self._near: tuple[Path, _Node] = ((), self._root)  # the directory asked for last

    def add_directory(self, path: Path) -> None:
        """Take *path* and all above it for directories.  Again and again is fine."""
        self._directory(path)

    def add_file(self, path: Path) -> None:
        self._place(path, _FILE)

    def add_hard_link(self, path: Path, source: Path) -> None:
        node: _Node | str | None = self._root
        for name in source:
            node = node.get(name) if isinstance(node, dict) else None
        if node is not _FILE:
            raise Invalid(
                f"The archive's entry {_shown(path)} is a hard link to {_shown(source)}, and no file of that "
                "name comes before it."
            )
        self._place(path, _FILE)

    def add_link(self, path: Path, target: str) -> None:
        about = f"The archive's entry {_shown(path)} is a link"
        text = _checked(target, f"{about} that", "target")
        if text.startswith("/"):
            raise Invalid(f"{about} with the absolute target {quoted(text)}. Links must be relative.")
        self._place(path, _LINK)
        self._climb(path, text.split("/"), f"{about} to {quoted(text)}")

    def _climb(self, path: Path, target: list[str], about: str) -> None:
        """Go along *target* up to its last ``..``; what comes after that only descends."""
        last = max((place for place, part in enumerate(target) if part == ".."), default=-1)
        steps = [part for part in target[: last + 1] if part not in ("", ".")]
        if len(steps) > DEEPEST:
            raise Invalid(f"{about}, which takes more than {DEEPEST} steps.")
        walked, descended = list(path[:-1]), False
        for part in steps:
            if part != "..":
                walked.append(part)
                descended = True
                continue
            if not walked:
                raise Invalid(f"{about}, which leads out of the archive.")
            if descended:
                self._directory(tuple(walked))
                descended = False
            walked.pop()

    def _place(self, path: Path, kind: str) -> None:
        if not path:
            raise Invalid(f"The archive's own directory is a {kind} in it.")
        parent = self._directory(path[:-1])
        if path[-1] in parent:
            raise Invalid(f"The archive holds {_shown(path)} twice.")
        parent[path[-1]] = kind
        self._counted()

    def _directory(self, path: Path) -> _Node:
        """The directory *path*, from now on one if it was nothing before."""
        if path == self._near[0]:
            return self._near[1]
        at = self._root
        for depth, name in enumerate(path, 1):
            node = at.get(name)
            if node is None:
                node = at[name] = {}
                self._counted()
            elif not isinstance(node, dict):
                shown = _shown(path[:depth])
                raise Invalid(f"The archive's entry {shown} is a {node}, and a directory elsewhere in it.")
            at = node
        self._near = (path, at)
        return at

    def _counted(self) -> None:
        self._count += 1
        if self._count > self._most:
            raise Invalid(
                f"The archive holds more than {self._most} files and directories (setting STATEROOM_MAX_ARCHIVE_FILES)."
            )


def _checked(text: str, about: str, what: str) -> str:
    if "\0" in text:
        raise Invalid(f"{about} has a NUL character in its {what}.")
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid(f"{about} has a {what} that is not UTF-8.") from None
    if length > LONGEST_PATH:
        raise Invalid(f"{about} has a {what} longer than {LONGEST_PATH} bytes.")
    if not text:
        raise Invalid(f"{about} has no {what}.")
    return text


def _shown(path: Path) -> str:
    return quoted("/".join(path))
