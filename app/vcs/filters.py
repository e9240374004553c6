"""Whether a change of the repository concerns a workspace, and why.

The reason is kept with each decision, because "why did this not plan?" is what people ask.  Source:
`run-lifecycle.md` §8 and `github-app.md` §3.8 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.workspaces.patterns import matches_glob, matches_tag


@dataclass(frozen=True)
class Watch:
    """What a workspace wants to hear about; the names are those of its settings."""

    working_directory: str = ""
    file_triggers_enabled: bool = True
    trigger_prefixes: tuple[str, ...] = ()
    trigger_patterns: tuple[str, ...] = ()
    tags_regex: str = ""


@dataclass(frozen=True)
class ChangedFiles:
    """The paths that differ, both names of a renamed one; None where the list is unknown, *why* then says
    the reason in words that follow "because"."""

    paths: frozenset[str] | None
    why: str = ""

    @classmethod
    def unknown(cls, why: str) -> ChangedFiles:
        return cls(None, why)

    @classmethod
    def known(cls, paths: Iterable[str]) -> ChangedFiles:
        return cls(frozenset(paths))


@dataclass(frozen=True)
class Decision:
    """Whether the workspace is concerned, and the sentence that says why."""

    concerned: bool
    reason: str


def of_files(watch: Watch, changed: ChangedFiles) -> Decision:
    """Of a push to a branch or of a pull request.  An unknown list concerns everybody: a plan too many costs
    a minute, one too few an outage."""
    if watch.tags_regex:
        return Decision(False, "The workspace follows tags only.")
    if not watch.file_triggers_enabled:
        return Decision(True, "The workspace follows every change.")
    if changed.paths is None:
        return Decision(True, f"Taken as affected, because {changed.why}.")
    if watch.trigger_patterns:
        return _by_pattern(watch.trigger_patterns, changed.paths)
    return _by_folder(_folders(watch), changed.paths)


def of_tag(watch: Watch, tag: str) -> Decision:
    """Of a tag that was made or moved; whatever branch it is on."""
    if not watch.tags_regex:
        return Decision(False, "The workspace follows a branch, not tags.")
    if matches_tag(watch.tags_regex, tag):
        return Decision(True, f"The tag {tag} matches {watch.tags_regex}.")
    return Decision(False, f"The tag {tag} does not match {watch.tags_regex}.")


def _by_pattern(patterns: tuple[str, ...], paths: frozenset[str]) -> Decision:
    for path in sorted(paths):
        for pattern in patterns:
            if matches_glob(pattern, path):
                return Decision(True, f"{path} matches {pattern}.")
    return Decision(False, "No changed file matches a trigger pattern.")


def _by_folder(folders: list[str], paths: frozenset[str]) -> Decision:
    """On a folder's border: `modules` has `modules/a.tf` and not `modules-old/a.tf`."""
    if not folders:
        return Decision(True, "The workspace follows the whole repository.")
    for path in sorted(paths):
        for folder in folders:
            if not folder or path == folder or path.startswith(f"{folder}/"):
                return Decision(True, f"{path} is in {folder or 'the repository'}.")
    return Decision(False, f"No file changed in {', '.join(folders)}.")


def _folders(watch: Watch) -> list[str]:
    """The prefixes and the working directory, "" for the whole repository; none at all means that as well."""
    prefixes = [prefix.strip("/") for prefix in watch.trigger_prefixes]
    directory = watch.working_directory.strip("/")
    return [directory, *prefixes] if directory else prefixes
