#!/usr/bin/env python3
"""Counts what `mergeset-bench inspect` reports, for the golden directories, from the format documents alone.

    python3 make_expected.py > expected.json        (needs libzstd.so.1; shares no code with the project)

Written from docs/format/mergeset-table.md, series-index.md and sample-store.md: every file is read into memory and every
item kept in a list, in the plainest way there is.
"""
import collections, ctypes, json, os, struct, sys

zstd = ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
zstd.ZSTD_decompress.restype = ctypes.c_size_t
zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def unzstd(blob):
    if not blob:
        return b""
    size = zstd.ZSTD_getFrameContentSize(blob, ctypes.c_size_t(len(blob)))
    target = ctypes.create_string_buffer(max(size, 1))
    done = zstd.ZSTD_decompress(target, ctypes.c_size_t(size), blob, ctypes.c_size_t(len(blob)))
    assert not zstd.ZSTD_isError(done) and done == size
    return target.raw[:size]


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at:self.at + count]
        assert len(piece) == count
        self.at += count
        return piece

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def prefixed(self):
        return self.take(self.varint())

    @property
    def left(self):
        return len(self.data) - self.at


def blocks(part):
    """(stored bytes, marshal type, items) of each block."""
    index, items, lens = read(part, "index.bin"), read(part, "items.bin"), read(part, "lens.bin")
    meta = Cursor(unzstd(read(part, "metaindex.bin")))
    index_blocks, found = 0, []
    while meta.left:
        meta.prefixed()
        count, offset, size = meta.number(4), meta.number(8), meta.number(4)
        index_blocks += 1
        headers = Cursor(unzstd(index[offset:offset + size]))
        for _ in range(count):
            common, first = headers.prefixed(), headers.prefixed()
            kind, n = headers.number(1), headers.number(4)
            items_at, lens_at, items_size, lens_size = (headers.number(w) for w in (8, 8, 4, 4))
            data, lengths = items[items_at:items_at + items_size], lens[lens_at:lens_at + lens_size]
            out = [first]
            if kind == 0:
                c, d = Cursor(lengths), Cursor(data)
                for _ in range(n - 1):
                    out.append(common + d.take(c.number(8)))
            else:
                c, d = Cursor(unzstd(lengths)), Cursor(unzstd(data))
                prefixes, full = [0], [len(first) - len(common)]
                for _ in range(n - 1):
                    prefixes.append(prefixes[-1] ^ c.varint())
                for _ in range(n - 1):
                    full.append(full[-1] ^ c.varint())
                suffix = first[len(common):]
                for k in range(1, n):
                    suffix = suffix[:prefixes[k]] + d.take(full[k] - prefixes[k])
                    out.append(common + suffix)
            found.append((items_size + lens_size, kind, out))
    return index_blocks, found


def unescape(data):
    out, at = bytearray(), 0
    while at < len(data):
        if data[at] == 0:
            out.append(data[at + 1] & 3)
            at += 1
        else:
            out.append(data[at])
        at += 1
    return bytes(out)


def field(data, at):
    """End of the escaped field that starts at `at`: where its 01 stands (an escape never contains a bare 01)."""
    return data.index(1, at)


def label_of(key):
    plain = unescape(key)
    if plain == b"":
        return "__name__", False
    if plain == b"\xff":
        return "__name__ (reversed)", False
    if plain[0] == 0xFE:
        c = Cursor(plain[1:])
        c.take(c.varint())
        return c.take(c.left).decode(), True
    return plain.decode(), False


def common_prefix(a, b):
    return len(os.path.commonprefix([a, b]))


def index_table(path):
    parts = sorted(p for p in os.listdir(path) if p.count("_") == 2)
    kinds = collections.defaultdict(lambda: collections.Counter())
    labels = collections.defaultdict(lambda: collections.Counter())
    days = collections.defaultdict(lambda: collections.Counter())
    out = {"parts": len(parts), "items": 0, "blocks": 0, "index_blocks": 0, "plain_blocks": 0, "block_fill": [0] * 4}
    sizes = collections.Counter()
    everything = []
    for part in parts:
        for name in ("items.bin", "lens.bin", "index.bin", "metaindex.bin"):
            sizes[name] += os.path.getsize(os.path.join(path, part, name))
        count, found = blocks(os.path.join(path, part))
        out["index_blocks"] += count
        for stored, kind, items in found:
            out["blocks"] += 1
            out["items"] += len(items)
            out["plain_blocks"] += kind == 0
            out["block_fill"][min(3, sum(map(len, items)) * 4 // 65537)] += 1
            shared = [0] + [common_prefix(a, b) for a, b in zip(items, items[1:])]
            share = stored / sum(len(i) - s + 1 for i, s in zip(items, shared))
            for item, s in zip(items, shared):
                ns, bytes_ = item[0], share * (len(item) - s + 1)
                kinds[ns].update(items=1, raw=len(item), kept=len(item) - s, stored=bytes_)
                if ns in (1, 6):
                    start = 9 if ns == 1 else 17
                    key_end = field(item, start)
                    value_end = field(item, key_end + 1)
                    label, composite = label_of(item[start:key_end])
                    labels[label].update({"rows": 1, ("day_" if ns == 6 else "") + ("composite" if composite else "tag"): bytes_})
                    kinds[ns]["ids"] += (len(item) - value_end - 1) // 8
                if ns in (5, 6):
                    days[int.from_bytes(item[9:17], "big")].update(items=1, stored=bytes_)
                if ns in (0, 3):
                    at, end = (1, len(item) - 33) if ns == 0 else (17, len(item))
                    at += 8
                    group_end = field(item, at)
                    labels["__name__"]["name"] += share * max(0, group_end + 1 - max(s, at))
                    at = group_end + 1
                    while at < end:
                        key_end = field(item, at)
                        value_end = field(item, key_end + 1)
                        labels[label_of(item[at:key_end])[0]]["name"] += share * max(0, value_end + 1 - max(s, at))
                        at = value_end + 1
            everything += items
    distinct = collections.Counter(everything)
    out["duplicate_items"] = sum(n - 1 for n in distinct.values())
    out["duplicate_bytes"] = sum((n - 1) * len(i) for i, n in distinct.items())
    names = [i for i in distinct if i[0] == 3]
    out["series"], out["tenants"] = len(names), len({i[1:9] for i in names})
    out["deleted_series"] = sum(i[0] == 4 for i in distinct)
    tags = {1: set(), 6: set()}
    values = collections.defaultdict(lambda: collections.defaultdict(int))
    for item in distinct:
        if item[0] not in (1, 6):
            continue
        start = 9 if item[0] == 1 else 17
        key_end = field(item, start)
        value_end = field(item, key_end + 1)
        tags[item[0]].add(item[:value_end + 1])
        if item[0] == 1:
            label, composite = label_of(item[start:key_end])
            if not composite:
                values[label][item[1:9], item[key_end + 1:value_end]] += (len(item) - value_end - 1) // 8
    out["items_file_bytes"], out["lens_file_bytes"] = sizes["items.bin"], sizes["lens.bin"]
    out["header_files_bytes"] = sizes["index.bin"] + sizes["metaindex.bin"]
    out["namespaces"] = {
        str(ns): {"items": k["items"], "ids": k["ids"], "raw_bytes": k["raw"], "kept_bytes": k["kept"],
                  "compressed_bytes": k["stored"], "tags": len(tags.get(ns, ())),
                  "distinct_items": sum(i[0] == ns for i in distinct)} for ns, k in sorted(kinds.items())}
    out["labels"] = {
        label: {"tag_bytes": a["tag"], "composite_bytes": a["composite"], "day_tag_bytes": a["day_tag"],
                "day_composite_bytes": a["day_composite"], "name_bytes": a["name"], "rows": a["rows"],
                "values": len(values[label]), "series": sum(values[label].values()),
                "top_series": max(values[label].values(), default=0)} for label, a in sorted(labels.items())}
    out["days"] = {
        str(d): {"items": a["items"], "compressed_bytes": a["stored"],
                 "series": sum(i[0] == 5 and int.from_bytes(i[9:17], "big") == d for i in distinct)}
        for d, a in sorted(days.items())}
    return out


TYPES = {1: "zstdNearestDelta2", 2: "deltaConst", 3: "const", 4: "zstdNearestDelta", 5: "nearestDelta2", 6: "nearestDelta"}


def unzigzag(value):
    return (value >> 1) ^ -(value & 1)


def partition(paths):
    out = collections.Counter()
    fill, series = [0] * 4, set()
    types = {"timestamps": collections.Counter(), "values": collections.Counter()}
    first, last = 1 << 63, -(1 << 63)
    for path in paths:
        for part in sorted(p for p in os.listdir(path) if p.count("_") == 4):
            part = os.path.join(path, part)
            out["parts"] += 1
            for name, key in (("timestamps.bin", "timestamps_bytes"), ("values.bin", "values_bytes"),
                              ("index.bin", "header_files_bytes"), ("metaindex.bin", "header_files_bytes")):
                out[key] += os.path.getsize(os.path.join(part, name))
            index, meta = read(part, "index.bin"), Cursor(unzstd(read(part, "metaindex.bin")))
            shared = None
            while meta.left:
                row = Cursor(meta.take(64))
                row.take(52)
                offset, size = row.number(8), row.number(4)
                headers = unzstd(index[offset:offset + size])
                for at in range(0, len(headers), 89):
                    h = Cursor(headers[at:at + 89])
                    tsid = h.take(32)
                    low, high = unzigzag(h.number(8)), unzigzag(h.number(8))
                    h.take(8)
                    ts_at, _, ts_size, _, rows = (h.number(w) for w in (8, 8, 4, 4, 4))
                    h.take(2)
                    types["timestamps"][TYPES[h.number(1)]] += 1
                    types["values"][TYPES[h.number(1)]] += 1
                    series.add(tsid[24:])
                    out["rows"] += rows
                    out["blocks"] += 1
                    first, last = min(first, low), max(last, high)
                    fill[0 if rows <= 64 else 1 if rows <= 1024 else 2 if rows < 8192 else 3] += 1
                    out["blocks_sharing_timestamps"] += ts_size > 0 and shared == ts_at
                    shared = ts_at if ts_size else None
    return dict(out, series=len(series), block_fill=fill, min_timestamp=first, max_timestamp=last,
                timestamps_types=dict(types["timestamps"]), values_types=dict(types["values"]))


expected = {"index": {}, "samples": {}}
for table in ("index/storage-basic/indexdb/16C5FC70A61F0002", "index/storage-rotated/indexdb/16C5FC70A61F0002",
              "index/storage-rotated/indexdb/16C5FC70A61F0003", "samples/storage/indexdb/18E9E6743BFC140A"):
    expected["index"][table] = index_table(os.path.join(GOLDEN, table))
for month in ("2021_10", "2021_11"):
    expected["samples"][month] = partition(
        [os.path.join(GOLDEN, "samples/storage/data", size, month) for size in ("small", "big")])
json.dump(expected, sys.stdout, indent=1, sort_keys=True)
print()
