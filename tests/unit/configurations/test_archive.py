from __future__ import annotations

import asyncio
import gzip
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.configurations.archive import Archive, ArchiveLimits, inspected, unpack
from app.errors import Invalid, TooLarge
from app.http.limits import Limit

MiB = 1024**2
LIMITS = ArchiveLimits(Limit("A configuration archive", 100 * MiB, "STATEROOM_MAX_ARCHIVE"), 1024 * MiB, 100_000)


def entry(name: str, content: bytes | None = None, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content or b"")
    for key, value in more.items():
        setattr(info, key, value)
    return info, content or b""


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def directory(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=mode)


def tar(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def packed(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    return gzip.compress(tar(*entries, format=format), 1)


def look(data: bytes, limits: ArchiveLimits = LIMITS, step: int = 64 * 1024) -> None:
    archive = Archive(limits)
    for at in range(0, len(data), step):
        archive.feed(data[at : at + step])
    archive.finish()


def refusal(data: bytes, limits: ArchiveLimits = LIMITS) -> str:
    with pytest.raises(Invalid) as caught:
        look(data, limits)
    return caught.value.sentence


def tree(top: Path) -> dict[str, object]:
    """What lies below *top*: text of files, target of links, None for directories."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = None if path.is_dir() else path.read_text()
    return found


# -- what is accepted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 512, 100_000])
def test_an_archive_is_unpacked_as_it_was_packed_however_it_arrives(tmp_path: Path, step: int) -> None:
    data = packed(
        directory("modules/"),
        entry("main.tf", b"# main"),
        entry("modules/net/main.tf", b"# net"),  # its directory has no entry of its own
        link("modules/link.tf", "../main.tf"),
        hard("same.tf", "main.tf"),
        directory("empty/"),
    )

    unpack((data[at : at + step] for at in range(0, len(data), step)), tmp_path, limits=LIMITS)

    assert tree(tmp_path) == {
        "main.tf": "# main",
        "modules": None,
        "modules/link.tf": "-> ../main.tf",
        "modules/net": None,
        "modules/net/main.tf": "# net",
        "same.tf": "# main",
        "empty": None,
    }


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_every_dialect_arrive_whole(tmp_path: Path, format: int) -> None:
    name = "/".join(["d" * 60, "e" * 60, "f" * 60 + ".tf"])
    target = "/".join(["t" * 30] * 3)
    unpack([packed(entry(name, b"x"), link("l", target), format=format)], tmp_path, limits=LIMITS)

    assert (tmp_path / name).read_text() == "x"
    assert os.readlink(tmp_path / "l") == target


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_beyond_a_plain_header_arrive_whole(tmp_path: Path, format: int) -> None:
    name, target = "n" * 250, "/".join(["t" * 200] * 4)
    unpack([packed(entry(name, b"x"), link("grüße", target), format=format)], tmp_path, limits=LIMITS)

    assert (tmp_path / name).read_text() == "x"
    assert os.readlink(tmp_path / "grüße") == target


def test_a_size_in_an_extension_header_goes_before_the_plain_one(tmp_path: Path) -> None:
    raw = bytearray(tar(entry("a.tf", b"x" * 700, pax_headers={"size": "700"}), entry("b.tf", b"y")))
    header = raw.index(b"a.tf\0")
    raw[header + 124 : header + 136] = b"00000000000\0"
    total = sum(raw[header : header + 148]) + 8 * 32 + sum(raw[header + 156 : header + 512])
    raw[header + 148 : header + 156] = b"%06o\0 " % total
    unpack([gzip.compress(raw)], tmp_path, limits=LIMITS)

    assert {name: len(str(text)) for name, text in tree(tmp_path).items()} == {"a.tf": 700, "b.tf": 1}


def test_what_gits_archive_puts_first_is_passed_over(tmp_path: Path) -> None:
    out = io.BytesIO()
    headers = {"comment": "0123456789abcdef"}
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        archive.addfile(entry("a.tf")[0])
    unpack([out.getvalue()], tmp_path, limits=LIMITS)

    assert tree(tmp_path) == {"a.tf": ""}


def test_what_the_tar_program_packs_of_a_directory_is_accepted(tmp_path: Path) -> None:
    source, goal = tmp_path / "source", tmp_path / "goal"
    (source / "modules/m").mkdir(parents=True)
    goal.mkdir()
    (source / "main.tf").write_text("# main")
    (source / "modules/m" / ("x" * 120 + ".tf")).write_text("# x")
    (source / "link").symlink_to("modules/m")
    os.link(source / "main.tf", source / "zz.tf")
    data = subprocess.run(["tar", "-czf", "-", "-C", source, "."], check=True, capture_output=True).stdout
    unpack([data], goal, limits=LIMITS)

    assert tree(goal) == tree(source)


@pytest.mark.parametrize("name", ["", ".", "./"])
def test_the_archives_own_directory_may_be_an_entry(tmp_path: Path, name: str) -> None:
    unpack([packed(directory(name), entry("./a.tf"))], tmp_path, limits=LIMITS)

    assert tree(tmp_path) == {"a.tf": ""}


def test_an_empty_archive_is_an_archive(tmp_path: Path) -> None:
    unpack([packed()], tmp_path, limits=LIMITS)

    assert tree(tmp_path) == {}


def test_apple_double_files_are_left_out(tmp_path: Path) -> None:
    data = packed(entry("._main.tf", b"junk"), entry("m/._x", b"junk"), entry("main.tf", b"x"), link("._l", "/etc"))
    unpack([data], tmp_path, limits=LIMITS)

    assert tree(tmp_path) == {"main.tf": "x"}


def test_several_gzip_members_and_padding_are_one_archive(tmp_path: Path) -> None:
    raw = tar(entry("a.tf", b"x" * 3000))
    data = gzip.compress(raw[:1000]) + gzip.compress(b"") + gzip.compress(raw[1000:]) + b"\0" * 100
    unpack([data], tmp_path, limits=LIMITS)

    assert tree(tmp_path) == {"a.tf": "x" * 3000}


@pytest.mark.parametrize("step", [255 * 1024, 256 * 1024, 256 * 1024 + 1])
def test_output_that_waits_inside_zlib_is_not_forgotten(tmp_path: Path, step: int) -> None:
    content = b"\0" * (256 * 1024 * 3 - 512)
    data = packed(entry("zeros", content), entry("after", b"x"))
    unpack([data[:-9], data[-9:]], tmp_path, limits=LIMITS)
    look(data, step=step)

    assert (tmp_path / "zeros").stat().st_size == len(content)
    assert (tmp_path / "after").read_text() == "x"


def test_permission_bits_are_kept_and_no_others(tmp_path: Path) -> None:
    data = packed(
        entry("run.sh", b"", mode=0o6755),
        entry("secret", b"", mode=0o600),
        entry("none", b"", mode=0),
        directory("d", 0o1777),
        directory("closed", 0o500),
        entry("closed/x", b"x"),
        directory("implied/below", 0o700),
    )
    unpack([data], tmp_path, limits=LIMITS)
    modes = {str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}

    assert modes == {
        "run.sh": 0o755,
        "secret": 0o600,
        "none": 0o400,
        "d": 0o777,
        "closed": 0o700,
        "closed/x": 0o644,
        "implied": 0o755,
        "implied/below": 0o700,
    }


def test_everything_unpacked_belongs_to_whom_it_is_for(tmp_path: Path) -> None:
    data = packed(entry("d/e/a.tf", b"x"), link("l", "d/e"), hard("h", "d/e/a.tf"), directory("f"))
    if os.geteuid() != 0:  # only root gives files away, and nobody may believe it was done
        with pytest.raises(PermissionError):
            unpack([data], tmp_path, 210_001, limits=LIMITS)
        return
    unpack([data], tmp_path, 210_001, limits=LIMITS)

    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in tmp_path.rglob("*")} == {(210_001, 210_001)}


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/..", "..", "a/../b"])
def test_an_entry_that_leads_out_is_refused_by_name(name: str) -> None:
    assert f'"{name}"' in refusal(packed(entry("ok.tf"), entry(name)))


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (b"D", "unknown kind"),
    ],
)
def test_what_is_no_file_directory_or_link_is_refused(kind: bytes, word: str) -> None:
    sentence = refusal(packed(entry("dev/thing", type=kind)))

    assert '"dev/thing"' in sentence
    assert word in sentence


@pytest.mark.parametrize(
    "entries",
    [
        [link("l", "/etc/passwd")],
        [link("l", "../x")],
        [link("a/l", "../../x")],
        [link("a/l", "b/../../../x")],
        [link("l", "./.././x")],
        # a/b/l is the root itself, so m would mean what lies beside it: each alone looks harmless
        [link("a/b/l", "../.."), link("m", "a/b/l/../x")],
        [link("m", "a/b/l/../x"), link("a/b/l", "../..")],
        [link("d", "."), link("e", "d/..")],
        # the link's own directory turns into a link
        [link("a/l", ".."), link("a", "b/c")],
        [link("a", "b/c"), link("a/l", "..")],
        [link("self", "self/../../x")],
        [hard("h", "/etc/passwd")],
        [hard("h", "../x")],
        [hard("h", "not-there")],
        [hard("h", "later.tf"), entry("later.tf")],
        [link("l", "a.tf"), hard("h", "l")],
        [directory("d"), hard("h", "d")],
        [link("l", "")],
    ],
)
def test_a_link_that_leads_out_alone_or_through_others_is_refused(entries: list[Any]) -> None:
    assert "The archive" in refusal(packed(*entries))


@pytest.mark.parametrize(
    "entries",
    [
        [link("l", "not-there")],
        [link("a/l", "..")],
        [link("a/b/l", "../../c/d")],
        [link("l", "a/../b")],
        [link("loop", "loop")],
        [link("one", "two"), link("two", "one")],
        [link("l", "m/x"), link("m", "d")],
    ],
)
def test_a_link_that_stays_inside_is_kept(tmp_path: Path, entries: list[Any]) -> None:
    unpack([packed(*entries)], tmp_path, limits=LIMITS)

    for info, _ in entries:
        assert os.readlink(tmp_path / info.name) == info.linkname


@pytest.mark.parametrize(
    "entries",
    [
        [entry("a.tf", b"1"), entry("a.tf", b"2")],
        [entry("a.tf", b"1"), entry("./a.tf", b"2")],
        [link("a", "b"), entry("a", b"through")],
        [link("a", "b"), directory("a")],
        [link("a", "b"), entry("a/x", b"through")],
        [entry("a", b""), entry("a/x", b"")],
        [entry("a/x", b""), entry("a", b"")],
        [entry("a/x", b""), link("a", "b")],
        [entry("a.tf", b"1"), hard("a.tf", "a.tf")],
    ],
)
def test_a_name_is_one_thing_once(tmp_path: Path, entries: list[Any]) -> None:
    assert '"a' in refusal(packed(*entries))


def test_a_name_that_is_no_text_is_refused() -> None:
    assert "UTF-8" in refusal(packed(entry("caf\udce9.tf"), format=tarfile.GNU_FORMAT))
    assert "UTF-8" in refusal(packed(link("l", "\udcff"), format=tarfile.GNU_FORMAT))


def test_a_nul_in_a_name_is_refused() -> None:
    assert "NUL" in refusal(packed(entry("x", pax_headers={"path": "a\0b"})))
    assert "NUL" in refusal(packed(entry("x", type=tarfile.SYMTYPE, pax_headers={"linkpath": "a\0b"})))


def test_a_name_too_long_for_a_disk_is_refused() -> None:
    assert "255" in refusal(packed(entry("n" * 256)))
    assert "1024" in refusal(packed(entry("n/" * 600 + "x")))
    assert "1024" in refusal(packed(link("l", "n/" * 600)))


def test_a_name_or_link_of_too_many_steps_is_refused() -> None:
    look(packed(entry("n/" * 99 + "x"), link("n/" * 99 + "l", "../" * 99 + "n")))

    assert "100 directories" in refusal(packed(entry("n/" * 100 + "x")))
    assert "100 steps" in refusal(packed(link("l", "n/" * 60 + "../" * 60)))


def test_a_sparse_file_in_pax_dress_is_refused() -> None:
    assert "sparse" in refusal(packed(entry("x", pax_headers={"GNU.sparse.major": "1"})))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a zip", b"\x1f\x8b", tar(entry("a.tf", b"plain tar"))])
def test_what_is_no_gzip_is_refused(data: bytes) -> None:
    assert "gzip" in refusal(data)


@pytest.mark.parametrize("data", [b"", b"hello", b"x" * 5000, b"\0" * 100])
def test_gzip_of_something_else_is_refused(data: bytes) -> None:
    assert "The archive" in refusal(gzip.compress(data))


def test_an_archive_cut_off_anywhere_is_refused() -> None:
    data = packed(entry("a.tf", os.urandom(700)), entry("b.tf", b"y"))
    for end in range(len(data)):
        with pytest.raises(Invalid, match="ends in the middle"):
            look(data[:end])


def test_a_tar_cut_off_inside_whole_gzip_is_refused_by_the_last_name() -> None:
    assert '"a.tf"' in refusal(gzip.compress(tar(entry("a.tf", b"x" * 2000))[:1500]))


def test_damage_is_noticed() -> None:
    data = bytearray(packed(entry("a.tf", b"x" * 100)))
    data[-6] ^= 1
    assert "damaged" in refusal(bytes(data))


def test_what_follows_the_archive_is_refused() -> None:
    data = packed(entry("a.tf"))
    assert "gzip" in refusal(data + b"more")
    assert "after its end" in refusal(data + gzip.compress(b"x" * 2 * MiB))


def test_a_packed_archive_over_its_limit_is_too_large() -> None:
    limits = ArchiveLimits(Limit("A configuration archive", 1000, "STATEROOM_MAX_ARCHIVE"), MiB, 10)
    with pytest.raises(TooLarge, match=r"1000 bytes.*STATEROOM_MAX_ARCHIVE"):
        look(packed(entry("a.tf", os.urandom(2000))), limits)


def test_the_entry_that_breaks_the_unpacked_limit_is_named() -> None:
    limits = ArchiveLimits(LIMITS.packed, 1000, 10)
    look(packed(entry("a", b"x" * 600), entry("b", b"x" * 400)), limits)

    assert '"b"' in refusal(packed(entry("a", b"x" * 600), entry("b", b"x" * 401)), limits)
    assert '"._b"' in refusal(packed(entry("a", b"x" * 600), entry("._b", b"x" * 401)), limits)


def test_entries_and_the_directories_they_imply_are_counted() -> None:
    limits = ArchiveLimits(LIMITS.packed, MiB, 5)
    look(packed(*[entry(f"{n}") for n in range(5)]), limits)
    look(packed(entry("a/b/c/d/e")), limits)

    assert '"5"' in refusal(packed(*[entry(f"{n}") for n in range(6)]), limits)
    assert "more than 5" in refusal(packed(entry("a/b/c/d/e/f")), limits)
    assert "more than 5" in refusal(packed(*[directory("d")] * 6), limits)
    assert "more than 5" in refusal(packed(*[entry(f"._{n}") for n in range(6)]), limits)


def zeros(size: int) -> Iterator[bytes]:
    """A tar of one file of *size* zeros, compressed without ever being whole in memory."""
    import zlib

    squeeze = zlib.compressobj(1, wbits=31)
    info = tarfile.TarInfo("zeros.bin")
    info.size = size
    yield squeeze.compress(info.tobuf(tarfile.GNU_FORMAT))
    for _ in range(size // MiB):
        yield squeeze.compress(b"\0" * MiB)
    yield squeeze.compress(b"\0" * 1024)
    yield squeeze.flush()


def test_two_gigabytes_of_zeros_are_refused_at_their_header() -> None:
    archive, fed = Archive(LIMITS), 0

    def feed() -> None:
        nonlocal fed
        for chunk in zeros(2048 * MiB):
            fed += 1
            archive.feed(chunk)

    with pytest.raises(Invalid, match=r"1 GiB unpacked.*\"zeros.bin\""):
        feed()
    assert fed < 10


def test_a_bomb_is_inflated_a_little_at_a_time() -> None:
    bomb = gzip.compress(b"\0" * 64 * MiB)
    tracemalloc.start()
    try:
        assert "after its end" in refusal(bomb)
        assert tracemalloc.get_traced_memory()[1] < 16 * MiB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [b"x", b"g", b"L"])
def test_extension_headers_are_bounded_in_length_and_number(kind: bytes) -> None:
    long = entry("ext", b"\0" * (2 * MiB), type=kind)
    many = [entry("ext", b"", type=kind)] * 20

    assert "too long" in refusal(packed(long, entry("a.tf"), format=tarfile.USTAR_FORMAT))
    assert "too many" in refusal(packed(*many, entry("a.tf"), format=tarfile.USTAR_FORMAT))


@pytest.mark.parametrize("records", [b"nonsense", b"5 a=b\n", b"999 a=b\n", b"6 a=bc", b"-1 a=b\n", b"0 \n", b" a"])
def test_a_damaged_extension_header_is_refused(records: bytes) -> None:
    sentence = refusal(packed(entry("ext", records, type=b"x"), entry("a.tf"), format=tarfile.USTAR_FORMAT))

    assert "damaged" in sentence


def test_200_000_entries_are_refused() -> None:
    block = tarfile.TarInfo("._x").tobuf(tarfile.USTAR_FORMAT)

    assert "100000" in refusal(gzip.compress(block * 200_000 + b"\0" * 1024, 1))


# -- as it arrives -------------------------------------------------------------------------------------------


async def test_chunks_pass_through_and_the_end_comes_only_for_a_whole_archive() -> None:
    data = packed(entry("a.tf", os.urandom(5000)))

    async def chunks(upto: int) -> AsyncIterator[bytes]:
        for at in range(0, upto, 1000):
            yield data[at : min(at + 1000, upto)]

    assert b"".join([c async for c in inspected(chunks(len(data)), LIMITS)]) == data
    with pytest.raises(Invalid, match="ends in the middle"):
        async for _ in inspected(chunks(len(data) - 1), LIMITS):
            pass


async def test_looking_leaves_the_loop_free() -> None:
    bomb = packed(entry("zeros", b"\0" * (200 * MiB)))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async def whole() -> AsyncIterator[bytes]:
        yield bomb

    ticking = asyncio.create_task(tick())
    async for _ in inspected(whole(), LIMITS):
        pass
    ticking.cancel()

    assert ticks > 3


# -- safety of unpacking -------------------------------------------------------------------------------------


def test_a_link_slipped_in_while_unpacking_is_not_followed(tmp_path: Path) -> None:
    goal, outside = tmp_path / "goal", tmp_path / "outside"
    goal.mkdir()
    outside.mkdir()

    def source() -> Iterator[bytes]:
        raw = tar(entry("d/a", b"1"), entry("e/b", b"2"), entry("d/c", b"3"))
        squeeze = gzip.compress(raw[:2048])
        yield squeeze
        shutil.rmtree(goal / "d")
        (goal / "d").symlink_to(outside)
        yield gzip.compress(raw[2048:])

    with pytest.raises(OSError, match="d"):
        unpack(source(), goal, limits=LIMITS)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("make", [lambda p: p.write_text("mine"), lambda p: p.symlink_to("/tmp/elsewhere")])
def test_what_lies_there_already_is_never_written_to(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "a.tf")
    with pytest.raises(FileExistsError):
        unpack([packed(entry("a.tf", b"x"))], tmp_path, limits=LIMITS)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number, data in enumerate([packed(entry("a/b/c", b"x"), hard("h", "a/b/c")), packed(entry("a"))[:-1]]):
        goal = tmp_path / str(number)
        goal.mkdir()
        try:
            unpack([data], goal, limits=LIMITS)
        except Invalid:
            pass
    assert len(os.listdir("/proc/self/fd")) == before


NAMES = st.sampled_from(["a", "b", "c", "..", ".", "a/b", "b/..", "../..", "/", "a/b/c", "c/../..", "._a"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
ENTRIES = st.lists(
    st.one_of(
        PATHS.map(lambda p: entry(p, b"inside")),
        PATHS.map(directory),
        st.tuples(PATHS, PATHS).map(lambda two: link(*two)),
        st.tuples(PATHS, PATHS).map(lambda two: hard(*two)),
    ),
    max_size=8,
)


@given(ENTRIES)
def test_nothing_accepted_leads_out(tmp_path_factory: pytest.TempPathFactory, entries: list[Any]) -> None:
    outer = tmp_path_factory.mktemp("outer")
    goal = outer / "goal"
    goal.mkdir()
    try:
        unpack([packed(*entries)], goal, limits=LIMITS)
    except Invalid:
        accepted = False
    else:
        accepted = True
    try:
        assert [p.name for p in outer.iterdir()] == ["goal"]
        for path in goal.rglob("*") if accepted else ():
            inside = real(path)
            assert inside is None or inside == str(goal) or inside.startswith(f"{goal}/")
    finally:
        shutil.rmtree(outer)


def real(path: Path) -> str | None:
    """Where the system's own resolution of links ends; None where it goes round in circles."""
    try:
        return os.path.realpath(path, strict=False) if not _loops(path) else None
    except OSError:
        return None


def _loops(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


LINK_NAMES = st.sampled_from(["l", "m", "d/l", "d/e/l"])
STEPS = st.sampled_from(["..", "..", "l", "m", "d", "e"])
#: Few names, so that links lead through each other.
CHAINS = st.dictionaries(LINK_NAMES, st.lists(STEPS, min_size=1, max_size=4).map("/".join), min_size=2, max_size=4)


@settings(max_examples=2000)
@given(CHAINS)
def test_no_chain_of_links_accepted_leads_out(chain: dict[str, str]) -> None:
    try:
        look(packed(*[link(name, target) for name, target in chain.items()]))
    except Invalid:
        return
    for name in chain:
        assert not leads_out(name, chain), chain


def leads_out(name: str, links: dict[str, str]) -> bool:
    """As a system follows links, on a disk where every directory is that no link stands for."""
    at: list[str] = []
    steps = name.split("/")
    followed = 0
    while steps:
        step = steps.pop(0)
        if step == "..":
            if not at:
                return True
            at.pop()
            continue
        at.append(step)
        if (target := links.get("/".join(at))) is not None:
            at.pop()
            steps = target.split("/") + steps
            followed += 1
            if followed > 40:
                return False
    return False


@given(st.binary(max_size=3000))
def test_any_bytes_are_refused_or_accepted_and_nothing_else(data: bytes) -> None:
    for attempt in (data, gzip.compress(data), gzip.compress(tar(entry("a", b"x"))[:512] + data)):
        try:
            look(attempt)
        except Invalid as error:
            assert error.sentence.startswith("The archive")  # noqa: PT017 - any other exception is the failure


@given(st.data())
def test_any_one_changed_byte_is_refused_or_accepted_and_nothing_else(data: st.DataObject) -> None:
    raw = bytearray(tar(entry("a" * 120, b"x"), link("l", "a"), hard("h", "a" * 120)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    for fix in (False, True):
        if fix:
            block = at // 512 * 512
            total = sum(raw[block : block + 148]) + 8 * 32 + sum(raw[block + 156 : block + 512])
            raw[block + 148 : block + 156] = b"%06o\0 " % total
        try:
            look(gzip.compress(raw))
        except Invalid as error:
            assert error.sentence.startswith("The archive")  # noqa: PT017 - any other exception is the failure
