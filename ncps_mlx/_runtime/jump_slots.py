"""The jump slots of a loaded library: where it keeps the addresses of the functions of others that it calls.

A library in the ELF format (Linux) that is bound lazily calls them through a table in writable memory, and whoever
writes another address there decides what is called. Nothing else in the process sees a difference.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Collection
from pathlib import Path

__all__ = ["SlotError", "find_slots", "point_slot"]

JUMP_SLOT = {"x86_64": 7, "aarch64": 1026}  # the kind of relocation, of <elf.h>
PT_DYNAMIC = 2
DT_PLTRELSZ, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_PLTREL, DT_JMPREL = 2, 5, 6, 7, 20, 23
HEADER, ENTRY, SYMBOL, RELOCATION = (struct.Struct(form) for form in ("IIQQQQQQ", "qQ", "IBBHQQ", "QQq"))


class SlotError(LookupError):
    """A library has no slots that can be written, and why."""


class LoadedObject(ctypes.Structure):
    """What ``dl_iterate_phdr`` tells of a library: ``dl_phdr_info`` of <link.h>."""

    _fields_ = [
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.c_uint64),
        ("header_count", ctypes.c_uint16),
    ]


class Memory:
    """This process's memory, read where the system says that it may be."""

    def __init__(self) -> None:
        self.spans = []
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            span, rights, *_ = line.split()
            first, last = (int(end, 16) for end in span.split("-"))
            self.spans.append((first, last, rights))

    def allows(self, right: str, address: int, size: int) -> bool:
        """Whether all these bytes may be read (``"r"``) or written (``"w"``)."""
        return any(
            first <= address and address + size <= last and right in rights for first, last, rights in self.spans
        )

    def read(self, address: int, size: int) -> bytes:
        """Bytes; a SlotError where there are none to read."""
        if not self.allows("r", address, size):
            raise SlotError(f"its tables point to {address:#x}, where nothing can be read")
        return ctypes.string_at(address, size)

    def read_text(self, address: int) -> str:
        """Text up to its zero byte."""
        self.read(address, 1)
        return ctypes.string_at(address).decode(errors="replace")


def find_slots(library: str, functions: Collection[str]) -> dict[str, int]:
    """Addresses of the slots through which a loaded library calls these functions; all of them, and writable.

    Raises:
        SlotError: There are none, or this system or processor is another than those known here.
    """
    kind = JUMP_SLOT.get(platform.machine())
    if kind is None or struct.calcsize("P") != 8:
        raise SlotError(f"the processor {platform.machine()} is not known here")
    base, dynamic = loaded_object(library)
    memory = Memory()
    slots = slots_in_tables(memory, base, dynamic, kind)
    for function in functions:
        if function not in slots:
            raise SlotError(f"{library} does not call {function} through a jump slot")
        if not memory.allows("w", slots[function], 8):
            raise SlotError(f"{library} keeps the address of {function} in memory that is read-only")
    return {function: slots[function] for function in functions}


def loaded_object(library: str) -> tuple[int, int]:
    """Addresses of a loaded library, found by its file's name, and of its dynamic section."""
    found: list[tuple[int, int]] = []
    visit_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(LoadedObject), ctypes.c_size_t, ctypes.c_void_p)

    def visit(info: ctypes._Pointer[LoadedObject], _size: int, _data: int | None) -> int:
        loaded = info.contents
        if Path((loaded.name or b"").decode(errors="replace")).name == library:
            for i in range(loaded.header_count):
                header = ctypes.string_at(loaded.headers + i * HEADER.size, HEADER.size)
                part, _, _, address, *_ = HEADER.unpack(header)
                if part == PT_DYNAMIC:
                    found.append((loaded.base, loaded.base + address))
        return int(bool(found))

    iterate = getattr(ctypes.CDLL(None), "dl_iterate_phdr", None)
    if iterate is None:
        raise SlotError("the C library does not tell what is loaded")
    iterate(visit_type(visit), None)
    if not found:
        raise SlotError(f"{library} is not loaded")
    return found[0]


def slots_in_tables(memory: Memory, base: int, dynamic: int, kind: int) -> dict[str, int]:
    """All jump slots of the library at ``base``, by the name of the function."""
    tags: dict[int, int] = {}
    while (entry := ENTRY.unpack(memory.read(dynamic, ENTRY.size)))[0] != 0:
        tags.setdefault(*entry)
        dynamic += ENTRY.size
    if tags.get(DT_PLTREL) != DT_RELA or not {DT_JMPREL, DT_PLTRELSZ, DT_SYMTAB, DT_STRTAB} <= tags.keys():
        raise SlotError("it calls nothing through jump slots")
    # Where the loader has not made them absolute, as musl's does not, addresses count from the base.
    relocations, symbols, strings = (
        tags[tag] + (base if tags[tag] < base else 0) for tag in (DT_JMPREL, DT_SYMTAB, DT_STRTAB)
    )
    slots = {}
    table = memory.read(relocations, tags[DT_PLTRELSZ] // RELOCATION.size * RELOCATION.size)
    for offset, info, _ in RELOCATION.iter_unpack(table):
        if info & 0xFFFFFFFF == kind:
            symbol = memory.read(symbols + (info >> 32) * SYMBOL.size, SYMBOL.size)
            slots[memory.read_text(strings + SYMBOL.unpack(symbol)[0])] = base + offset
    return slots


def point_slot(slot: int, function: int) -> None:
    """Let the calls that go through a slot of :func:`find_slots` reach the function at this address."""
    ctypes.c_void_p.from_address(slot).value = function
