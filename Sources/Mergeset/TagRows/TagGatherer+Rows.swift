// TagGatherer+Rows.swift - writes the rows of the gathered tags, in order, when a run is sealed.
//
//   1. tags are sorted by tenant || TAG, groups by tenant || composite prefix: byte strings, few
//   2. composites are sorted by (rank of group, rank of tag): one integer each
//   3. the two sequences are merged while the rows are written; their first bytes nearly always decide
//
// The rows of namespace 1 are written first, then those of namespace 6: each sequence is sorted and lies in one piece.

import StorageBytes

extension TagGatherer {
    /// Appends the rows of one namespace to `arena`, and a reference to each to `refs`, in ascending order.
    ///
    /// - Parameters:
    ///   - date: nil writes rows of namespace 1, a date rows of namespace 6.
    ///   - growing: Bytes by which each row has to be able to grow without becoming too long.
    mutating func writeRows(
        date: UInt64?, growing: Int = 0, order: borrowing TagOrder, arena: inout RawBuffer, refs: inout RefList
    ) {
        var tagIndex = 0
        var compositeIndex = 0
        let tagCount = order.tagCount
        let compositeCount = order.compositeCount
        while tagIndex < tagCount || compositeIndex < compositeCount {
            var takesTag = compositeIndex == compositeCount
            if !takesTag && tagIndex < tagCount {
                takesTag = isTag(order.tags[tagIndex], before: order.composites[compositeIndex].number)
            }
            if takesTag {
                let number = order.tags[tagIndex]
                let entry = entries[Int(number)]
                let name = names.base + Int(entry.offset)
                pool.withSortedIDs(&entries[Int(number)].list) { ids, count in
                    TagGatherer.write(
                        date, growing, tenant: name, name + 8, Int(entry.length) - 8, name, 0, ids, count, &arena, &refs
                    )
                }
                tagIndex += 1
            } else {
                let number = Int(order.composites[compositeIndex].number)
                let composite = composites[number]
                let group = entries[Int(composite.group)]
                let tag = entries[Int(composite.tag)]
                let prefix = names.base + Int(group.prefixOffset)
                let name = names.base + Int(tag.offset)
                pool.withSortedIDs(&composites[number].list) { ids, count in
                    TagGatherer.write(
                        date, growing, tenant: prefix, prefix + 8, Int(group.prefixLength) - 8, name + 8,
                        Int(tag.length) - 8, ids, count, &arena, &refs)
                }
                compositeIndex += 1
            }
        }
    }

    /// Compares tenant || TAG with tenant || composite prefix || TAG.
    private func isTag(_ number: UInt32, before composite: UInt32) -> Bool {
        let a = entries[Int(number)]
        let pair = composites[Int(composite)]
        let b = entries[Int(pair.group)]
        let aName = names.base + Int(a.offset)
        let bName = names.base + Int(b.prefixOffset)
        let common = Int(min(a.length, b.prefixLength))
        let shared = Bytes.commonPrefix(aName, bName, common)
        if shared < common {
            return aName.load(fromByteOffset: shared, as: UInt8.self)
                < bName.load(fromByteOffset: shared, as: UInt8.self)
        }
        // A label whose key looks like a composite key: compare what follows the prefix.
        guard Int(a.length) > shared else { return true }
        let tag = entries[Int(pair.tag)]
        return Bytes.compare(
            aName + shared, Int(a.length) - shared, names.base + Int(tag.offset) + 8, Int(tag.length) - 8) <= 0
    }

    /// Writes the rows of one list: kind, tenant, date, the two pieces of the TAG, up to 126 ids each.
    @inline(__always)
    private static func write(
        _ date: UInt64?, _ growing: Int, tenant: UnsafeRawPointer, _ first: UnsafeRawPointer, _ firstCount: Int,
        _ second: UnsafeRawPointer, _ secondCount: Int, _ ids: UnsafePointer<UInt64>, _ idCount: Int,
        _ arena: inout RawBuffer, _ refs: inout RefList
    ) {
        let prefixCount = (date == nil ? 9 : 17) &+ firstCount &+ secondCount
        let idsMax = min(Limits.rowIDsMax, (Limits.itemBytesMax &- prefixCount &- growing) >> 3)
        var written = 0
        while written < idCount {
            let take = min(idCount &- written, idsMax)
            let length = prefixCount &+ take &* 8
            arena.reserve(length)
            let start = arena.end
            var out = start
            out.storeBytes(of: date == nil ? 1 : 6, as: UInt8.self)
            out.storeBytes(of: tenant.loadUnaligned(as: UInt64.self), toByteOffset: 1, as: UInt64.self)
            out += 9
            if let date {
                BigEndian.store64(date, at: out)
                out += 8
            }
            out.copyMemory(from: first, byteCount: firstCount)
            out += firstCount
            out.copyMemory(from: second, byteCount: secondCount)
            out += secondCount
            for index in 0..<take {
                BigEndian.store64(ids[written &+ index], at: out)
                out += 8
            }
            refs.append(ItemRef(key: 0, offset: UInt32(truncatingIfNeeded: arena.count), length: UInt32(length)))
            arena.commit(length)
            written &+= take
        }
    }
}

/// The sorted order of a gatherer's tags and composites.
struct TagOrder: ~Copyable {
    struct Composite {
        var key: UInt64
        var number: UInt32
    }

    let tags: UnsafeMutablePointer<UInt32>
    let tagCount: Int
    let composites: UnsafeMutablePointer<Composite>
    let compositeCount: Int

    /// Sorts the tags and composites of a gatherer. O(bytes of tags + composites).
    init(_ gatherer: borrowing TagGatherer) {
        let count = gatherer.entryCount
        tagCount = count
        compositeCount = gatherer.compositeCount
        tags = .allocate(capacity: max(count, 1))
        composites = .allocate(capacity: max(gatherer.compositeCount, 1))

        // Ranks of tags. The key field is overwritten by the sort, so the number travels by offset lookup: entries are
        // interned in order of offset, and a binary search is avoided by a table from offset order to entry.
        let refs = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: count)
        let scratch = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: count)
        let tagRanks = UnsafeMutablePointer<UInt32>.allocate(capacity: max(count, 1))
        let groupRanks = UnsafeMutablePointer<UInt32>.allocate(capacity: max(count, 1))
        let byOffset = NumberByOffset(gatherer.names.count)
        defer {
            refs.deallocate()
            scratch.deallocate()
            tagRanks.deallocate()
            groupRanks.deallocate()
        }
        for number in 0..<count {
            let entry = gatherer.entries[number]
            refs[number] = ItemRef(key: 0, offset: entry.offset, length: entry.length)
            byOffset[Int(entry.offset)] = UInt32(number)
        }
        ItemSort.sort(refs, base: gatherer.names.base, scratch: scratch)
        for rank in 0..<count {
            let number = byOffset[Int(refs[rank].offset)]
            tags[rank] = number
            tagRanks[Int(number)] = UInt32(rank)
        }
        var groups = 0
        for number in 0..<count {
            let entry = gatherer.entries[number]
            guard entry.prefixLength > 0 else { continue }
            refs[groups] = ItemRef(key: 0, offset: entry.prefixOffset, length: entry.prefixLength)
            byOffset[Int(entry.prefixOffset)] = UInt32(number)
            groups += 1
        }
        ItemSort.sort(
            UnsafeMutableBufferPointer(rebasing: refs[0..<groups]), base: gatherer.names.base, scratch: scratch)
        for rank in 0..<groups { groupRanks[Int(byOffset[Int(refs[rank].offset)])] = UInt32(rank) }

        for number in 0..<gatherer.compositeCount {
            let entry = gatherer.composites[number]
            let key = UInt64(groupRanks[Int(entry.group)]) * UInt64(count) + UInt64(tagRanks[Int(entry.tag)])
            composites[number] = Composite(key: key, number: UInt32(number))
        }
        TagOrder.sort(composites, gatherer.compositeCount, largest: UInt64(max(groups, 1)) * UInt64(max(count, 1)))
    }

    deinit {
        tags.deallocate()
        composites.deallocate()
    }

    /// Radix sort from the least significant digit, 11 bits a pass.
    private static func sort(_ pairs: UnsafeMutablePointer<Composite>, _ count: Int, largest: UInt64) {
        guard count > 1 else { return }
        let other = UnsafeMutablePointer<Composite>.allocate(capacity: count)
        defer { other.deallocate() }
        var source = pairs
        var target = other
        var shift: UInt64 = 0
        withUnsafeTemporaryAllocation(of: Int.self, capacity: 2049) { starts in
            while shift < 64, largest >> shift > 0 {
                starts.update(repeating: 0)
                for index in 0..<count { starts[Int(source[index].key >> shift) & 2047 &+ 1] &+= 1 }
                for digit in 1..<2049 { starts[digit] &+= starts[digit &- 1] }
                for index in 0..<count {
                    let digit = Int(source[index].key >> shift) & 2047
                    target[starts[digit]] = source[index]
                    starts[digit] &+= 1
                }
                swap(&source, &target)
                shift += 11
            }
        }
        if source != pairs { pairs.update(from: source, count: count) }
    }
}

/// Which entry's name starts at an offset: names are at least 9 bytes long, so a table of offset / 8 has no collisions.
private struct NumberByOffset: ~Copyable {
    private let numbers: UnsafeMutablePointer<UInt32>

    init(_ nameBytes: Int) { numbers = .allocate(capacity: nameBytes / 8 + 2) }

    deinit { numbers.deallocate() }

    subscript(offset: Int) -> UInt32 {
        get { numbers[offset >> 3] }
        nonmutating set { numbers[offset >> 3] = newValue }
    }
}
