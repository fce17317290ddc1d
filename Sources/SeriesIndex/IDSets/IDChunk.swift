// IDChunk.swift - up to 65 536 numbers of 16 bits: the ids of a set that share their upper 48 bits.
//
//   word  0                                      no ids
//         | id | id | id | n = 1...3 |           up to three ids in the word itself, 16 bits each, ascending from bit 16;
//                                                n in the two lowest bits
//         address of an array block  | 0
//         address of a bitmap block  | 4         blocks are aligned to 16 bytes
//
//   array block     0  references  8      how many sets hold the block
//                   8  count       u32
//                  12  capacity    u32
//                  16  ids         u16 x capacity, ascending; 32, 64, ... 2048 bytes with the header
//   bitmap block    0  references  8
//                   8  count       u32
//                  16  address of the 8 KiB of bits: an allocation of its own, since 8192 bytes and a header would take
//                      10 KiB of the usual allocators
//
// A chunk is an array up to 1016 ids, then a bitmap: 8 bytes an id at most, as much as the id itself, and finding an id
// among 1016 takes ten steps. It becomes an array again at half of that, so that ids that come and go do not make it
// change its form all the time.
//
// Contract: a chunk is a plain word that stands for one reference; whoever keeps a second copy of the word calls
// `retain`, whoever drops one calls `release`. Blocks held more than once are never written: the changing functions make
// a copy first and give their reference to the old block back.
// Threads: different sets may hold one block and read or change their chunks at the same time; one chunk has one owner.

import Synchronization

/// A word that holds some 16-bit numbers, or the address of a block that does. See the head of the file.
@frozen @usableFromInline
struct IDChunk {
    @usableFromInline var word: UInt64

    @inlinable init(word: UInt64) { self.word = word }

    /// No ids.
    static var empty: IDChunk { IDChunk(word: 0) }

    /// Most ids of an array.
    static let arrayMax = (2048 - arrayHeaderBytes) / 2
    @usableFromInline static let arrayHeaderBytes = 16
    private static let arrayBytesMin = 32
    private static let bitmapHeaderBytes = 24
    static let bitmapWords = 1024
    private static let alignment = 16

    // MARK: reading

    @inlinable var isEmpty: Bool { word == 0 }
    @inlinable var isInline: Bool { word & 3 != 0 }
    @inlinable var isBitmap: Bool { word & 7 == 4 }
    private var isArray: Bool { word & 7 == 0 && word != 0 }
    private var isBlock: Bool { word & 3 == 0 && word != 0 }

    /// The block; the chunk has one.
    @inlinable var block: UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(bitPattern: UInt(word & ~7)).unsafelyUnwrapped
    }

    /// The ids of an array.
    @inlinable var values: UnsafeMutablePointer<UInt16> {
        (block + IDChunk.arrayHeaderBytes).assumingMemoryBound(to: UInt16.self)
    }

    /// The bits of a bitmap.
    @inlinable var bits: UnsafeMutablePointer<UInt64> {
        (block + 16).load(as: UnsafeMutablePointer<UInt64>.self)
    }

    @usableFromInline var count: Int { isBlock ? Int(block.load(fromByteOffset: 8, as: UInt32.self)) : Int(word & 3) }

    /// Id `index` in ascending order, of a chunk that is not a bitmap.
    @inlinable @inline(__always)
    func value(_ index: Int) -> UInt16 {
        isInline ? UInt16(truncatingIfNeeded: word &>> UInt64(16 &* (index &+ 1))) : values[index]
    }

    @inlinable @inline(__always)
    func contains(_ value: UInt16) -> Bool {
        if isBitmap { return bits[Int(value &>> 6)] &>> UInt64(value & 63) & 1 != 0 }
        return containsInList(value)
    }

    /// As ``contains(_:)``, of a chunk that is not a bitmap.
    @usableFromInline func containsInList(_ value: UInt16) -> Bool {
        let index = lowerBound(value)
        return index < count && self.value(index) == value
    }

    /// The index of the first id that is not below `value`, of a chunk that is not a bitmap.
    private func lowerBound(_ value: UInt16) -> Int {
        if word & 3 != 0 || word == 0 {
            var index = 0
            while index < Int(word & 3), self.value(index) < value { index &+= 1 }
            return index
        }
        let values = values
        var first = 0
        var length = count
        while length > 1 {
            let half = length &>> 1
            first = values[first &+ half &- 1] < value ? first &+ half : first
            length &-= half
        }
        return first &+ (length == 1 && values[first] < value ? 1 : 0)
    }

    /// The smallest id; there is one.
    var min: UInt16 {
        guard isBitmap else { return value(0) }
        var index = 0
        while bits[index] == 0 { index &+= 1 }
        return UInt16(index &* 64 &+ bits[index].trailingZeroBitCount)
    }

    /// The greatest id; there is one.
    var max: UInt16 {
        guard isBitmap else { return value(count - 1) }
        var index = IDChunk.bitmapWords - 1
        while bits[index] == 0 { index &-= 1 }
        return UInt16(index &* 64 &+ 63 &- bits[index].leadingZeroBitCount)
    }

    /// Calls `body` with each id in ascending order.
    @inline(__always)
    func forEach<Failure: Error>(_ body: (UInt16) throws(Failure) -> Void) throws(Failure) {
        guard isBitmap else {
            for index in 0..<count { try body(value(index)) }
            return
        }
        let bits = bits
        for index in 0..<IDChunk.bitmapWords {
            var word = bits[index]
            while word != 0 {
                try body(UInt16(truncatingIfNeeded: index &* 64 &+ word.trailingZeroBitCount))
                word &= word &- 1
            }
        }
    }

    /// Bytes outside of the word.
    var memoryBytes: Int {
        if isBitmap { return IDChunk.bitmapHeaderBytes + IDChunk.bitmapWords * 8 }
        return isArray ? IDChunk.arrayHeaderBytes + 2 * capacity : 0
    }

    // MARK: references

    private var references: UnsafeMutablePointer<Atomic<Int>> { block.assumingMemoryBound(to: Atomic<Int>.self) }
    private var isUnique: Bool { references.pointee.load(ordering: .acquiring) == 1 }

    /// Counts one more holder of the word.
    func retain() { if isBlock { references.pointee.wrappingAdd(1, ordering: .relaxed) } }

    /// Gives a reference back; the word must not be used any more.
    func release() {
        guard isBlock else { return }
        if references.pointee.wrappingSubtract(1, ordering: .acquiringAndReleasing).oldValue > 1 { return }
        if isBitmap { bits.deallocate() }
        references.deinitialize(count: 1)
        block.deallocate()
    }

    /// Takes the reference of `new` in place of the present one.
    private mutating func replace(with new: IDChunk) {
        release()
        word = new.word
    }

    // MARK: making

    private var capacity: Int { Int(block.load(fromByteOffset: 12, as: UInt32.self)) }

    private func setCount(_ count: Int) { block.storeBytes(of: UInt32(count), toByteOffset: 8, as: UInt32.self) }

    private static func makeBlock(bytes: Int) -> UnsafeMutableRawPointer {
        let block = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: alignment)
        block.initializeMemory(as: Atomic<Int>.self, to: Atomic(1))
        block.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
        return block
    }

    /// An array without ids and room for `wanted` of them, `0...arrayMax`.
    private static func makeArray(room wanted: Int) -> IDChunk {
        var bytes = arrayBytesMin
        while (bytes - arrayHeaderBytes) / 2 < wanted { bytes *= 2 }
        let block = makeBlock(bytes: bytes)
        block.storeBytes(of: UInt32((bytes - arrayHeaderBytes) / 2), toByteOffset: 12, as: UInt32.self)
        return IDChunk(word: UInt64(UInt(bitPattern: block)))
    }

    /// A bitmap whose bits have not been written yet.
    private static func makeBitmap() -> IDChunk {
        let block = makeBlock(bytes: bitmapHeaderBytes)
        (block + 16).storeBytes(
            of: UnsafeMutablePointer<UInt64>.allocate(capacity: bitmapWords), as: UnsafeMutablePointer<UInt64>.self)
        return IDChunk(word: UInt64(UInt(bitPattern: block)) | 4)
    }

    /// The ids at `sorted`: ascending, `0...arrayMax` of them.
    private static func make(_ sorted: UnsafePointer<UInt16>, _ count: Int) -> IDChunk {
        if count <= 3 {
            var word = UInt64(count)
            for index in 0..<count { word |= UInt64(sorted[index]) &<< UInt64(16 &* (index &+ 1)) }
            return IDChunk(word: word)
        }
        let chunk = makeArray(room: count)
        chunk.values.update(from: sorted, count: count)
        chunk.setCount(count)
        return chunk
    }

    /// A copy of the ids as an array that has room for `wanted` ids. The chunk is not a bitmap.
    private func copiedArray(room wanted: Int) -> IDChunk {
        let copy = IDChunk.makeArray(room: wanted)
        for index in 0..<count { copy.values[index] = value(index) }
        copy.setCount(count)
        return copy
    }

    /// A copy of the ids as a bitmap.
    private func copiedBitmap() -> IDChunk {
        let copy = IDChunk.makeBitmap()
        if isBitmap {
            copy.bits.update(from: bits, count: IDChunk.bitmapWords)
        } else {
            let bits = copy.bits
            bits.update(repeating: 0, count: IDChunk.bitmapWords)
            for index in 0..<count {
                let value = value(index)
                bits[Int(value &>> 6)] |= 1 &<< UInt64(value & 63)
            }
        }
        copy.setCount(count)
        return copy
    }

    /// Makes a bitmap with few ids a list.
    private mutating func shrinkIfSparse() {
        guard isBitmap, count <= IDChunk.arrayMax / 2 else { return }
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: IDChunk.arrayMax) { ids in
            var next = 0
            forEach { (value) throws(Never) in
                ids[next] = value
                next &+= 1
            }
            replace(with: IDChunk.make(ids.baseAddress.unsafelyUnwrapped, next))
        }
    }

    // MARK: changing

    /// Adds an id; tells whether it is new.
    mutating func insert(_ value: UInt16) -> Bool {
        if isBitmap {
            if contains(value) { return false }
            if !isUnique { replace(with: copiedBitmap()) }
            bits[Int(value &>> 6)] |= 1 &<< UInt64(value & 63)
            setCount(count + 1)
            return true
        }
        let count = count
        let index = lowerBound(value)
        if index < count, self.value(index) == value { return false }
        if count < 3, !isArray {
            let below = UInt64(1) &<< UInt64(16 &* index) &- 1
            let ids = word &>> 16
            let moved = (ids & ~below) &<< 16 | UInt64(value) &<< UInt64(16 &* index) | ids & below
            word = moved &<< 16 | UInt64(count &+ 1)
            return true
        }
        if count == IDChunk.arrayMax {
            replace(with: copiedBitmap())
            return insert(value)
        }
        if !isArray || count == capacity || !isUnique { replace(with: copiedArray(room: count + 1)) }
        let values = values
        if index < count { (values + index + 1).update(from: values + index, count: count - index) }
        values[index] = value
        setCount(count + 1)
        return true
    }

    /// Adds the lower 16 bits of ids; returns how many are new.
    mutating func insert(_ ids: UnsafePointer<UInt64>, _ idCount: Int) -> Int {
        if !isBitmap, count + idCount > IDChunk.arrayMax { replace(with: copiedBitmap()) }
        var new = 0
        guard isBitmap else {
            for index in 0..<idCount where insert(UInt16(truncatingIfNeeded: ids[index])) { new += 1 }
            return new
        }
        if !isUnique { replace(with: copiedBitmap()) }
        let bits = bits
        for index in 0..<idCount {
            let id = ids[index]
            let place = bits + Int(id &>> 6 & 1023)
            let bit = UInt64(1) &<< (id & 63)
            new &+= place.pointee & bit == 0 ? 1 : 0
            place.pointee |= bit
        }
        setCount(count + new)
        shrinkIfSparse()  // the ids may all have been the same few
        return new
    }

    /// Removes an id; tells whether it was there.
    mutating func remove(_ value: UInt16) -> Bool {
        if isBitmap {
            guard contains(value) else { return false }
            if !isUnique { replace(with: copiedBitmap()) }
            bits[Int(value &>> 6)] &= ~(1 &<< UInt64(value & 63))
            setCount(count - 1)
            shrinkIfSparse()
            return true
        }
        let count = count
        let index = lowerBound(value)
        guard index < count, self.value(index) == value else { return false }
        guard isArray else {
            let below = UInt64(1) &<< UInt64(16 &* index) &- 1
            let ids = word &>> 16
            word = ((ids &>> 16) & ~below | ids & below) &<< 16 | UInt64(count &- 1)
            if count == 1 { word = 0 }
            return true
        }
        if !isUnique { replace(with: copiedArray(room: count)) }
        let values = values
        (values + index).update(from: values + index + 1, count: count - index - 1)
        setCount(count - 1)
        if count - 1 < 3 { replace(with: IDChunk.make(values, count - 1)) }
        return true
    }

    // MARK: algebra

    /// Adds all ids of another chunk.
    mutating func formUnion(_ other: IDChunk) {
        if word == other.word || other.isEmpty { return }
        switch (isBitmap, other.isBitmap) {
        case (true, true):
            combineBitmaps(other) { $0 | $1 }
        case (true, false):
            for index in 0..<other.count { _ = insert(other.value(index)) }
        case (false, true):
            let list = self
            other.retain()
            word = other.word
            for index in 0..<list.count { _ = insert(list.value(index)) }
            list.release()
        case (false, false):
            if count + other.count <= IDChunk.arrayMax {
                mergeLists(other)
            } else {
                replace(with: copiedBitmap())
                for index in 0..<other.count { _ = insert(other.value(index)) }
                shrinkIfSparse()
            }
        }
    }

    private mutating func mergeLists(_ other: IDChunk) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: IDChunk.arrayMax) { ids in
            let (leftCount, rightCount) = (count, other.count)
            var left = 0
            var right = 0
            var next = 0
            while left < leftCount, right < rightCount {
                let (a, b) = (value(left), other.value(right))
                ids[next] = Swift.min(a, b)
                next &+= 1
                left &+= a <= b ? 1 : 0
                right &+= b <= a ? 1 : 0
            }
            while left < leftCount {
                ids[next] = value(left)
                next &+= 1
                left &+= 1
            }
            while right < rightCount {
                ids[next] = other.value(right)
                next &+= 1
                right &+= 1
            }
            if next > leftCount { replace(with: IDChunk.make(ids.baseAddress.unsafelyUnwrapped, next)) }
        }
    }

    /// Drops all ids that are not in another chunk.
    mutating func formIntersection(_ other: IDChunk) {
        if word == other.word { return }
        if isBitmap, other.isBitmap { return combineBitmaps(other) { $0 & $1 } }
        let list = isBitmap ? other : self
        let wide = isBitmap ? self : other
        filter(list) { wide.contains($0) }
    }

    /// Drops all ids that are in another chunk.
    mutating func subtract(_ other: IDChunk) {
        if other.isEmpty { return }
        if word == other.word { return replace(with: .empty) }
        if !isBitmap { return filter(self) { !other.contains($0) } }
        if other.isBitmap { return combineBitmaps(other) { $0 & ~$1 } }
        for index in 0..<other.count { _ = remove(other.value(index)) }
    }

    /// Becomes those ids of `list`, which is not a bitmap, for which `keeps` holds.
    @inline(__always)
    private mutating func filter(_ list: IDChunk, _ keeps: (UInt16) -> Bool) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: IDChunk.arrayMax) { ids in
            var next = 0
            for index in 0..<list.count {
                let value = list.value(index)
                ids[next] = value
                next &+= keeps(value) ? 1 : 0
            }
            if list.word == word, next == list.count { return }
            replace(with: IDChunk.make(ids.baseAddress.unsafelyUnwrapped, next))
        }
    }

    /// Combines two bitmaps word by word, in place if nobody else holds the block.
    @inline(__always)
    private mutating func combineBitmaps(_ other: IDChunk, _ operation: (UInt64, UInt64) -> UInt64) {
        let target = isUnique ? self : IDChunk.makeBitmap()
        let (a, b, result) = (bits, other.bits, target.bits)
        var count = 0
        for index in 0..<IDChunk.bitmapWords {
            let word = operation(a[index], b[index])
            result[index] = word
            count &+= word.nonzeroBitCount
        }
        target.setCount(count)
        if target.word != word { replace(with: target) }
        shrinkIfSparse()
    }

    func isDisjoint(_ other: IDChunk) -> Bool {
        if isBitmap, other.isBitmap {
            for index in 0..<IDChunk.bitmapWords where bits[index] & other.bits[index] != 0 { return false }
            return true
        }
        let list = isBitmap ? other : self
        let wide = isBitmap ? self : other
        for index in 0..<list.count where wide.contains(list.value(index)) { return false }
        return true
    }

    /// Tells whether both hold the same ids, in whatever form.
    func isEqual(_ other: IDChunk) -> Bool {
        if word == other.word { return true }
        guard count == other.count else { return false }
        if isBitmap, other.isBitmap {
            for index in 0..<IDChunk.bitmapWords where bits[index] != other.bits[index] { return false }
            return true
        }
        let list = isBitmap ? other : self
        let wide = isBitmap ? self : other
        for index in 0..<list.count where !wide.contains(list.value(index)) { return false }
        return true
    }
}
